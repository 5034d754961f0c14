"""Transforms of images and labels: NumPy and OpenCV only. Importing this fills ``registry.TRANSFORMS``."""

from paddleseg.data.transforms.compose import (
    Compose,
    is_invertible,
    refuse_training_transforms,
    resizes,
)
from paddleseg.data.transforms.geometric import Padding, RandomHorizontalFlip, RandomPaddingCrop
from paddleseg.data.transforms.photometric import Normalize, RandomDistort
from paddleseg.data.transforms.resizing import (
    LimitLong,
    Resize,
    ResizeByLong,
    ResizeByShort,
    ResizeStepScaling,
)
from paddleseg.data.transforms.sample import Sample, Transform, Undo

__all__ = [
    "Compose",
    "LimitLong",
    "Normalize",
    "Padding",
    "RandomDistort",
    "RandomHorizontalFlip",
    "RandomPaddingCrop",
    "Resize",
    "ResizeByLong",
    "ResizeByShort",
    "ResizeStepScaling",
    "Sample",
    "Transform",
    "Undo",
    "is_invertible",
    "refuse_training_transforms",
    "resizes",
]
