"""The mathematics of the losses: pure functions of tensors, which never write to their inputs.

Everything is computed in float32, whatever the logits' type. Nothing reads a value back to the host, so a
step on a GPU does not wait for the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from paddleseg.losses.cpu_cross_entropy import cpu_cross_entropy

__all__ = [
    "LOWEST",
    "as_float32",
    "as_labels",
    "class_members",
    "jaccard_weights",
    "kth_smallest",
    "log_sum_exp",
    "lovasz_softmax",
    "masked",
    "ohem_kept",
    "pixel_cross_entropy",
    "pixel_weights",
    "valid_mean",
]

LOWEST = -1e30  # so small that exp gives 0, so large that differences stay finite
RADIX = 2**10


def as_float32(values: Tensor) -> Tensor:
    """Casts to float32, without a copy where it is float32 already."""
    return values if values.dtype == paddle.float32 else values.astype("float32")


def as_labels(labels: Tensor, logits: Tensor) -> Tensor:
    """Checks that the labels fit the logits, and casts them to int64.

    Args:
        labels: N×H×W, integers.
        logits: N×C×H×W.

    Raises:
        ValueError: The shapes disagree.
    """
    batch, _, height, width = logits.shape
    if list(labels.shape) != [batch, height, width]:
        raise ValueError(
            f"labels of shape {list(labels.shape)} do not fit logits of shape {list(logits.shape)}; "
            f"expected {[batch, height, width]}"
        )
    return labels if labels.dtype == paddle.int64 else labels.astype("int64")


def pixel_cross_entropy(logits: Tensor, labels: Tensor, *, ignore_index: int) -> Tensor:
    """Cross-entropy of every pixel.

    Args:
        logits: N×C×H×W, any float type.
        labels: N×H×W int64, 0..C−1 or ``ignore_index``.
        ignore_index: The label of pixels that do not count.

    Returns:
        N×H×W float32: −log softmax at the true class, 0 at ignored pixels.
    """
    logits = as_float32(logits)
    if paddle.in_dynamic_mode() and logits.place.is_cpu_place():
        return cpu_cross_entropy(logits, labels, ignore_index=ignore_index)
    loss = F.cross_entropy(logits, labels.unsqueeze(1), axis=1, ignore_index=ignore_index, reduction="none")
    return loss.squeeze(1)


def log_sum_exp(logits: Tensor) -> Tensor:
    """log Σ exp over the classes, N×C×H×W → N×H×W float32; Paddle's takes twice as long on CPU (3.3.1)."""
    largest = logits.detach().max(axis=1, keepdim=True)
    return paddle.log(paddle.exp(logits - largest).sum(axis=1)) + largest.squeeze(1)


def pixel_weights(labels: Tensor, valid: Tensor, weight: Sequence[float]) -> Tensor:
    """The class weight of every pixel.

    Args:
        labels: N×H×W int64.
        valid: N×H×W bool; other pixels read the weight of class 0.
        weight: One weight a class.

    Returns:
        N×H×W float32.
    """
    safe = paddle.where(valid, labels, paddle.zeros_like(labels))
    table = paddle.to_tensor(list(weight), dtype="float32")
    return paddle.gather(table, safe.flatten()).reshape(labels.shape)


