"""The mathematics of how far a prediction and the truth overlap: pure functions of tensors, in float32."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor

from paddleseg.losses.functional import as_float32, class_members, masked

__all__ = ["dice_loss", "soft_counts", "tversky_loss"]

EPS = 1e-8


def soft_counts(logits: Tensor, labels: Tensor, *, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """How many pixels are found, wrong and missed (TP, FP, FN), counted in softmax probabilities.

    Args:
        logits: N×C×H×W, any float type.
        labels: N×H×W int64.
        ignore_index: The label of pixels that do not count.

    Returns:
        Three times N×C float32.
    """
    valid = labels != ignore_index
    truth = class_members(labels, logits.shape[1], ignore_index=ignore_index).astype("float32")
    prediction = masked(F.softmax(as_float32(logits), axis=1), valid)
    found = (prediction * truth).sum(axis=[2, 3])
    return found, prediction.sum(axis=[2, 3]) - found, truth.sum(axis=[2, 3]) - found


def dice_loss(logits: Tensor, labels: Tensor, *, ignore_index: int, smooth: float) -> Tensor:
    """Soft Dice loss of every class, a mean over the images.

    It is 1 − (2·|P∩T| + smooth) / (|P| + |T| + smooth + 1e-8), P the probabilities and T the truth.
    Source: V-Net (arXiv 1606.04797), section 3, as in PaddleSeg's ``DiceLoss``.

    Args:
        logits: N×C×H×W, any float type.
        labels: N×H×W int64.
        ignore_index: The label of pixels that do not count.
        smooth: Added to both sides of the fraction.

    Returns:
        [C] float32; all 0 when every pixel is ignored.
    """
    found, wrong, missed = soft_counts(logits, labels, ignore_index=ignore_index)
    loss = 1.0 - (2.0 * found + smooth) / (2.0 * found + wrong + missed + smooth + EPS)
    return loss.mean(axis=0) * (labels != ignore_index).any().astype("float32")


def tversky_loss(
    logits: Tensor, labels: Tensor, *, alpha: float, beta: float, ignore_index: int, smooth: float
) -> Tensor:
    """Tversky loss of every class, a mean over the images.

    It is 1 − (TP + smooth) / (TP + alpha·FP + beta·FN + smooth + 1e-8), counted in probabilities.
    Source: Salehi et al. (arXiv 1706.05721), section 2.2.

    Args:
        logits: N×C×H×W, any float type.
        labels: N×H×W int64.
        alpha: Weight of the false positives.
        beta: Weight of the false negatives.
        ignore_index: The label of pixels that do not count.
        smooth: Added to both sides of the fraction.

    Returns:
        [C] float32; all 0 when every pixel is ignored.
    """
    found, wrong, missed = soft_counts(logits, labels, ignore_index=ignore_index)
    loss = 1.0 - (found + smooth) / (found + alpha * wrong + beta * missed + smooth + EPS)
    return loss.mean(axis=0) * (labels != ignore_index).any().astype("float32")
