"""The soft Dice loss."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

from paddleseg.losses import functional
from paddleseg.losses.base import check_ignore_index, check_weight, match_weight
from paddleseg.losses.functional_overlap import dice_loss
from paddleseg.registry import LOSSES

__all__ = ["DiceLoss"]


@LOSSES.register
class DiceLoss:
    """Soft Dice loss: a mean over the classes (and images) of 1 − Dice between probabilities and labels.

    Source: PaddleSeg's ``DiceLoss``; the method: V-Net (arXiv 1606.04797).

    Args:
        weight: One factor a class; the sum is still divided by the number of classes.
        ignore_index: The label of pixels that do not count.
        smooth: Added to both sides of the fraction: a class absent from label and prediction costs nothing.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self, weight: Sequence[float] | None = None, ignore_index: int = 255, smooth: float = 1.0
    ) -> None:
        if smooth < 0:
            raise ValueError(f"smooth: got {smooth}; expected 0 or more")
        self.weight = check_weight(weight)
        self.ignore_index = check_ignore_index(ignore_index)
        self.smooth = float(smooth)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.
        """
        labels = functional.as_labels(labels, logits)
        loss = dice_loss(logits, labels, ignore_index=self.ignore_index, smooth=self.smooth)
        if self.weight is not None:
            loss = loss * paddle.to_tensor(match_weight(self.weight, logits.shape[1], self), dtype="float32")
        return loss.mean()
