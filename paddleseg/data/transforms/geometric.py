"""Transforms that move pixels without resampling: flips, padding, crops; the label moves along.

Names and parameters are PaddleSeg's (paddleseg/transforms/transforms.py); sizes in configs are
[width, height].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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

__all__ = ["Padding", "RandomHorizontalFlip", "RandomPaddingCrop"]


@TRANSFORMS.register
class RandomHorizontalFlip:
    """Mirrors left and right with probability ``prob``.

    Raises:
        ValueError: ``prob`` is not within 0..1.
    """

    invertible = False

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_probability("prob", prob)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        label = None if sample.label is None else sample.label[:, ::-1]
        return replace(sample, image=sample.image[:, ::-1], label=label)


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
        return _padded(sample, self.target_size, self.im_padding_value, self.label_padding_value)


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
        padded = _padded(sample, size, self.im_padding_value, self.label_padding_value)
        window = self._draw(size, rng)
        if self.category_max_ratio < 1 and padded.label is not None:
            for _ in range(self.loop_times):
                if self._is_mixed(padded.label[window]):
                    break
                window = self._draw(size, rng)
        label = None if padded.label is None else padded.label[window]
        return replace(sample, image=padded.image[window], label=label)

    def _draw(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[slice, slice]:
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


def _padded(
    sample: Sample, size: tuple[int, int], image_value: float | list[float], label_value: int
) -> Sample:
    channels = sample.image.shape[2]
    if isinstance(image_value, list) and len(image_value) not in (1, channels):
        raise DataError(
            f"{sample.image_path}: im_padding_value: got {len(image_value)} numbers for an image of "
            f"{channels} channel(s); give one number"
        )
    if size == sample.size:
        return sample
    return replace(
        sample,
        image=functional.pad_bottom_right(sample.image, size, image_value),
        label=None if sample.label is None else functional.pad_bottom_right(sample.label, size, label_value),
        undo=[*sample.undo, Undo("padding", sample.size)],
    )