def valid_mean(loss: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid pixels, and over the channels where there are any.

    Args:
        loss: N×C×H×W or N×H×W float32, finite at ignored pixels.
        valid: N×H×W bool.

    Returns:
        A scalar; 0 when every pixel is ignored.
    """
    channels = 1
    if loss.ndim == 4:
        channels = loss.shape[1]
        loss = loss.sum(axis=1)
    counted = valid.astype("float32")
    count = valid.astype("int64").sum().clip(min=1).astype("float32")
    return (loss * counted).sum() / (count * channels)


@paddle.no_grad()
def ohem_kept(probability: Tensor, valid: Tensor, *, thresh: float, min_kept: int) -> Tensor:
    """The pixels that online hard example mining keeps.

    A pixel is kept when its true class has a probability strictly below the threshold: ``thresh``, or the
    ``min_kept``-th smallest probability of the batch where that is larger. Nothing is mined away where the
    batch has ``min_kept`` valid pixels or fewer. Source: PaddleSeg's ``OhemCrossEntropyLoss``.

    Args:
        probability: Any shape, float32: the probability of the true class.
        valid: The same shape, bool: the pixels that are not ignored.
        thresh: Probability at which a pixel is easy.
        min_kept: How many pixels the threshold must let through, about; counted over the whole batch. 0: the
            threshold is ``thresh``.

    Returns:
        The same shape, bool; never true at an ignored pixel.
    """
    if min_kept >= probability.size:
        return valid
    threshold = paddle.full([], thresh, dtype="float32")
    if min_kept > 0:
        # Ignored pixels come behind every probability, so they never set the threshold while mining is on.
        behind = paddle.full([], 2.0, dtype="float32")
        smallest = kth_smallest(paddle.where(valid, probability, behind), min_kept)
        mining_off = valid.astype("int64").sum() <= min_kept
        threshold = paddle.where(mining_off, behind, paddle.maximum(threshold, smallest))
    return (probability < threshold) & valid


@paddle.no_grad()
def kth_smallest(values: Tensor, k: int) -> Tensor:
    """The k-th smallest value, without a sort and without reading back to the host.

    The bits of floats that are not negative sort as integers. Three histograms find the bits, 10 at a time.

    Args:
        values: Any shape, float32, all from 0 to 2.
        k: From 1 to the number of values.

    Returns:
        A float32 scalar.
    """
    rest = values.flatten().view("int32").astype("int64")
    found, rank = paddle.zeros([], dtype="int64"), paddle.full([], k, dtype="int64")
    for width in (RADIX**2, RADIX, 1):
        # Bin i counts where rest // width is i. There is one bin more than digits: the bits of 2.0 are 2³⁰.
        counts = paddle.histogram(rest, bins=RADIX + 1, min=0, max=(RADIX + 1) * width)
        below = (paddle.cumsum(counts) < rank).astype("int64")
        rank = rank - (counts * below).sum()
        digit = below.sum() * width
        found, rest = found + digit, rest - digit
    return found.astype("int32").view("float32")


def class_members(labels: Tensor, num_classes: int, *, ignore_index: int) -> Tensor:
    """One-hot labels, laid out as the logits are.

    Returns:
        N×C×H×W bool; false in every class at ignored pixels.
    """
    known = paddle.where(labels != ignore_index, labels, paddle.full_like(labels, -1))
    # One comparison a class: Paddle's broadcasting takes three times as long.
    return paddle.stack([known == index for index in range(num_classes)], axis=1)


def masked(values: Tensor, valid: Tensor) -> Tensor:
    """N×C×H×W values, 0 in every class where N×H×W ``valid`` is false."""
    # The mask written out: Paddle's broadcasting takes twice as long, forward and backward.
    return values * valid.astype(values.dtype).unsqueeze(1).expand(values.shape)


@paddle.no_grad()
def jaccard_weights(errors: Tensor, member: Tensor) -> Tensor:
    """The gradient of the Lovász extension of the Jaccard loss of one class.

    Algorithm 1 of arXiv 1705.08790 takes differences of neighbouring Jaccard values, which cancel in float32.
    Written out, the k-th difference in order of falling error is 1/union where pixel k belongs to the class
    and rest/(union·(union−1)) where it does not: rest = class pixels still to come, union = class pixels plus
    the others seen up to k.

    Args:
        errors: [P] float32, at least 0.
        member: [P] bool: the pixels of the class.

    Returns:
        [P] float32, in the order of ``errors``.
    """
    order = paddle.argsort(errors, descending=True)
    belongs = paddle.gather(member.astype("int64"), order)
    seen = paddle.cumsum(belongs)
    rest = (belongs.sum() - seen).astype("float32")
    position = paddle.arange(1, belongs.shape[0] + 1, dtype="int64")
    union = (belongs.sum() + position - seen).astype("float32")
    inside = 1.0 / union
    outside = rest / (union * paddle.clip(union - 1.0, min=1.0))
    # A union of 1 at a pixel outside: the class is absent, and its largest error is the whole loss.
    weights = paddle.where((belongs > 0) | (union == 1.0), inside, outside)
    return paddle.scatter(paddle.zeros_like(errors), order, weights)


def lovasz_softmax(
    logits: Tensor, labels: Tensor, *, ignore_index: int, classes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The Lovász-softmax loss of each class over all valid pixels of the batch.

    Source: Berman et al., CVPR 2018 (arXiv 1705.08790), section 3.

    Args:
        logits: N×C×H×W, any float type.
        labels: N×H×W int64.
        ignore_index: The label of pixels that do not count.
        classes: The K classes wanted.

    Returns:
        The losses ([K] float32) and which classes have pixels ([K] bool).
    """
    valid = labels != ignore_index
    losses, present = [], []
    # unbind, not slices: the gradient of each slice would be a tensor of the full size.
    by_class = F.softmax(as_float32(logits), axis=1).unbind(axis=1)
    for index in classes:
        member = (labels == index) & valid
        error = paddle.where(member, 1.0 - by_class[index], by_class[index])
        # Ignored pixels have no error: they sort last, where they add nothing to the loss.
        error = paddle.where(valid, error, paddle.zeros_like(error)).flatten()
        losses.append((error * jaccard_weights(error.detach(), member.flatten())).sum())
        present.append(member.any())
    return paddle.stack(losses), paddle.stack(present)
