"""Criss-cross attention as one differentiable function, with a backward of its own.

Paddle's automatic differentiation of the plain formula keeps some ten arrays of the size of the values or of
the attention weights. Here an image is an array of pixels, N×H×W×C: a row is a matrix as it lies, a column
is one after a transposition, and the 1×1 convolutions are matrix products, which change the layout for
nothing. Kept for backward are queries, keys, values and, where they are small, the weights; otherwise rows
and columns are done in groups, and backward computes their weights again.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle.autograd import PyLayer

from paddleseg.models.layers.attention_lines import AttentionLines, turned

__all__ = ["CrissCrossFunction"]


class CrissCrossFunction(PyLayer):
    """``gamma · Σ A·V + x``, differentiable once by ``x``, ``gamma``, weights and biases.

    Logits and softmax are float32; the convolutions and weighted sums have the data type ``compute``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: paddle.Tensor,
        gamma: paddle.Tensor,
        *parameters: Any,
    ) -> paddle.Tensor:
        """Attends.

        Args:
            ctx: Where Paddle keeps what backward needs.
            x: N×C×H×W.
            gamma: [1].
            parameters: Weights out×C×1×1 of query, key and value, their biases, the bytes of logits that may
                exist at a time for rows and as many for columns (what needs no more in all is kept for
                backward), and ``compute``, a floating-point data type.

        Returns:
            N×C×H×W of x's data type.
        """
        *tensors, group_bytes, compute = parameters
        weights, biases = tensors[:3], tensors[3:]
        batch, _, height, width = x.shape
        with paddle.amp.auto_cast(enable=False):
            lines = [batch * height, width, -1]
            pixels = x.astype(compute).flatten(2)  # [N, C, HW]
            both = _project(pixels, paddle.concat(weights[:2]), paddle.concat(biases[:2])).astype("float32")
            query, key = (one.contiguous().reshape(lines) for one in both.chunk(2, axis=2))
            value = _project(pixels, weights[2], biases[2]).reshape(lines)
            rows, columns = _both_directions(query, key, batch, group_bytes)
            _normalise_jointly(rows, columns, batch)
            context = turned(columns.gather(turned(value, batch)), batch)
            rows.add_gathered(value, context)
            output = _channels_first(context, batch).scale_(gamma.astype(compute)).astype(x.dtype)
            output = output.reshape(x.shape).add_(x)
        ctx.group_bytes = group_bytes
        ctx.learned = [not one.stop_gradient for one in (x, gamma, *tensors)]
        softmax = (rows.scale, columns.scale, rows.kept, columns.kept)
        ctx.save_for_backward(x, gamma, *weights, query, key, value, *softmax)
        return output

    @staticmethod
    def backward(ctx: Any, upstream: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Returns the derivatives by the tensors of ``forward``, in its order; None for those without one.

        Args:
            ctx: What ``forward`` kept.
            upstream: Derivatives by the output, N×C×H×W.
        """
        x, gamma, *weights, query, key, value, row_scale, column_scale, row_kept, column_kept = list(
            ctx.saved_tensor()
        )
        batch = x.shape[0]
        with paddle.amp.auto_cast(enable=False):
            rows, columns = _both_directions(query, key, batch, ctx.group_bytes)
            rows.scale, columns.scale, rows.kept, columns.kept = (
                row_scale,
                column_scale,
                row_kept,
                column_kept,
            )
            by_context = upstream.astype(value.dtype).flatten(2).transpose([0, 2, 1]).contiguous()
            by_context = by_context.reshape(value.shape)
            *by_projected, by_gamma = _attention_backward(rows, columns, value, by_context, batch)
            del by_context
            derivatives = _projections_backward(x, upstream, gamma, weights, by_projected, by_gamma)
        return tuple(one if wanted else None for one, wanted in zip(derivatives, ctx.learned, strict=True))


def _project(pixels: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """A 1×1 convolution: N×C×HW → N×HW×out."""
    weight = weight.astype(pixels.dtype).flatten(1)
    return paddle.matmul(pixels, weight, transpose_x=True, transpose_y=True).add_(bias.astype(pixels.dtype))


def _channels_first(lines: paddle.Tensor, batch: int) -> paddle.Tensor:
    """(N·H)×W×C → N×C×HW, for one image by an exchange of two axes: Paddle is slower on three."""
    pixels = lines.flatten(0, 1).transpose([1, 0]).contiguous()  # [C, NHW]
    pixels = pixels.reshape([pixels.shape[0], batch, -1])
    return pixels.transpose([1, 0, 2]).contiguous() if batch > 1 else pixels.reshape([1, *pixels.shape[::2]])


def _both_directions(
    query: paddle.Tensor, key: paddle.Tensor, batch: int, group_bytes: int
) -> tuple[AttentionLines, AttentionLines]:
    rows = AttentionLines(query, key, without_self=False, group_bytes=group_bytes)
    turned_query, turned_key = turned(query, batch), turned(key, batch)
    return rows, AttentionLines(turned_query, turned_key, without_self=True, group_bytes=group_bytes)


def _normalise_jointly(rows: AttentionLines, columns: AttentionLines, batch: int) -> None:
    """Makes one softmax of a pixel's row and column."""
    row_maximum, row_sum = rows.statistics()
    column_maximum, column_sum = (turned(one, batch) for one in columns.statistics())
    maximum = paddle.maximum(row_maximum, column_maximum)
    row_part, column_part = paddle.exp(row_maximum - maximum), paddle.exp(column_maximum - maximum)
    total = row_part * row_sum + column_part * column_sum
    rows.normalise(row_part / total)
    columns.normalise(turned(column_part / total, batch))


def _attention_backward(
    rows: AttentionLines,
    columns: AttentionLines,
    value: paddle.Tensor,
    by_context: paddle.Tensor,
    batch: int,
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Derivatives by query, key and value (all but for the factor gamma), and by gamma.

    Args:
        rows: As forward left them.
        columns: As forward left them.
        value: (N·H)×W×C.
        by_context: (N·H)×W×C, derivatives by the output.
        batch: Images.
    """
    turned_value, by_turned_context = turned(value, batch), turned(by_context, batch)
    products = rows.products(value, by_context)
    products.add_(turned(columns.products(turned_value, by_turned_context), batch))
    by_columns = columns.backward(turned_value, by_turned_context, turned(products, batch))
    del turned_value, by_turned_context
    by_query, by_key, by_value = (turned(one, batch) for one in by_columns)
    del by_columns
    by_rows = rows.backward(value, by_context, products)
    for total, part in zip((by_query, by_key, by_value), by_rows, strict=True):
        total.add_(part)
    return by_query, by_key, by_value, products.sum()


def _projections_backward(
    x: paddle.Tensor,
    upstream: paddle.Tensor,
    gamma: paddle.Tensor,
    weights: list[paddle.Tensor],
    by_projected: list[paddle.Tensor],
    by_gamma: paddle.Tensor,
) -> tuple[paddle.Tensor, ...]:
    """Derivatives by x, gamma, the three weights and the three biases."""
    batch, _, height, width = x.shape
    compute = by_projected[2].dtype
    pixels, factor = x.astype(compute).flatten(2), gamma.astype(compute)
    by_pixels = upstream.astype(compute).flatten(2)
    by_both = paddle.concat([one.astype(compute) for one in by_projected[:2]], axis=2)
    by_parameters = []
    for weight, by_one in ((paddle.concat(weights[:2]), by_both), (weights[2], by_projected[2])):
        lines = by_one.reshape([batch, height * width, -1])  # [N, HW, out]
        scaled = weight.astype(compute).flatten(1) * factor
        by_pixels = paddle.matmul(scaled, lines, transpose_x=True, transpose_y=True).add_(by_pixels)
        by_weight = paddle.matmul(lines, pixels, transpose_x=True, transpose_y=True).sum(0) * factor
        by_parameters.append(by_weight.astype(weight.dtype).reshape(weight.shape))
        # A product with ones: sums over the first axis are slow.
        ones = paddle.ones([1, batch * height * width], dtype=compute)
        by_parameters.append((ones @ lines.flatten(0, 1))[0].astype(weight.dtype) * factor)
    (by_q_weight, by_k_weight), (by_q_bias, by_k_bias) = (one.chunk(2) for one in by_parameters[:2])
    by_x = by_pixels.reshape(x.shape).astype(x.dtype)
    by_weights = (by_q_weight, by_k_weight, by_parameters[2])
    by_biases = (by_q_bias, by_k_bias, by_parameters[3])
    return by_x, by_gamma.reshape(gamma.shape).astype(gamma.dtype), *by_weights, *by_biases
