"""Focal losses: cross-entropy that weighs easy pixels down."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

from paddleseg.losses import functional
from paddleseg.losses.base import check_above, check_at_least, check_ignore_index, check_weight, match_weight
from paddleseg.losses.functional_binary import binary_truth, sigmoid_focal
from paddleseg.registry import LOSSES

__all__ = ["FocalLoss", "MultiClassFocalLoss"]

SMALLEST = 1e-20


@LOSSES.register
class FocalLoss:
    """Focal loss of a yes or no for every class, averaged over classes and valid pixels.

    Source: Lin et al., ICCV 2017 (arXiv 1708.02002); PaddleSeg's ``FocalLoss``, which takes two classes only.

    Args:
        alpha: Weight of the pixels of a class, from 0 to 1; the others weigh 1 − alpha.
        gamma: How strongly easy pixels are weighed down; 0 does not.
        ignore_index: The label of pixels that do not count.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, ignore_index: int = 255) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha: got {alpha}; expected a number from 0 to 1")
        self.alpha = float(alpha)
        self.gamma = check_at_least("gamma", gamma, 0)
        self.ignore_index = check_ignore_index(ignore_index)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type; a single channel is that of class 1.
            labels: N×H×W int64, class ids or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.
        """
        labels = functional.as_labels(labels, logits)
        truth = binary_truth(labels, logits.shape[1], ignore_index=self.ignore_index)
        loss = sigmoid_focal(logits, truth, alpha=self.alpha, gamma=self.gamma)
        return functional.valid_mean(loss, labels != self.ignore_index)


@LOSSES.register
class MultiClassFocalLoss:
    """Focal loss of the true class's softmax probability p: alpha·(1 − p)^gamma·cross-entropy, a mean.

    Source: Lin et al., ICCV 2017 (arXiv 1708.02002); PaddleSeg's ``MultiClassFocalLoss``.

    Args:
        alpha: Factor of the whole loss, or one factor a class; the divisor stays the number of valid pixels.
        gamma: How strongly easy pixels are weighed down; 0 does not.
        ignore_index: The label of pixels that do not count.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self, alpha: float | Sequence[float] = 1.0, gamma: float = 2.0, ignore_index: int = 255
    ) -> None:
        self.weight = None
        self.alpha = 1.0
        if isinstance(alpha, (int, float)):
            self.alpha = check_above("alpha", alpha, 0)
        else:
            self.weight = check_weight(alpha, "alpha")
        self.gamma = check_at_least("gamma", gamma, 0)
        self.ignore_index = check_ignore_index(ignore_index)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.

        Raises:
            ConfigError: ``alpha`` has another number of classes than the model.
        """
        labels = functional.as_labels(labels, logits)
        valid = labels != self.ignore_index
        loss = functional.pixel_cross_entropy(logits, labels, ignore_index=self.ignore_index)
        # The bound keeps the power's slope finite where p is 1 and gamma below 1.
        loss = loss * paddle.clip(-paddle.expm1(-loss), min=SMALLEST) ** self.gamma
        if self.weight is not None:
            weight = match_weight(self.weight, logits.shape[1], self, "alpha")
            loss = loss * functional.pixel_weights(labels, valid, weight)
        return self.alpha * functional.valid_mean(loss, valid)
