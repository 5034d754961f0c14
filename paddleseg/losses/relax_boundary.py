"""Boundary-relaxed cross-entropy."""

from __future__ import annotations

import paddle
from paddle import Tensor

from paddleseg.losses import functional
from paddleseg.losses.base import check_above, check_ignore_index
from paddleseg.losses.functional_boundary import near_classes, relaxed_cross_entropy
from paddleseg.registry import LOSSES

__all__ = ["RelaxBoundaryLoss"]


@LOSSES.register
class RelaxBoundaryLoss:
    """Cross-entropy that near a boundary accepts any of the classes around the pixel, a mean over the batch.

    A pixel's loss is −log Σ p over the classes in the square around it. Source: Zhu et al., CVPR 2019 (arXiv
    1812.01593), section 3.3; PaddleSeg's ``RelaxBoundaryLoss``, which works for ``border=1`` and one image
    without weights, adds the images up, and lets ignored pixels beside a class learn that class.

    Args:
        border: Pixels from the middle of the square to its side; 0 is plain cross-entropy.
        calculate_weights: Weigh each class with 1 + upper_bound·(1 − its share of the image); a pixel with
            several classes gets their mean.
        upper_bound: See ``calculate_weights``.
        ignore_index: The label of pixels that do not count.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        border: int = 1,
        calculate_weights: bool = False,
        upper_bound: float = 1.0,
        ignore_index: int = 255,
    ) -> None:
        if border < 0:
            raise ValueError(f"border: got {border}; expected 0 or more pixels")
        self.border = border
        self.calculate_weights = calculate_weights
        self.upper_bound = check_above("upper_bound", upper_bound, 0)
        self.ignore_index = check_ignore_index(ignore_index)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.
        """
        labels = functional.as_labels(labels, logits)
        valid = labels != self.ignore_index
        allowed = near_classes(labels, logits.shape[1], border=self.border, ignore_index=self.ignore_index)
        loss = relaxed_cross_entropy(logits, allowed)
        loss = paddle.where(valid, loss, paddle.zeros([]))
        if self.calculate_weights:
            loss = loss * self._pixel_weights(allowed & valid.unsqueeze(1))
        return functional.valid_mean(loss, valid)

    @paddle.no_grad()
    def _pixel_weights(self, allowed: Tensor) -> Tensor:
        """The mean weight of each pixel's classes, N×H×W."""
        members = allowed.astype("float32")
        counts = members.sum(axis=[2, 3])
        share = counts / counts.sum(axis=1, keepdim=True).clip(min=1.0)
        weight = 1.0 + self.upper_bound * (1.0 - share)  # [N, C]
        total = (members * weight.unsqueeze([2, 3])).sum(axis=1)
        return total / members.sum(axis=1).clip(min=1.0)
