"""Flips and crops: pixels move without resampling, and the label moves along.

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
    check_probability,
    check_size,
)
from paddleseg.data.transforms.padding import check_label_padding, check_padding, pad
from paddleseg.data.transforms.sample import LabelArray, Sample
from paddleseg.registry import TRANSFORMS

__all__ = [
    "CenterCrop",
    "RandomCenterCrop",
    "RandomHorizontalFlip",
    "RandomPaddingCrop",
    "RandomVerticalFlip",
    "Window",
]

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
class RandomVerticalFlip:
    """Mirrors top and bottom with probability ``prob``.

    Raises:
        ValueError: ``prob`` is not within 0..1.
    """

    invertible = False
    takes_bytes = True

    def __init__(self, prob: float = 0.1) -> None:
        self.prob = check_probability("prob", prob)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        label = None if sample.label is None else functional.flip(sample.label, vertical=True)
        return replace(sample, image=functional.flip(sample.image, vertical=True), label=label)


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
        self.im_padding_value = check_padding(im_padding_value)
        self.label_padding_value = check_label_padding(label_padding_value)
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


@TRANSFORMS.register
class CenterCrop(RandomPaddingCrop):
    """Cuts out the window in the middle; an image smaller than it is padded at the bottom and the right.

    A training transform: the pixels outside the window would get no prediction.

    Args:
        crop_size: [width, height] of the window.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
    ) -> None:
        super().__init__(crop_size, im_padding_value, label_padding_value)

    def choose(
        self, size: tuple[int, int], rng: np.random.Generator, label_in: Callable[[Window], LabelArray] | None
    ) -> Window:
        """The window in the middle; of two, the upper and the left one."""
        rows, columns = (
            slice((length - crop) // 2, (length - crop) // 2 + crop)
            for length, crop in zip(size, self.crop_size, strict=True)
        )
        return rows, columns


@TRANSFORMS.register
class RandomCenterCrop:
    """Cuts off random strips at the edges.

    For each axis, the number of pixels to cut off is drawn evenly from 0 to the share that may go, then how
    many of them go at the top or left.

    Args:
        retain_ratio: Smallest shares of [width, height] that stay, 0..1; a pixel always stays.

    Raises:
        ValueError: ``retain_ratio`` is no pair of numbers within 0..1.
    """

    invertible = False
    takes_bytes = True

    def __init__(self, retain_ratio: Sequence[float] = (0.5, 0.5)) -> None:
        if not isinstance(retain_ratio, list | tuple) or len(retain_ratio) != 2:
            raise ValueError(f"retain_ratio: expected [width, height], shares 0..1, got {retain_ratio!r}")
        width, height = retain_ratio
        self.retain_ratio = (
            check_number("retain_ratio[1]", height, minimum=0, maximum=1),
            check_number("retain_ratio[0]", width, minimum=0, maximum=1),
        )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        (height, width), (retained_height, retained_width) = sample.size, self.retain_ratio
        window = _draw_part(height, retained_height, rng), _draw_part(width, retained_width, rng)
        label = None if sample.label is None else sample.label[window]
        return replace(sample, image=sample.image[window], label=label)


def _draw_part(length: int, retained: float, rng: np.random.Generator) -> slice:
    # 1e-9: 10 · (1 − 0.9) is 0.9999…; that pixel may go.
    most = min(int(length * (1 - retained) + 1e-9), length - 1)
    cut = int(rng.integers(most + 1))
    start = int(rng.integers(cut + 1))
    return slice(start, start + length - cut)
