"""Feature extractors."""

from paddleseg.models.backbones.base import Backbone, Stage
from paddleseg.models.backbones.resnet_vd import (
    ResNet18_vd,
    ResNet34_vd,
    ResNet50_vd,
    ResNet101_vd,
    ResNet152_vd,
)

__all__ = [
    "Backbone",
    "ResNet18_vd",
    "ResNet34_vd",
    "ResNet50_vd",
    "ResNet101_vd",
    "ResNet152_vd",
    "Stage",
]
