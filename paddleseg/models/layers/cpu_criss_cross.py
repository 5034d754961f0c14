"""Criss-cross attention in float32 on the CPU, for images whose attention weights fit in memory at once.

Pixels are rows of a matrix, so that an image's row is a matrix as it lies, and its column one with a wider
step: nothing is copied to be multiplied. Queries, keys and values come of one product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import paddle
from paddle.autograd import PyLayer

from paddleseg.models.layers.attention_lines import LEAST_WEIGHT, MASKED_LOGIT
from paddleseg.models.layers.matrix_library import (
    Floats,
    check_versions,
    multiply,
    saved_versions,
    shared,
)

__all__ = ["CpuCrissCrossFunction"]

# Half a MiB at a time stays in a core's cache.
_NUMBERS_AT_ONCE = 2**17


class CpuCrissCrossFunction(PyLayer):
    """``gamma · Σ A·V + x``, differentiable once by ``x``, ``gamma``, weights and biases.

    Backward puts derivatives in the place of queries, keys and values. A second one over one graph
    (``retain_graph=True``) crashes, with any PyLayer of Paddle 3.3.1. Numbers that are not finite are the
    training's to report: NumPy's warnings would not name their cause.
    """

    @staticmethod
    @np.errstate(invalid="ignore", over="ignore")
    def forward(ctx: Any, x: paddle.Tensor, gamma: paddle.Tensor, *parameters: Any) -> paddle.Tensor:
        """Attends.

        Args:
            ctx: Where Paddle keeps what backward needs.
            x: N×C×H×W float32 on the CPU.
            gamma: [1] float32.
            parameters: Weights out×C×1×1 of query, key and value, their biases, and whether the attention
                weights are kept for backward, or else computed again.

        Returns:
            N×C×H×W float32.
        """
        *tensors, keep = parameters
        x = x.contiguous()
        batch, channels, height, width = x.shape
        query_key = _empty([batch, height, width, channels // 4])
        value = _empty([batch, height, width, channels])
        attention = _empty([batch if keep else 1, height, width, height + width])
        output = paddle.empty_like(x)
        joined = _joined(tensors)
        for image, (pixels, result) in enumerate(zip(*map(shared, (x, output)), strict=True)):
            for projected, (weight, bias) in zip((query_key, value), joined, strict=True):
                lines = shared(projected)[image].reshape(-1, len(bias))
                multiply(_lines(pixels).T, weight.T, lines)
                lines += bias
            weights = shared(attention)[image if keep else 0]
            _attend(shared(query_key)[image], weights)
            _add_context(weights, shared(value)[image], gamma.item(), pixels, result)
        ctx.learned = [not one.stop_gradient for one in (x, gamma, *tensors)]
        ctx.kept = keep
        ctx.versions = saved_versions(x, gamma, *tensors)
        ctx.save_for_backward(x, gamma, *tensors, query_key, value, *([attention] if keep else []))
        return output

    @staticmethod
    @np.errstate(invalid="ignore", over="ignore")
    def backward(ctx: Any, upstream: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Returns the derivatives by the tensors of ``forward``, in its order; None for those without one.

        Args:
            ctx: What ``forward`` kept.
            upstream: Derivatives by the output, N×C×H×W.
        """
        x, gamma, *tensors, query_key, value = (saved := ctx.saved_tensor())[:10]
        check_versions(ctx.versions, x, gamma, *tensors)
        upstream = upstream.contiguous()
        attention = saved[-1] if ctx.kept else _empty([1, *x.shape[2:], sum(x.shape[2:])])
        by_gamma = 0.0
        for image, by_output in enumerate(shared(upstream)):
            queries, values = shared(query_key)[image], shared(value)[image]
            weights = shared(attention)[image % len(attention)]
            if not ctx.kept:
                _attend(queries, weights)
            by_gamma += _attention_backward(weights, queries, values, by_output, gamma.item())
        by_x = upstream.clone()
        by_parameters = []
        for projected, (weight, bias) in zip((query_key, value), _joined(tensors), strict=True):
            by_weight, by_bias = np.zeros_like(weight), np.zeros_like(bias)
            for pixels, by_pixels, by_lines in zip(*map(shared, (x, by_x, projected)), strict=True):
                lines = by_lines.reshape(-1, len(bias))
                multiply(lines.T, _lines(pixels).T, by_weight, add=True)
                by_bias += lines.sum(axis=0)
                multiply(weight.T, lines.T, _lines(by_pixels), add=True)
            by_parameters.append([paddle.to_tensor(by_weight)[..., None, None], paddle.to_tensor(by_bias)])
        (w_both, b_both), (w_value, b_value) = by_parameters
        (w_query, w_key), (b_query, b_key) = w_both.chunk(2), b_both.chunk(2)
        by_parameters = [w_query, w_key, w_value, b_query, b_key, b_value]
        derivatives = (by_x, paddle.full_like(gamma, by_gamma), *by_parameters)
        return tuple(one if wanted else None for one, wanted in zip(derivatives, ctx.learned, strict=True))


