"""Transforms of images and labels: NumPy and OpenCV only. Importing this fills ``registry.TRANSFORMS``."""

from paddleseg.data.transforms.affine import RandomAffine, RandomRotation
from paddleseg.data.transforms.class_uniform import ClassUniformCrop
from paddleseg.data.transforms.compose import (
    Compose,
    is_invertible,
    refuse_other_classes,
    refuse_other_padding,
    refuse_training_transforms,
    resizes,
)
from paddleseg.data.transforms.copy_paste import CopyPaste
from paddleseg.data.transforms.geometric import (
    CenterCrop,
    RandomCenterCrop,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    RandomVerticalFlip,
)
from paddleseg.data.transforms.padding import Padding, PaddingByAspectRatio, ScalePadding
from paddleseg.data.transforms.photometric import Normalize, RandomBlur, RandomDistort, RandomNoise
from paddleseg.data.transforms.resizing import (
    LimitLong,
    RandomScaleAspect,
    Resize,
    ResizeByLong,
    ResizeByShort,
    ResizeRangeScaling,
    ResizeStepScaling,
)
from paddleseg.data.transforms.sample import Sample, Transform, Undo

__all__ = [
    "CenterCrop",
    "ClassUniformCrop",
    "Compose",
    "CopyPaste",
    "LimitLong",
    "Normalize",
    "Padding",
    "PaddingByAspectRatio",
    "RandomAffine",
    "RandomBlur",
    "RandomCenterCrop",
    "RandomDistort",
    "RandomHorizontalFlip",
    "RandomNoise",
    "RandomPaddingCrop",
    "RandomRotation",
    "RandomScaleAspect",
    "RandomVerticalFlip",
    "Resize",
    "ResizeByLong",
    "ResizeByShort",
    "ResizeRangeScaling",
    "ResizeStepScaling",
    "Sample",
    "ScalePadding",
    "Transform",
    "Undo",
    "is_invertible",
    "refuse_other_classes",
    "refuse_other_padding",
    "refuse_training_transforms",
    "resizes",
]
