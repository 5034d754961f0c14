"""Training losses. Importing this package registers every loss."""

from paddleseg.losses.combine import CombinedLoss, LossValues
from paddleseg.losses.cross_entropy import CrossEntropyLoss
from paddleseg.losses.dice import DiceLoss
from paddleseg.losses.lovasz import LovaszSoftmaxLoss
from paddleseg.losses.mixed import MixedLoss
from paddleseg.losses.ohem import OhemCrossEntropyLoss

__all__ = [
    "CombinedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "LossValues",
    "LovaszSoftmaxLoss",
    "MixedLoss",
    "OhemCrossEntropyLoss",
]