def _joined(parameters: Sequence[paddle.Tensor]) -> list[tuple[Floats, Floats]]:
    """Weights out×C and biases of the six parameters: of query and key together, and of value."""
    query, key, value, *biases = (shared(one).reshape(one.shape[:2]) for one in parameters)
    return [(np.concatenate([query, key]), np.concatenate(biases[:2])), (value, biases[2])]


def _empty(shape: Sequence[int]) -> paddle.Tensor:
    return paddle.empty(list(shape), dtype="float32")


def _lines(image: Floats) -> Floats:
    """C×H×W → C×HW."""
    return image.reshape(len(image), -1)


def _columns(image: Floats) -> Floats:
    """H×W×C → W×H×C, a view."""
    return image.swapaxes(0, 1)


def _turned(matrices: Floats) -> Floats:
    return matrices.swapaxes(1, 2)


def _both(weights: Floats) -> tuple[Floats, Floats]:
    """The parts of H×W×(H+W) in the pixel's column, W×H×H, and in its row, H×W×W."""
    height = len(weights)
    return _columns(weights[..., :height]), weights[..., height:]


def _products(left: Floats, right: Floats, weights: Floats) -> None:
    """Each pixel's product with those of its column and row, H×W×C twice → H×W×(H+W)."""
    in_column, in_row = _both(weights)
    multiply(_columns(left), _turned(_columns(right)), in_column)
    multiply(left, _turned(right), in_row)


def _sum_over_both(weights: Floats, image: Floats, out: Floats) -> None:
    """Each pixel's weighted sum over its column and row, H×W×C."""
    in_column, in_row = _both(weights)
    multiply(in_column, _columns(image), _columns(out))
    multiply(in_row, image, out, add=True)


def _sum_by_both(weights: Floats, image: Floats, out: Floats) -> None:
    """The transpose of :func:`_sum_over_both`: what those of its column and row have of each pixel."""
    in_column, in_row = _both(weights)
    multiply(_turned(in_column), _columns(image), _columns(out))
    multiply(_turned(in_row), image, out, add=True)


def _attend(query_key: Floats, weights: Floats) -> None:
    """Fills H×W×(H+W) with the joint softmax over column and row, where the column leaves the pixel out."""
    query, key = np.split(query_key, 2, axis=-1)
    _products(query, key, weights)
    own = np.arange(len(weights))
    weights[own, :, own] = MASKED_LOGIT
    for piece in _pieces(weights):
        piece -= piece.max(axis=1, keepdims=True)
        np.exp(piece, out=piece)
        piece /= piece.sum(axis=1, keepdims=True)
        piece[piece < LEAST_WEIGHT] = 0


def _attention_backward(
    weights: Floats, query_key: Floats, value: Floats, upstream: Floats, factor: float
) -> float:
    """Puts the derivatives by query, key and value in their places; returns that by gamma.

    Args:
        weights: H×W×(H+W).
        query_key: H×W×C/4.
        value: H×W×C.
        upstream: C×H×W.
        factor: gamma.
    """
    by_context, by_weights = shared(_empty(value.shape)), shared(_empty(weights.shape))
    cv2.transpose(_lines(upstream), dst=by_context.reshape(-1, len(upstream)))
    _products(by_context, value, by_weights)
    by_context *= np.float32(
        factor
    )  # before it is summed over pixels, so that nothing overflows while gamma is 0
    _sum_by_both(weights, by_context, value)
    by_gamma = 0.0
    for piece, by_piece in zip(_pieces(weights), _pieces(by_weights), strict=True):
        sums = np.einsum("pk,pk->p", piece, by_piece)
        by_gamma += float(sums.sum(dtype=np.float64))
        by_piece -= sums[:, None]
        by_piece *= piece
        by_piece *= np.float32(factor)
    query, key = np.split(query_key, 2, axis=-1)
    by_query = shared(_empty(query.shape))
    _sum_over_both(by_weights, key, by_query)
    _sum_by_both(by_weights, query, key)
    query[...] = by_query
    return by_gamma


def _add_context(weights: Floats, value: Floats, factor: float, pixels: Floats, out: Floats) -> None:
    """Writes ``factor · weighted sums of the values + pixels`` as C×H×W.

    Args:
        weights: H×W×(H+W).
        value: H×W×C.
        factor: gamma.
        pixels: C×H×W.
        out: C×H×W.
    """
    context = shared(_empty(value.shape))
    _sum_over_both(weights, value, context)
    context *= np.float32(factor)
    cv2.transpose(context.reshape(-1, len(out)), dst=_lines(out))
    out += pixels


def _pieces(weights: Floats) -> Iterator[Floats]:
    """Some pixels of H×W×(H+W) at a time, as P×(H+W)."""
    lines = weights.reshape(-1, weights.shape[-1])
    step = max(1, _NUMBERS_AT_ONCE // lines.shape[1])
    return (lines[start : start + step] for start in range(0, len(lines), step))
