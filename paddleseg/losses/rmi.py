"""The region mutual information loss."""

from __future__ import annotations

from typing import Literal

import paddle.nn.functional as F
from paddle import Tensor

from paddleseg.errors import ConfigError
from paddleseg.losses import functional
from paddleseg.losses.base import check_ignore_index
from paddleseg.losses.functional_rmi import half_log_det, pool_pairs, region_covariance
from paddleseg.registry import LOSSES

__all__ = ["RMILoss"]

LEAST_PROBABILITY = 1e-6
ALPHA = 5e-4  # the source's, on the diagonal of the covariances


@LOSSES.register
class RMILoss:
    """Region mutual information: how little the probabilities around a pixel tell of the truth around it.

    For every class it is ½ log det of the covariance of truth regions, given the probabilities (of a
    sigmoid), divided by the pixels of a region; a mean over the images with valid pixels, summed over the
    classes. It may be negative, −3.8 a class at least. It is meant beside another loss: a ``MixedLoss`` with
    cross-entropy, coef [0.5, 0.5]. Computed in float64. Source: Zhao et al., NeurIPS 2019 (arXiv 1910.12037);
    PaddleSeg's ``RMILoss``, whose mean takes in images without valid pixels.

    Args:
        num_classes: Nothing, or the number of classes of the model.
        rmi_radius: Side of a region in pixels, 1 to 10.
        rmi_pool_way: How maps are made smaller: 0 the largest value, 1 the mean, 2 interpolation.
        rmi_pool_size: By which factor; 1 does not.
        rmi_pool_stride: The same number.
        loss_weight_lambda: Without effect, here and in PaddleSeg: ``coef`` of a ``MixedLoss`` is in its
            place.
        ignore_index: The label of pixels that do not count.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        rmi_radius: int = 3,
        rmi_pool_way: Literal[0, 1, 2] = 0,
        rmi_pool_size: int = 3,
        rmi_pool_stride: int = 3,
        loss_weight_lambda: float = 0.5,
        ignore_index: int = 255,
    ) -> None:
        if not 1 <= rmi_radius <= 10:
            raise ValueError(f"rmi_radius: got {rmi_radius}; expected 1 to 10 pixels")
        if rmi_pool_way not in (0, 1, 2):
            raise ValueError(f"rmi_pool_way: got {rmi_pool_way}; expected 0, 1 or 2")
        if rmi_pool_size < 1:
            raise ValueError(f"rmi_pool_size: got {rmi_pool_size}; expected 1 or more")
        if rmi_pool_size != rmi_pool_stride:
            raise ValueError(
                f"rmi_pool_stride: got {rmi_pool_stride}; expected {rmi_pool_size}, as rmi_pool_size"
            )
        self.num_classes = num_classes
        self.radius = rmi_radius
        self.way = rmi_pool_way
        self.size = rmi_pool_size
        self.ignore_index = check_ignore_index(ignore_index)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.

        Raises:
            ConfigError: ``num_classes`` is not the model's, or the image is smaller than a region.
        """
        labels = functional.as_labels(labels, logits)
        classes = logits.shape[1]
        if self.num_classes not in (None, classes):
            raise ConfigError(
                f"RMILoss.num_classes: got {self.num_classes}; the model has {classes} classes: "
                "remove the key"
            )
        valid = labels != self.ignore_index
        truth = functional.class_members(labels, classes, ignore_index=self.ignore_index).astype("float32")
        probability = functional.masked(F.sigmoid(functional.as_float32(logits)), valid)
        probability, truth = pool_pairs(probability + LEAST_PROBABILITY, truth, way=self.way, size=self.size)
        self._check_size(truth.shape[2:], labels.shape[1:])
        covariance = region_covariance(probability, truth, radius=self.radius)
        by_image = half_log_det(covariance, alpha=ALPHA).sum(axis=1) / self.radius**2
        counted = valid.any(axis=[1, 2]).astype("float64")
        return ((by_image * counted).sum() / counted.sum().clip(min=1.0)).astype("float32")

    def _check_size(self, pooled: list[int], image: list[int]) -> None:
        if min(pooled) < self.radius:
            raise ConfigError(
                f"RMILoss: an image of {image[1]}×{image[0]} pixels, pooled to {pooled[1]}×{pooled[0]}, is "
                f"smaller than a region of {self.radius}×{self.radius}; make crops larger, or rmi_pool_size "
                "and rmi_pool_stride or rmi_radius smaller"
            )
