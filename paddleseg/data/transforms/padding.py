"""Transforms that put pixels round an image; those of its label take no part.

Names and parameters are PaddleSeg's (paddleseg/transforms/transforms.py); sizes in configs are
[width, height]. Each step records how to undo it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.checks import check_integer, check_number, check_numbers, check_size
from paddleseg.data.transforms.sample import LabelArray, Sample, Undo
from paddleseg.errors import DataError
from paddleseg.registry import TRANSFORMS

__all__ = [
    "Padding",
    "PaddingByAspectRatio",
    "ScalePadding",
    "check_label_padding",
    "check_padding",
    "pad",
    "pad_label",
    "widen",
]


@TRANSFORMS.register
class Padding:
    """Pads to a fixed size at the bottom and the right.

    Args:
        target_size: [width, height], or one number for a square.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    def __init__(
        self,
        target_size: int | Sequence[int],
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
    ) -> None:
        square = [target_size, target_size] if isinstance(target_size, int) else target_size
        self.target_size = check_size("target_size", square)
        self.im_padding_value = check_padding(im_padding_value)
        self.label_padding_value = check_label_padding(label_padding_value)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.size
        target_height, target_width = self.target_size
        if height > target_height or width > target_width:
            raise DataError(
                f"{sample.image_path}: Padding: the image has {width}×{height} pixels, more than target_size "
                f"[{target_width}, {target_height}]; raise target_size or put a Resize or LimitLong before it"
            )
        return pad(sample, self.target_size, self.im_padding_value, self.label_padding_value)


@TRANSFORMS.register
class PaddingByAspectRatio:
    """Pads to fixed proportions, at the bottom or at the right.

    Args:
        aspect_ratio: Width / height afterwards; the new side is rounded down to a whole pixel.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    takes_bytes = True

    def __init__(
        self,
        aspect_ratio: float = 1,
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
    ) -> None:
        if check_number("aspect_ratio", aspect_ratio) <= 0:
            raise ValueError(f"aspect_ratio: expected a number above 0, got {aspect_ratio!r}")
        self.aspect_ratio = aspect_ratio
        self.im_padding_value = check_padding(im_padding_value)
        self.label_padding_value = check_label_padding(label_padding_value)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.size
        size = max(height, int(width / self.aspect_ratio)), max(width, int(height * self.aspect_ratio))
        return pad(sample, size, self.im_padding_value, self.label_padding_value)


@TRANSFORMS.register
class ScalePadding:
    """Pads to a square with the image in its middle, then resizes the square, cubically.

    Unlike PaddleSeg's, the label takes the nearest pixel, since there are no classes between two others, and
    the image is not cut to whole levels.

    Args:
        target_size: [width, height] after resizing.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    resizes = True

    def __init__(
        self,
        target_size: Sequence[int] = (512, 512),
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
    ) -> None:
        self.target_size = check_size("target_size", target_size)
        self.im_padding_value = check_padding(im_padding_value)
        self.label_padding_value = check_label_padding(label_padding_value)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.size
        side = max(height, width)
        offset = (side - height) // 2, (side - width) // 2
        square = pad(sample, (side, side), self.im_padding_value, self.label_padding_value, offset)
        if self.target_size == square.size:
            return square
        label = None if square.label is None else functional.resize_label(square.label, self.target_size)
        return replace(
            square,
            image=functional.resize_image(square.image, self.target_size, cv2.INTER_CUBIC),
            label=label,
            undo=[*square.undo, Undo("resize", square.size)],
        )


def check_padding(value: float | Sequence[float]) -> float | list[float]:
    """Accepts a value of new image pixels: a number, or a list of 1 or 3."""
    check = check_numbers if isinstance(value, list | tuple) else check_number
    return check("im_padding_value", value)


def check_label_padding(value: int) -> int:
    """Accepts a class id of new label pixels; -1 is one."""
    return check_integer("label_padding_value", value, minimum=-(2**31))


def pad(
    sample: Sample,
    size: tuple[int, int],
    image_value: float | Sequence[float],
    label_value: int,
    offset: tuple[int, int] = (0, 0),
) -> Sample:
    """Lays a sample into a larger one.

    Args:
        sample: Bytes become float32 or int32 where they cannot hold a value.
        size: (height, width) afterwards, at least the present ones.
        image_value: Value of new image pixels; one number, or a list of one a channel.
        label_value: Class id of new label pixels.
        offset: New rows at the top and new columns at the left; the others are at the bottom and the right.

    Raises:
        DataError: The list does not fit the image's channels.
    """
    _check_channels(sample, image_value)
    if size == sample.size:
        return sample
    wide = widen(sample, image_value, label_value)
    return replace(
        wide,
        image=functional.pad(wide.image, size, image_value, offset),
        label=None if wide.label is None else functional.pad(wide.label, size, label_value, offset),
        undo=[*sample.undo, Undo("padding", sample.size, offset)],
    )


def pad_label(label: LabelArray, size: tuple[int, int], value: int) -> LabelArray:
    """Extends class ids at the bottom and the right; they become int32 where bytes cannot hold the value."""
    return functional.pad(_widened_label(label, value), size, value)


def widen(sample: Sample, image_value: float | Sequence[float], label_value: int) -> Sample:
    """Makes sure that a sample can hold the values of new pixels.

    Args:
        sample: Bytes become float32 or int32 where they cannot hold a value.
        image_value: Value of new image pixels; one number, or a list of one a channel.
        label_value: Class id of new label pixels.

    Raises:
        DataError: The list does not fit the image's channels.
    """
    _check_channels(sample, image_value)
    image, label = sample.image, sample.label
    if not _fits_bytes(image_value):
        image = image.astype(np.float32, copy=False)
    return replace(sample, image=image, label=None if label is None else _widened_label(label, label_value))


def _check_channels(sample: Sample, image_value: float | Sequence[float]) -> None:
    channels = sample.image.shape[2]
    if isinstance(image_value, Sequence) and len(image_value) not in (1, channels):
        raise DataError(
            f"{sample.image_path}: im_padding_value: got {len(image_value)} numbers for an image of "
            f"{channels} channel(s); give one number"
        )


def _widened_label(label: LabelArray, value: int) -> LabelArray:
    return label if _fits_bytes(value) else label.astype(np.int32, copy=False)


def _fits_bytes(values: float | Sequence[float]) -> bool:
    return all(0 <= value <= 255 and value == int(value) for value in np.atleast_1d(values).tolist())
