"""Transforms that move pixels without resampling: flips, padding, crops; the label moves along.

Names and parameters are PaddleSeg's (paddleseg/transforms/transforms.py); sizes in configs are
[width, height].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.checks import (
    check_integer,
    check_number,
    check_numbers,
    check_probability,
    check_size,
)
from paddleseg.data.transforms.sample import LabelArray, Sample, Undo
from paddleseg.errors import DataError
from paddleseg.registry import TRANSFORMS

__all__ = ["Padding", "RandomHorizontalFlip", "RandomPaddingCrop", "Window", "pad", "pad_label"]

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of an image or a label."""


@TRANSFORMS.register
class RandomHorizontalFlip:
    """Mirrors left and right with probability ``prob``.

    Raises:
        ValueError: ``prob`` is not within 0..1.
    """

    invertible = False
    takes_bytes = True

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_probability("prob", prob)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if not self.draw(rng):
            return sample
        label = None if sample.label is None else functional.flip(sample.label)
        return replace(sample, image=functional.flip(sample.image), label=label)

    def draw(self, rng: np.random.Generator) -> bool:
        """Decides about one image."""
        return bool(rng.random() < self.prob)


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
        self.im_padding_value = _check_padding(im_padding_value)
        self.label_padding_value = check_integer("label_padding_value", label_padding_value, minimum=-(2**31))

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
class RandomPaddingCrop:
    """Cuts out a random window; an image smaller than the window is padded at the bottom and the right.

    Args:
        crop_size: [width, height] of the window.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.
        category_max_ratio: Draw again while one class takes at least this share of the labelled pixels, or
            is the only one; 1.0 takes the first window.
        ignore_index: Class id that does not count for that share.
        loop_times: How often to draw again at most.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    invertible = False
    takes_bytes = True

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
        category_max_ratio: float = 1.0,
        ignore_index: int = 255,
        loop_times: int = 10,
    ) -> None:
        self.crop_size = check_size("crop_size", crop_size)
        self.im_padding_value = _check_padding(im_padding_value)
        self.label_padding_value = check_integer("label_padding_value", label_padding_value, minimum=-(2**31))
        if check_number("category_max_ratio", category_max_ratio) <= 0:
            raise ValueError(f"category_max_ratio: expected a number above 0, got {category_max_ratio!r}")
        self.category_max_ratio = category_max_ratio
        self.ignore_index = ignore_index
        self.loop_times = check_integer("loop_times", loop_times)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.size
        crop_height, crop_width = self.crop_size
        size = max(height, crop_height), max(width, crop_width)
        padded = pad(sample, size, self.im_padding_value, self.label_padding_value)
        label = padded.label
        window = self.choose(size, rng, None if label is None else label.__getitem__)
        return replace(sample, image=padded.image[window], label=None if label is None else label[window])

    def choose(
        self, size: tuple[int, int], rng: np.random.Generator, label_in: Callable[[Window], LabelArray] | None
    ) -> Window:
        """Draws the window.

        Args:
            size: (height, width) of the padded image.
            rng: Where the numbers come from.
            label_in: Gives a window of the padded label; None where there is no label.
        """
        window = self._draw(size, rng)
        if self.category_max_ratio < 1 and label_in is not None:
            for _ in range(self.loop_times):
                if self._is_mixed(label_in(window)):
                    break
                window = self._draw(size, rng)
        return window

    def _draw(self, size: tuple[int, int], rng: np.random.Generator) -> Window:
        crop_height, crop_width = self.crop_size
        top = int(rng.integers(size[0] - crop_height + 1))
        left = int(rng.integers(size[1] - crop_width + 1))
        return slice(top, top + crop_height), slice(left, left + crop_width)

    def _is_mixed(self, label: LabelArray) -> bool:
        classes, counts = np.unique(label, return_counts=True)
        counts = counts[classes != self.ignore_index]
        return len(counts) > 1 and counts.max() / counts.sum() < self.category_max_ratio


def _check_padding(value: float | Sequence[float]) -> float | list[float]:
    check = check_numbers if isinstance(value, list | tuple) else check_number
    return check("im_padding_value", value)


def pad(
    sample: Sample, size: tuple[int, int], image_value: float | Sequence[float], label_value: int
) -> Sample:
    """Extends a sample at the bottom and the right.

    Args:
        sample: Bytes become float32 or int32 where they cannot hold a value.
        size: (height, width) afterwards, at least the present ones.
        image_value: Value of new image pixels; one number, or a list of one a channel.
        label_value: Class id of new label pixels.

    Raises:
        DataError: The list does not fit the image's channels.
    """
    image = sample.image
    channels = image.shape[2]
    if isinstance(image_value, Sequence) and len(image_value) not in (1, channels):
        raise DataError(
            f"{sample.image_path}: im_padding_value: got {len(image_value)} numbers for an image of "
            f"{channels} channel(s); give one number"
        )
    if size == sample.size:
        return sample
    label = None if sample.label is None else pad_label(sample.label, size, label_value)
    if not _fits_bytes(image_value):
        image = image.astype(np.float32, copy=False)
    image = functional.pad_bottom_right(image, size, image_value)
    return replace(sample, image=image, label=label, undo=[*sample.undo, Undo("padding", sample.size)])


def pad_label(label: LabelArray, size: tuple[int, int], value: int) -> LabelArray:
    """Extends class ids at the bottom and the right; they become int32 where bytes cannot hold the value."""
    if not _fits_bytes(value):
        label = label.astype(np.int32, copy=False)
    return functional.pad_bottom_right(label, size, value)


def _fits_bytes(values: float | Sequence[float]) -> bool:
    return all(0 <= value <= 255 and value == int(value) for value in np.atleast_1d(values).tolist())
