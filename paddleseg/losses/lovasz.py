"""The Lovász-softmax loss."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor

from paddleseg.errors import ConfigError
from paddleseg.losses import functional
from paddleseg.losses.base import check_ignore_index
from paddleseg.registry import LOSSES

__all__ = ["LovaszSoftmaxLoss"]


@LOSSES.register
class LovaszSoftmaxLoss:
    """A convex surrogate of the mean Jaccard loss (1 − IoU) over all valid pixels of the batch.

    Source: Berman et al., CVPR 2018 (arXiv 1705.08790).

    Args:
        ignore_index: The label of pixels that do not count.
        classes: Which classes enter the mean: ``"present"`` (those with labelled pixels in the batch),
            ``"all"``, or a list of class indices.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, ignore_index: int = 255, classes: str | Sequence[int] = "present") -> None:
        if isinstance(classes, str):
            if classes not in ("all", "present"):
                raise ValueError(
                    f"classes: got {classes!r}; expected 'present', 'all' or a list of class indices"
                )
        elif not classes or min(classes) < 0:
            raise ValueError(
                f"classes: got {list(classes)}; expected at least one class index, none negative"
            )
        self.ignore_index = check_ignore_index(ignore_index)
        self.classes = classes if isinstance(classes, str) else tuple(classes)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.

        Raises:
            ConfigError: ``classes`` names a class that the model does not have.
        """
        labels = functional.as_labels(labels, logits)
        losses, present = functional.lovasz_softmax(
            logits, labels, ignore_index=self.ignore_index, classes=self._indices(logits.shape[1])
        )
        if self.classes != "present":
            return losses.mean()
        counted = present.astype("float32")
        return (losses * counted).sum() / counted.sum().clip(min=1.0)

    def _indices(self, num_classes: int) -> Sequence[int]:
        if isinstance(self.classes, str):
            return range(num_classes)
        if max(self.classes) >= num_classes:
            raise ConfigError(
                f"LovaszSoftmaxLoss.classes: got {max(self.classes)}; expected 0..{num_classes - 1}"
            )
        return self.classes
