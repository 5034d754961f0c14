"""Attention of each pixel to its line, for many lines: the rows of a batch of images, or the columns.

Lines are done in groups whose logits and values are small. The softmax may have more terms than the line: the
caller gives each pixel a factor, ``scale``.
"""

from __future__ import annotations

from collections.abc import Iterator

import paddle
import paddle.nn.functional as F

__all__ = ["LEAST_WEIGHT", "MASKED_LOGIT", "AttentionLines", "at_least_float32"]

# Finite, so that a masked logit never turns into NaN, and far below any real one.
MASKED_LOGIT = -1e30
# Nothing beside a weight that counts; but processors take a hundred times longer over the products of numbers
# below 1e-38, which peaked softmaxes are full of.
LEAST_WEIGHT = 1e-20


class AttentionLines:
    """B lines of L pixels, P = B·L pixels in all.

    Args:
        query: P×C/8 float32.
        key: P×C/8 float32.
        length: L.
        order: The pixels' numbers, line by line, int64 of P; None where the pixels lie so.
        without_self: Whether a pixel leaves itself out.
        group: Lines of a group.
        keep: Whether weights are kept once they are computed.

    Attributes:
        scale: B×L×1, what ``exp(logit − maximum of the line)`` is multiplied by to be a weight.
        kept: Weights of each group, lines×L×L; None unless they are kept.
    """

    def __init__(
        self,
        query: paddle.Tensor,
        key: paddle.Tensor,
        *,
        length: int,
        order: paddle.Tensor | None,
        without_self: bool,
        group: int,
        keep: bool,
    ) -> None:
        pixels = query.shape[0]
        self._length, self._order = length, order
        self._starts = range(0, pixels // length, group)
        self._group = group
        self._mask = paddle.eye(length, dtype="float32") * MASKED_LOGIT if without_self else None
        ordered = (query, key) if order is None else (paddle.gather(one, order) for one in (query, key))
        self._query, self._key = (one.reshape([-1, length, one.shape[1]]) for one in ordered)
        self._kept_by_weights: list[paddle.Tensor] = []
        self.scale: paddle.Tensor | None = None
        self.kept: list[paddle.Tensor] | None = [] if keep else None

    def statistics(self) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Returns the maximum of each pixel's logits and the sum of ``exp(logit − maximum)``, both B×L×1."""
        maxima, sums = [], []
        for lines in self._all_lines():
            exponentials, maximum = self._exponentials(lines)
            maxima.append(maximum)
            sums.append(exponentials.sum(-1, keepdim=True))
            if self.kept is not None:
                self.kept.append(exponentials)
        return paddle.concat(maxima), paddle.concat(sums)

    def normalise(self, scale: paddle.Tensor) -> None:
        """Takes the factors B×L×1 that turn exponentials into weights."""
        self.scale = scale
        if self.kept is not None:
            for lines, exponentials in zip(self._all_lines(), self.kept, strict=True):
                _weigh(exponentials, scale[lines])

    def gather(self, value: paddle.Tensor, total: paddle.Tensor) -> None:
        """Computes each pixel's weighted sum of its line's values.

        Args:
            value: P×C.
            total: P×C, where the sums are written, or added if there is no ``order``.
        """
        for place, lines in enumerate(self._all_lines()):
            weights = self._weights(place, lines).astype(value.dtype)
            self._write(total, lines, weights @ self._read(value, lines))

    def backward_of_value(
        self, value: paddle.Tensor, upstream: paddle.Tensor, by_value: paddle.Tensor, factor: paddle.Tensor
    ) -> paddle.Tensor:
        """The part of the derivatives that needs this direction alone.

        Args:
            value: P×C.
            upstream: P×C, derivatives by ``factor`` times the weighted sums.
            by_value: P×C, where derivatives by the values are written, or added if there is no ``order``.
            factor: [1] float32.

        Returns:
            Each pixel's ``upstream · weighted sum``, B×L×1 float32.
        """
        products = []
        for place, lines in enumerate(self._all_lines()):
            weights, arriving = self._weights(place, lines), self._read(upstream, lines)
            by_weights = _by_weights(self._read(value, lines), arriving)
            products.append((weights * by_weights).sum(-1, keepdim=True))
            arriving = at_least_float32(arriving)
            leaving = paddle.matmul(weights.astype(arriving.dtype), arriving, transpose_x=True)
            leaving.multiply_(factor.astype(leaving.dtype))
            self._write(by_value, lines, leaving.astype(value.dtype))
            if self.kept is not None:
                self._kept_by_weights.append(by_weights)
        return paddle.concat(products)

    def backward_of_logits(
        self, value: paddle.Tensor, upstream: paddle.Tensor, products: paddle.Tensor, factor: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The other part, after :meth:`backward_of_value` of all that the softmax ran over.

        Args:
            value: P×C.
            upstream: P×C, derivatives by ``factor`` times the weighted sums.
            products: B×L×1, what that function returned, summed over all that the softmax ran over.
            factor: [1] float32.

        Returns:
            Derivatives by query and by key, P×C/8.
        """
        by_query, by_key = paddle.empty_like(self._query), paddle.empty_like(self._key)
        for place, lines in enumerate(self._all_lines()):
            if self.kept is not None:
                by_logits = self._kept_by_weights[place]
            else:
                by_logits = _by_weights(self._read(value, lines), self._read(upstream, lines))
            by_logits.subtract_(products[lines]).multiply_(self._weights(place, lines)).multiply_(factor)
            by_query[lines] = by_logits @ self._key[lines]
            by_key[lines] = paddle.matmul(by_logits, self._query[lines], transpose_x=True)
        return self._back_in_order(by_query), self._back_in_order(by_key)

    def _all_lines(self) -> Iterator[slice]:
        return (slice(start, start + self._group) for start in self._starts)

    def _weights(self, place: int, lines: slice) -> paddle.Tensor:
        if self.kept is not None:
            return self.kept[place]
        assert self.scale is not None
        return _weigh(self._exponentials(lines)[0], self.scale[lines])

    def _exponentials(self, lines: slice) -> tuple[paddle.Tensor, paddle.Tensor]:
        """``exp(logit − maximum)`` and the maximum."""
        logits = paddle.matmul(self._query[lines], self._key[lines], transpose_y=True)
        if self._mask is not None:
            logits.add_(self._mask)
        maximum = logits.max(-1, keepdim=True)
        return logits.subtract_(maximum).exp_(), maximum

    def _pixels(self, lines: slice) -> slice:
        return slice(lines.start * self._length, lines.stop * self._length)

    def _read(self, image: paddle.Tensor, lines: slice) -> paddle.Tensor:
        """P×C → lines×L×C; for lines as they lie nothing is copied."""
        pixels = self._pixels(lines)
        part = image[pixels] if self._order is None else paddle.gather(image, self._order[pixels])
        return part.reshape([-1, self._length, image.shape[1]])

    def _write(self, image: paddle.Tensor, lines: slice, part: paddle.Tensor) -> None:
        pixels = self._pixels(lines)
        flat = part.flatten(0, 1)
        if self._order is not None:
            paddle.scatter_(image, self._order[pixels], flat, overwrite=True)
        else:
            image[pixels].add_(flat)

    def _back_in_order(self, lines: paddle.Tensor) -> paddle.Tensor:
        flat = lines.flatten(0, 1)
        if self._order is None:
            return flat
        return paddle.scatter_(paddle.empty_like(flat), self._order, flat, overwrite=True)


def at_least_float32(values: paddle.Tensor) -> paddle.Tensor:
    """Returns what can be summed without overflow: mixed precision multiplies losses by 2^15 and more."""
    return values.astype("float32") if values.dtype in (paddle.float16, paddle.bfloat16) else values


def _by_weights(value: paddle.Tensor, upstream: paddle.Tensor) -> paddle.Tensor:
    """Derivatives by the weights, as if they were free, but for the factor of the weighted sums."""
    product = paddle.matmul(at_least_float32(upstream), at_least_float32(value), transpose_y=True)
    return product.astype("float32")


def _weigh(exponentials: paddle.Tensor, scale: paddle.Tensor) -> paddle.Tensor:
    """Makes weights of a group's exponentials, in their place."""
    return F.thresholded_relu_(exponentials.multiply_(scale), LEAST_WEIGHT)
