"""The mathematics of the losses that ask of every class by itself whether a pixel belongs to it.

Pure functions, in float32 whatever the logits' type. With z the logit where the pixel belongs to the class
and its negative elsewhere, the probability of the truth is sigmoid(z), and everything is written with
softplus(z) = log(1 + exp z), which does not overflow.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from paddleseg.losses.functional import as_float32, class_members

__all__ = ["balance", "binary_cross_entropy", "binary_truth", "sigmoid_focal"]


def binary_truth(labels: Tensor, num_channels: int, *, ignore_index: int) -> Tensor:
    """Which pixels belong to which class.

    Args:
        labels: N×H×W int64.
        num_channels: The logits' channels. A single one is that of class 1.
        ignore_index: The label of pixels that do not count.

    Returns:
        N×C×H×W bool; false at ignored pixels.
    """
    if num_channels > 1:
        return class_members(labels, num_channels, ignore_index=ignore_index)
    return ((labels == 1) & (labels != ignore_index)).unsqueeze(1)


def binary_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """−log of the truth's probability, for every logit.

    Args:
        logits: N×C×H×W, any float type.
        truth: The same shape, bool.

    Returns:
        The same shape, float32.
    """
    logits = as_float32(logits)
    return F.softplus(paddle.where(truth, -logits, logits))


def sigmoid_focal(logits: Tensor, truth: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Focal loss of every logit: −a·(1 − p)^gamma·log p, p the truth's probability.

    Source: Lin et al., ICCV 2017 (arXiv 1708.02002), section 3.

    Args:
        logits: N×C×H×W, any float type.
        truth: The same shape, bool.
        alpha: The weight a where the truth is yes; it is 1 − alpha where it is no.
        gamma: How strongly easy logits are weighed down; 0 does not.

    Returns:
        The same shape, float32.
    """
    logits = as_float32(logits)
    z = paddle.where(truth, logits, -logits)
    # 1 − p = sigmoid(−z) = exp(−softplus(z)): a power of it has a finite slope everywhere.
    loss = paddle.exp(-gamma * F.softplus(z)) * F.softplus(-z)
    return loss * paddle.where(truth, paddle.full([], alpha), paddle.full([], 1.0 - alpha))


@paddle.no_grad()
def balance(truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Weights by which all yeses together count as much as all noes.

    Args:
        truth: N×C×H×W bool, false at ignored pixels.
        valid: N×H×W bool.

    Returns:
        The weight of a yes, 2·noes/all, and of a no, 2·yeses/all: two scalars, float32. Where there are none
        of one kind the other weighs nothing.
    """
    yes = truth.astype("int64").sum()
    everything = valid.astype("int64").sum() * truth.shape[1]
    share = yes.astype("float32") / everything.clip(min=1).astype("float32")
    any_valid = valid.any().astype("float32")
    return 2.0 * (1.0 - share) * any_valid, 2.0 * share
