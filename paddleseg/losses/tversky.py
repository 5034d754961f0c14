"""The Tversky loss."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

from paddleseg.losses import functional
from paddleseg.losses.base import check_at_least, check_ignore_index, check_weight, match_weight
from paddleseg.losses.functional_overlap import tversky_loss
from paddleseg.registry import LOSSES

__all__ = ["TverskyLoss"]


@LOSSES.register
class TverskyLoss:
    """1 − TP / (TP + alpha·FP + beta·FN), counted in probabilities: a mean over the classes and images.

    With ``alpha = beta = 0.5`` and half its ``smooth`` it is the Dice loss; a larger ``beta`` finds more of
    small classes. Source: Salehi et al., MLMI 2017 (arXiv 1706.05721), whose best result has the defaults.

    Args:
        alpha: Weight of the false positives, at least 0.
        beta: Weight of the false negatives, at least 0.
        weight: One factor a class; the sum is still divided by the number of classes.
        ignore_index: The label of pixels that do not count.
        smooth: Added to both sides of the fraction: a class absent from label and prediction costs nothing.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        smooth: float = 1.0,
    ) -> None:
        self.alpha = check_at_least("alpha", alpha, 0)
        self.beta = check_at_least("beta", beta, 0)
        if not self.alpha and not self.beta:
            raise ValueError("alpha: got 0 and a beta of 0; expected one above 0, or nothing is learnt")
        self.weight = check_weight(weight)
        self.ignore_index = check_ignore_index(ignore_index)
        self.smooth = check_at_least("smooth", smooth, 0)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.
        """
        labels = functional.as_labels(labels, logits)
        loss = tversky_loss(
            logits,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            ignore_index=self.ignore_index,
            smooth=self.smooth,
        )
        if self.weight is not None:
            loss = loss * paddle.to_tensor(match_weight(self.weight, logits.shape[1], self), dtype="float32")
        return loss.mean()
