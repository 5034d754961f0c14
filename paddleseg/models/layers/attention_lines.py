"""Attention of each pixel to its line, for many lines at once: the rows of a batch of images, or the columns.

The softmax may have more terms than the line: the caller gives each pixel a factor, ``scale``.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

__all__ = ["AttentionLines", "turned"]

# Finite, so that a masked logit never turns into NaN, and far below any real one.
_MASKED_LOGIT = -1e30
_LOGIT_BYTES = 4
# Nothing beside a weight that counts; but processors take a hundred times longer over the products of numbers
# below 1e-38, which peaked softmaxes are full of.
_LEAST_WEIGHT = 1e-20


def turned(lines: paddle.Tensor, batch: int) -> paddle.Tensor:
    """Makes columns of rows, or rows of columns.

    Args:
        lines: (batch · lines)×length×channels.
        batch: Images.

    Returns:
        (batch · length)×lines×channels.
    """
    total, length, channels = lines.shape
    count = total // batch
    # The fastest of Paddle's exchanges of two axes; a view with exchanged axes would be computed on slowly.
    shuffled = F.channel_shuffle(lines.reshape([batch, count * length, channels, 1]), count)
    return shuffled.reshape([batch * length, count, channels])


class AttentionLines:
    """Lines L×C/8 of queries and keys, in groups whose logits fit into a number of bytes.

    Args:
        query: B×L×C/8 float32, B lines of all images.
        key: B×L×C/8 float32.
        without_self: Whether a pixel leaves itself out.
        group_bytes: Bytes of a group's logits; a group has one line at least.

    Attributes:
        scale: B×L×1, what ``exp(logit − maximum of the line)`` is multiplied by to be a weight.
        kept: All weights B×L×L where one group holds them, else None.
    """

    def __init__(
        self, query: paddle.Tensor, key: paddle.Tensor, *, without_self: bool, group_bytes: int
    ) -> None:
        lines, length = query.shape[:2]
        size = max(1, group_bytes // (_LOGIT_BYTES * length**2))
        self._query, self._key = query, key
        self._mask = paddle.eye(length, dtype="float32") * _MASKED_LOGIT if without_self else None
        self._groups = [slice(start, start + size) for start in range(0, lines, size)]
        self._by_weights: paddle.Tensor | None = None
        self.scale: paddle.Tensor | None = None
        self.kept: paddle.Tensor | None = None

    def statistics(self) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Returns the maximum of each pixel's logits and the sum of ``exp(logit − maximum)``, both B×L×1."""
        maxima, sums = [], []
        for group in self._groups:
            exponentials, maximum = self._exponentials(group)
            maxima.append(maximum)
            sums.append(exponentials.sum(-1, keepdim=True))
            if len(self._groups) == 1:
                self.kept = exponentials
        return paddle.concat(maxima), paddle.concat(sums)

    def normalise(self, scale: paddle.Tensor) -> None:
        """Takes the factors B×L×1 that turn exponentials into weights."""
        self.scale = scale
        if self.kept is not None:
            _weigh(self.kept, scale)

    def gather(self, value: paddle.Tensor) -> paddle.Tensor:
        """Returns the weighted sums B×L×C of values B×L×C."""
        return _joined([self._weights(group).astype(value.dtype) @ value[group] for group in self._groups])

    def add_gathered(self, value: paddle.Tensor, total: paddle.Tensor) -> None:
        """Adds what :meth:`gather` returns to ``total``, B×L×C."""
        for group in self._groups:
            paddle.baddbmm_(total[group], self._weights(group).astype(value.dtype), value[group])

    def products(self, value: paddle.Tensor, upstream: paddle.Tensor) -> paddle.Tensor:
        """Returns each pixel's ``upstream · weighted sum of the values``, B×L×1 float32.

        Args:
            value: B×L×C.
            upstream: B×L×C, derivatives by the weighted sums.
        """
        parts = []
        for group in self._groups:
            weights, by_weights = self._with_derivatives(group, value, upstream)
            parts.append((weights * by_weights).sum(-1, keepdim=True))
            if len(self._groups) == 1:
                self._by_weights = by_weights
        return _joined(parts)

    def backward(
        self, value: paddle.Tensor, upstream: paddle.Tensor, products: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Differentiates :meth:`gather` with a softmax over this line and more.

        Args:
            value: B×L×C.
            upstream: B×L×C, derivatives by the weighted sums.
            products: B×L×1, :meth:`products` summed over all that the softmax ran over.

        Returns:
            Derivatives by query (B×L×C/8), key (B×L×C/8) and value (B×L×C).
        """
        parts = []
        for group in self._groups:
            weights, by_logits = self._with_derivatives(group, value, upstream)
            by_logits.subtract_(products[group]).multiply_(weights)
            by_query = by_logits @ self._key[group]
            by_key = paddle.matmul(by_logits, self._query[group], transpose_x=True)
            weights = weights.astype(value.dtype)
            parts.append((by_query, by_key, paddle.matmul(weights, upstream[group], transpose_x=True)))
        by_query, by_key, by_value = (_joined(list(one)) for one in zip(*parts, strict=True))
        return by_query, by_key, by_value

    def _with_derivatives(
        self, group: slice, value: paddle.Tensor, upstream: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Weights of a group, and derivatives by them as if they were free."""
        by_weights, self._by_weights = self._by_weights, None
        if by_weights is None:
            by_weights = paddle.matmul(upstream[group], value[group], transpose_y=True).astype("float32")
        return self._weights(group), by_weights

    def _weights(self, group: slice) -> paddle.Tensor:
        if self.kept is not None:
            return self.kept
        assert self.scale is not None
        return _weigh(self._exponentials(group)[0], self.scale[group])

    def _exponentials(self, group: slice) -> tuple[paddle.Tensor, paddle.Tensor]:
        """``exp(logit − maximum)`` and the maximum."""
        logits = paddle.matmul(self._query[group], self._key[group], transpose_y=True)
        if self._mask is not None:
            logits.add_(self._mask)
        maximum = logits.max(-1, keepdim=True)
        return logits.subtract_(maximum).exp_(), maximum


def _weigh(exponentials: paddle.Tensor, scale: paddle.Tensor) -> paddle.Tensor:
    """Makes weights of a group's exponentials, in their place."""
    return F.thresholded_relu_(exponentials.multiply_(scale), _LEAST_WEIGHT)


def _joined(parts: list[paddle.Tensor]) -> paddle.Tensor:
    return parts[0] if len(parts) == 1 else paddle.concat(parts)
