"""Cross-entropy with online hard example mining."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

from paddleseg.losses import functional
from paddleseg.losses.base import check_ignore_index, check_weight, match_weight
from paddleseg.registry import LOSSES

__all__ = ["OhemCrossEntropyLoss"]

EPS = 1e-5


@LOSSES.register
class OhemCrossEntropyLoss:
    """Cross-entropy over the pixels whose true class is not yet predicted with confidence.

    A pixel is kept when the probability of its true class is strictly below ``thresh``, or below the
    ``min_kept``-th smallest of the batch where that is larger; all are kept where ``min_kept`` or fewer are
    valid. The loss is the sum over the kept pixels, divided by their number (plus 1e-5 of the number of all
    pixels). Source: PaddleSeg's ``OhemCrossEntropyLoss``; the method: Shrivastava et al., CVPR 2016 (arXiv
    1604.03540).

    Args:
        thresh: Probability at which a pixel is easy, above 0 and at most 1.
        min_kept: How many pixels to keep at least, about, over the card's whole batch. 0: the threshold is
            ``thresh`` (the source then mines nothing at all).
        ignore_index: The label of pixels that do not count.
        weight: One weight a class; the divisor stays the number of pixels.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        thresh: float = 0.7,
        min_kept: int = 10000,
        ignore_index: int = 255,
        weight: Sequence[float] | None = None,
    ) -> None:
        if not 0.0 < thresh <= 1.0:
            raise ValueError(f"thresh: got {thresh}; expected a probability above 0 and at most 1")
        if min_kept < 0:
            raise ValueError(f"min_kept: got {min_kept}; expected 0 or more pixels")
        self.thresh = thresh
        self.min_kept = int(min_kept)
        self.ignore_index = check_ignore_index(ignore_index)
        self.weight = check_weight(weight)

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
        loss = functional.pixel_cross_entropy(logits, labels, ignore_index=self.ignore_index)
        kept = functional.ohem_kept(
            paddle.exp(-loss.detach()), valid, thresh=self.thresh, min_kept=self.min_kept
        ).astype("float32")
        if self.weight is not None:
            weight = match_weight(self.weight, logits.shape[1], self)
            loss = loss * functional.pixel_weights(labels, valid, weight)
        return (loss * kept).mean() / (kept.mean() + EPS)
