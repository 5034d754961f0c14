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

from paddleseg.models.layers.attention_lines import AttentionLines, at_least_float32

__all__ = ["CrissCrossFunction"]

# What a group of lines takes: on a CPU little, to stay in its cache, on a GPU enough to be worth a launch.
_GROUP_BYTES = 4 << 20
_GPU_GROUP_BYTES = 256 << 20
_NUMBER_BYTES = 4


class CrissCrossFunction(PyLayer):
    """``gamma · Σ A·V + x``, differentiable once by ``x``, ``gamma``, weights and biases.

    Logits and softmax are float32; the convolutions and weighted sums have the data type ``compute``.
    A second backward over one graph (``retain_graph=True``) crashes, with any PyLayer of Paddle 3.3.1.
    """

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, gamma: paddle.Tensor, *parameters: Any) -> paddle.Tensor:
        """Attends.

        Args:
            ctx: Where Paddle keeps what backward needs.
            x: N×C×H×W.
            gamma: [1].
            parameters: Weights out×C×1×1 of query, key and value, their biases, the bytes up to which all
                attention weights are kept for backward, and ``compute``, a floating-point data type.

        Returns:
            N×C×H×W of x's data type.
        """
        *tensors, kept_bytes, compute = parameters
        weights, biases = tensors[:3], tensors[3:]
        with paddle.amp.auto_cast(enable=False):
            pixels = x.astype(compute).flatten(2)  # [N, C, HW]
            both = _project(pixels, paddle.concat(weights[:2]), paddle.concat(biases[:2])).astype("float32")
            query, key = (one.contiguous() for one in both.chunk(2, axis=1))
            value = _project(pixels, weights[2], biases[2])
            keep = _NUMBER_BYTES * query.shape[0] * sum(x.shape[2:]) <= kept_bytes
            rows, columns = _both_directions(query, key, x.shape, keep)
            _normalise_jointly(rows, columns, x.shape)
            context = paddle.empty_like(value)
            columns.gather(value, context)
            rows.gather(value, context)
            output = _channels_first(context, x.shape[0]).multiply_(gamma.astype(compute)).astype(x.dtype)
            output = output.reshape(x.shape).add_(x)
        ctx.learned = [not one.stop_gradient for one in (x, gamma, *tensors)]
        ctx.row_groups = len(rows.kept or ())
        kept = (rows.scale, columns.scale, *(rows.kept or ()), *(columns.kept or ()))
        ctx.save_for_backward(x, gamma, *weights, query, key, value, *kept)
        return output

    @staticmethod
    def backward(ctx: Any, upstream: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Returns the derivatives by the tensors of ``forward``, in its order; None for those without one.

        Args:
            ctx: What ``forward`` kept.
            upstream: Derivatives by the output, N×C×H×W.
        """
        x, gamma, *weights, query, key, value, row_scale, column_scale = (saved := ctx.saved_tensor())[:10]
        with paddle.amp.auto_cast(enable=False):
            in_rows = ctx.row_groups
            rows, columns = _both_directions(query, key, x.shape, keep=in_rows > 0)
            rows.scale, columns.scale = row_scale, column_scale
            if in_rows:
                rows.kept, columns.kept = list(saved[10 : 10 + in_rows]), list(saved[10 + in_rows :])
            by_projected, by_gamma = _attention_backward(rows, columns, value, upstream, gamma)
            by_x, by_parameters = _projections_backward(x, upstream, weights, by_projected)
            derivatives = (by_x, by_gamma, *by_parameters)
        return tuple(one if wanted else None for one, wanted in zip(derivatives, ctx.learned, strict=True))


def _project(pixels: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """A 1×1 convolution: N×C×HW → NHW×out."""
    weight = weight.astype(pixels.dtype).flatten(1)
    product = paddle.matmul(pixels, weight, transpose_x=True, transpose_y=True).flatten(0, 1)
    return product.add_(bias.astype(pixels.dtype))


def _channels_first(pixels: paddle.Tensor, batch: int) -> paddle.Tensor:
    """NHW×C → N×C×HW, for one image by an exchange of two axes: Paddle is slower on three."""
    images = pixels.transpose([1, 0]).contiguous().reshape([pixels.shape[1], batch, -1])
    return images.transpose([1, 0, 2]).contiguous() if batch > 1 else images.reshape([1, *images.shape[::2]])


def _both_directions(
    query: paddle.Tensor, key: paddle.Tensor, shape: list[int], keep: bool
) -> tuple[AttentionLines, AttentionLines]:
    """Rows, and columns, of queries and keys NHW×C/8 of images of that N×C×H×W."""
    batch, channels, height, width = shape
    group_bytes = _GROUP_BYTES if query.place.is_cpu_place() else _GPU_GROUP_BYTES
    by_column = paddle.arange(query.shape[0], dtype="int64").reshape([batch, height, width])
    rows, columns = (
        AttentionLines(
            query,
            key,
            length=length,
            order=order,
            without_self=order is not None,
            group=max(1, group_bytes // (_NUMBER_BYTES * length * (length + channels))),
            keep=keep,
        )
        for length, order in ((width, None), (height, by_column.transpose([0, 2, 1]).flatten()))
    )
    return rows, columns


def _turned(columns: paddle.Tensor, shape: list[int]) -> paddle.Tensor:
    """(N·W)×H×1 → (N·H)×W×1."""
    batch, _, height, width = shape
    return columns.reshape([batch, width, height]).transpose([0, 2, 1]).reshape([batch * height, width, 1])


def _normalise_jointly(rows: AttentionLines, columns: AttentionLines, shape: list[int]) -> None:
    """Makes one softmax of a pixel's row and column."""
    batch, channels, height, width = shape
    row_maximum, row_sum = rows.statistics()
    column_maximum, column_sum = (_turned(one, shape) for one in columns.statistics())
    maximum = paddle.maximum(row_maximum, column_maximum)
    row_part, column_part = paddle.exp(row_maximum - maximum), paddle.exp(column_maximum - maximum)
    total = row_part * row_sum + column_part * column_sum
    rows.normalise(row_part / total)
    columns.normalise(_turned(column_part / total, [batch, channels, width, height]))


def _attention_backward(
    rows: AttentionLines,
    columns: AttentionLines,
    value: paddle.Tensor,
    upstream: paddle.Tensor,
    gamma: paddle.Tensor,
) -> tuple[list[paddle.Tensor], paddle.Tensor]:
    """Derivatives by query, key and value, NHW×channels; and by gamma."""
    batch, channels, height, width = upstream.shape
    by_context = upstream.astype(value.dtype).flatten(2).transpose([0, 2, 1]).contiguous().flatten(0, 1)
    by_value, factor = paddle.empty_like(value), gamma.astype("float32")
    in_columns = columns.backward_of_value(value, by_context, by_value, factor)
    products = rows.backward_of_value(value, by_context, by_value, factor)
    products.add_(_turned(in_columns, upstream.shape).contiguous())
    by_query, by_key = rows.backward_of_logits(value, by_context, products, factor)
    turned = _turned(products, [batch, channels, width, height])
    for total, part in zip(
        (by_query, by_key), columns.backward_of_logits(value, by_context, turned, factor), strict=True
    ):
        total.add_(part)
    by_gamma = products.sum().reshape(gamma.shape).astype(gamma.dtype)
    return [by_query, by_key, by_value], by_gamma


def _projections_backward(
    x: paddle.Tensor,
    upstream: paddle.Tensor,
    weights: list[paddle.Tensor],
    by_projected: list[paddle.Tensor],
) -> tuple[paddle.Tensor, list[paddle.Tensor]]:
    """Derivatives by x, and by the three weights and the three biases."""
    batch = x.shape[0]
    compute = by_projected[2].dtype
    pixels, by_pixels = x.astype(compute).flatten(2), upstream.astype(compute).flatten(2)
    by_parameters: list[paddle.Tensor] = []
    for weight in (weights[2], paddle.concat(weights[:2])):
        by_one = by_projected.pop() if not by_parameters else paddle.concat(by_projected, axis=1)
        # A product with ones: sums over the first axis are slow.
        summands = at_least_float32(by_one)
        by_bias = (paddle.ones([1, summands.shape[0]], dtype=summands.dtype) @ summands)[0]
        lines = by_one.astype(compute).reshape([batch, -1, by_one.shape[1]])  # [N, HW, out]
        del by_one, summands
        factors = weight.astype(compute).flatten(1)
        by_pixels = paddle.matmul(factors, lines, transpose_x=True, transpose_y=True).add_(by_pixels)
        by_weight = at_least_float32(paddle.matmul(lines, pixels, transpose_x=True, transpose_y=True)).sum(0)
        by_parameters.append(by_weight.astype(weight.dtype).reshape(weight.shape))
        by_parameters.append(by_bias.astype(weight.dtype))
        del lines
    by_v_weight, by_v_bias, *by_both = by_parameters
    (by_q_weight, by_k_weight), (by_q_bias, by_k_bias) = (one.chunk(2) for one in by_both)
    by_x = by_pixels.reshape(x.shape).astype(x.dtype)
    return by_x, [by_q_weight, by_k_weight, by_v_weight, by_q_bias, by_k_bias, by_v_bias]
