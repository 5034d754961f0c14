"""Cross-entropy over the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

from paddleseg.losses import functional
from paddleseg.losses.base import check_data_format, check_ignore_index, check_weight, match_weight
from paddleseg.registry import LOSSES

__all__ = ["CrossEntropyLoss"]

EPS = 1e-8


@LOSSES.register
class CrossEntropyLoss:
    """Cross-entropy, averaged over the pixels that count.

    With class weights w the average is Σ w·loss / Σ w. With ``top_k_percent_pixels`` below 1 only the highest
    losses of the batch enter; an ignored pixel that gets among them (there are fewer valid ones) counts in
    the divisor, with the weight of class 0, as in the source: PaddleSeg's ``CrossEntropyLoss``.

    Args:
        weight: One weight a class.
        ignore_index: The label of pixels that do not count.
        top_k_percent_pixels: The share of the batch's pixels that enter, above 0 and at most 1.
        avg_non_ignore: Average over the valid pixels; otherwise over all pixels, the ignored ones with a loss
            of 0 and every pixel with a weight of 1 in the divisor.
        data_format: ``"NCHW"``.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        top_k_percent_pixels: float = 1.0,
        avg_non_ignore: bool = True,
        data_format: str = "NCHW",
    ) -> None:
        check_data_format(data_format)
        if not 0.0 < top_k_percent_pixels <= 1.0:
            raise ValueError(
                f"top_k_percent_pixels: got {top_k_percent_pixels}; expected a share, above 0 and at most 1"
            )
        self.weight = check_weight(weight)
        self.ignore_index = check_ignore_index(ignore_index)
        self.top_k_percent_pixels = top_k_percent_pixels
        self.avg_non_ignore = avg_non_ignore

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
        share = paddle.ones_like(loss)
        if self.weight is not None:
            weight = match_weight(self.weight, logits.shape[1], self)
            pixel_weight = functional.pixel_weights(labels, valid, weight)
            loss = loss * pixel_weight
            share = pixel_weight if self.avg_non_ignore else share
        if self.top_k_percent_pixels < 1.0:
            loss, share = self._hardest(loss, share)
        elif self.avg_non_ignore:
            share = share * valid.astype("float32")
        return loss.mean() / (share.mean() + EPS)

    def _hardest(self, loss: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels of highest loss, and their shares in the divisor."""
        count = max(1, int(self.top_k_percent_pixels * loss.size))
        loss, indices = paddle.topk(loss.flatten(), count)
        return loss, paddle.gather(share.flatten(), indices)
