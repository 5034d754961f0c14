"""Cross-entropy of every pixel on the CPU, in NumPy.

Paddle's kernel works through the classes of one pixel after the other and keeps the softmax of all for
backward. This one takes as many pixels at a time as the cache holds, class by class with vector instructions,
keeps one number a pixel, and computes the softmax again in backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor
from paddle.autograd import PyLayer

from paddleseg.errors import DataError

__all__ = ["cpu_cross_entropy"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Half a MiB of logits at a time: they and the array of their exponentials stay in the second-level cache.
LOGITS_AT_ONCE = 2**17


def cpu_cross_entropy(logits: Tensor, labels: Tensor, *, ignore_index: int) -> Tensor:
    """Cross-entropy of every pixel of tensors in the CPU's memory.

    Args:
        logits: N×C×H×W float32.
        labels: N×H×W int64, 0..C−1 or ``ignore_index``.
        ignore_index: The label of pixels that do not count.

    Returns:
        N×H×W float32: −log softmax at the true class, 0 at ignored pixels.

    Raises:
        DataError: A label lies outside the classes.
    """
    ids = _shared(labels)
    valid = ids != ignore_index
    classes = np.where(valid, ids, 0)
    if classes.size and not 0 <= classes.min() <= classes.max() < logits.shape[1]:
        outside = np.unique(classes[(classes < 0) | (classes >= logits.shape[1])])[:5]
        raise DataError(
            f"label (ignore_index is {ignore_index}): values {outside.tolist()} lie outside "
            f"0..{logits.shape[1] - 1}; check num_classes and the label ids"
        )
    loss: Tensor = _CrossEntropy.apply(logits, classes, valid)
    return loss


class _CrossEntropy(PyLayer):
    """Gradient of the logits: (softmax − one-hot) · gradient of the loss, 0 at ignored pixels.

    A second backward over one graph (``retain_graph=True``) crashes, with any PyLayer of Paddle 3.3.1.
    Losses that are not finite are the training's to report: NumPy's warnings would not name their cause.
    """

    @staticmethod
    @np.errstate(invalid="ignore", over="ignore")
    def forward(ctx: Any, logits: Tensor, classes: Integers, valid: npt.NDArray[np.bool_]) -> Tensor:
        scores = _flat(logits)
        classes, valid = classes.reshape(len(scores), -1), valid.reshape(len(scores), -1)
        log_sum = np.empty(classes.shape, dtype=np.float32)
        loss = paddle.empty([logits.shape[0], *logits.shape[2:]], dtype="float32")
        losses = _shared(loss).reshape(classes.shape)
        for image, pixels in _pieces(scores):
            piece = scores[image, :, pixels]
            largest = piece.max(axis=0)
            shifted = piece - largest
            of_class = shifted[classes[image, pixels], np.arange(shifted.shape[1])]
            total = np.log(np.exp(shifted, out=shifted).sum(axis=0))
            log_sum[image, pixels] = total + largest
            losses[image, pixels] = np.where(valid[image, pixels], total - of_class, 0)
        ctx.save_for_backward(logits)
        ctx.classes, ctx.valid, ctx.log_sum = classes, valid, log_sum
        return loss

    @staticmethod
    @np.errstate(invalid="ignore", over="ignore")
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensor()
        gradient = paddle.empty_like(logits)
        scores, gradients = _flat(logits), _flat(gradient)
        slopes = np.where(ctx.valid, _shared(slope).reshape(ctx.classes.shape), 0)
        for image, pixels in _pieces(scores):
            piece, own = gradients[image, :, pixels], slopes[image, pixels]
            np.exp(np.subtract(scores[image, :, pixels], ctx.log_sum[image, pixels], out=piece), out=piece)
            piece *= own
            piece[ctx.classes[image, pixels], np.arange(piece.shape[1])] -= own
        return gradient


def _shared(values: Tensor) -> npt.NDArray[Any]:
    """The tensor's own memory as an array."""
    array: npt.NDArray[Any] = np.from_dlpack(values.detach())
    return array


def _flat(values: Tensor) -> Floats:
    """N×C×P view of an N×C×H×W tensor."""
    array = _shared(values)
    return array.reshape(*array.shape[:2], array.shape[2] * array.shape[3])


def _pieces(scores: Floats) -> Iterator[tuple[int, slice]]:
    """Image and range of pixels of every piece."""
    images, channels, pixels = scores.shape
    step = max(1, LOGITS_AT_ONCE // max(1, channels))
    for image in range(images):
        for start in range(0, pixels, step):
            yield image, slice(start, start + step)
