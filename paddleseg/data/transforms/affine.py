"""Transforms that turn, scale and move an image at once; its label comes along.

Names and parameters are PaddleSeg's (paddleseg/transforms/transforms.py); sizes in configs are
[width, height]. Images are sampled bilinearly, labels at the nearest pixel of the same places. What lies
outside the image is filled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.checks import check_number, check_size
from paddleseg.data.transforms.padding import check_label_padding, check_padding, widen
from paddleseg.data.transforms.sample import Sample
from paddleseg.registry import TRANSFORMS

__all__ = ["RandomAffine", "RandomRotation"]


@TRANSFORMS.register
class RandomRotation:
    """Turns the image by a random angle, and enlarges the canvas so that nothing is cut off.

    Args:
        max_rotation: The angle is drawn from −max_rotation … max_rotation, in degrees.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    invertible = False
    takes_bytes = True

    def __init__(
        self,
        max_rotation: float = 15,
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
    ) -> None:
        self.max_rotation = check_number("max_rotation", max_rotation, minimum=0, maximum=360)
        self.im_padding_value = check_padding(im_padding_value)
        self.label_padding_value = check_label_padding(label_padding_value)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if self.max_rotation == 0:
            return sample
        degrees = rng.uniform(-self.max_rotation, self.max_rotation)
        size = _turned_size(sample.size, degrees)
        matrix = functional.rotation_about_centre(sample.size, size, degrees=degrees)
        return _warped(sample, matrix, size, self.im_padding_value, self.label_padding_value)


@TRANSFORMS.register
class RandomAffine:
    """Turns, scales and moves the image at random, into a picture of a fixed size.

    The centre of the image lands in the centre of the picture, moved. Unlike PaddleSeg's,
    ``translation_offset`` moves the image, not the point it is turned about.

    Args:
        size: [width, height] of the result.
        translation_offset: The image moves by −translation_offset … translation_offset along each axis, in
            pixels of the result.
        max_rotation: The angle is drawn from −max_rotation … max_rotation, in degrees.
        min_scale_factor: Smallest factor; 1 makes the image as large as the result (the mean of both axes).
        max_scale_factor: Largest factor.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    invertible = False
    resizes = True
    takes_bytes = True

    def __init__(
        self,
        size: Sequence[int] = (224, 224),
        translation_offset: float = 0,
        max_rotation: float = 15,
        min_scale_factor: float = 0.75,
        max_scale_factor: float = 1.25,
        im_padding_value: float | Sequence[float] = 128,
        label_padding_value: int = 255,
    ) -> None:
        self.size = check_size("size", size)
        self.translation_offset = check_number("translation_offset", translation_offset, minimum=0)
        self.max_rotation = check_number("max_rotation", max_rotation, minimum=0, maximum=360)
        if check_number("min_scale_factor", min_scale_factor) <= 0:
            raise ValueError(f"min_scale_factor: expected a number above 0, got {min_scale_factor!r}")
        if check_number("max_scale_factor", max_scale_factor) < min_scale_factor:
            raise ValueError(
                f"max_scale_factor: expected at least min_scale_factor ({min_scale_factor}), "
                f"got {max_scale_factor!r}"
            )
        self.scale_factors = min_scale_factor, max_scale_factor
        self.im_padding_value = check_padding(im_padding_value)
        self.label_padding_value = check_label_padding(label_padding_value)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        (height, width), (target_height, target_width) = sample.size, self.size
        right, down = rng.uniform(-self.translation_offset, self.translation_offset, 2)
        matrix = functional.rotation_about_centre(
            sample.size,
            self.size,
            degrees=rng.uniform(-self.max_rotation, self.max_rotation),
            scale=rng.uniform(*self.scale_factors) * (target_width / width + target_height / height) / 2,
            shift=(right, down),
        )
        return _warped(sample, matrix, self.size, self.im_padding_value, self.label_padding_value)


def _turned_size(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """(height, width) of the upright box round a turned image, to the nearest pixel."""
    height, width = size
    along, across = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return max(round(height * along + width * across), 1), max(round(width * along + height * across), 1)


def _warped(
    sample: Sample,
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    image_value: float | Sequence[float],
    label_value: int,
) -> Sample:
    wide = widen(sample, image_value, label_value)
    return replace(
        wide,
        image=functional.warp_image(wide.image, matrix, size, image_value),
        label=None if wide.label is None else functional.warp_label(wide.label, matrix, size, label_value),
    )
