"""Training losses. Importing this package registers every loss."""

from paddleseg.losses.binary_cross_entropy import BCELoss
from paddleseg.losses.combine import CombinedLoss, LossValues
from paddleseg.losses.cross_entropy import CrossEntropyLoss
from paddleseg.losses.dice import DiceLoss
from paddleseg.losses.focal import FocalLoss, MultiClassFocalLoss
from paddleseg.losses.kl import KLLoss
from paddleseg.losses.lovasz import LovaszSoftmaxLoss
from paddleseg.losses.mixed import MixedLoss
from paddleseg.losses.ohem import OhemCrossEntropyLoss
from paddleseg.losses.pixel_contrast import PixelContrastCrossEntropyLoss
from paddleseg.losses.relax_boundary import RelaxBoundaryLoss
from paddleseg.losses.rmi import RMILoss
from paddleseg.losses.tversky import TverskyLoss

__all__ = [
    "BCELoss",
    "CombinedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "KLLoss",
    "LossValues",
    "LovaszSoftmaxLoss",
    "MixedLoss",
    "MultiClassFocalLoss",
    "OhemCrossEntropyLoss",
    "PixelContrastCrossEntropyLoss",
    "RMILoss",
    "RelaxBoundaryLoss",
    "TverskyLoss",
]
