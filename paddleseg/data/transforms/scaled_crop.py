"""Random scaling, cropping and flipping as one operation, which computes only the pixels that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.class_uniform import ClassUniformCrop
from paddleseg.data.transforms.geometric import RandomHorizontalFlip, RandomPaddingCrop, Window
from paddleseg.data.transforms.padding import pad, pad_label
from paddleseg.data.transforms.photometric import RandomDistort
from paddleseg.data.transforms.resizing import ResizeStepScaling
from paddleseg.data.transforms.sample import LabelArray, PixelArray, Sample, Transform, Undo

__all__ = ["ScaledCrop", "fuse", "resized_label_window", "resized_window"]


class ScaledCrop:
    """ResizeStepScaling, RandomPaddingCrop and perhaps RandomHorizontalFlip at once.

    It draws the random numbers of the three in their order, so the window is the same. Labels are equal pixel
    by pixel, float32 images within 0.1 of 255 levels (OpenCV rounds the places where it samples).

    Args:
        scaling: The first.
        crop: The second; a ClassUniformCrop as well.
        flip: The third, where there is one.
        truncated: RandomDistort comes next, which truncates to whole levels. So uint8 images stay uint8:
            OpenCV's fixed point rounds them (0.85 off at most). Against float32 truncated, as the reference
            has it, that is at most one level off and up to half a level brighter on average (0.35 over the
            recipe's scales, on noise). The padding is truncated.
    """

    invertible = False
    resizes = True
    takes_bytes = True

    def __init__(
        self,
        scaling: ResizeStepScaling,
        crop: RandomPaddingCrop,
        flip: RandomHorizontalFlip | None = None,
        *,
        truncated: bool = False,
    ) -> None:
        self.scaling = scaling
        self.crop = crop
        self.flip = flip
        self.truncated = truncated

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        size = self.scaling.choose(sample.size, rng)
        window = self._choose(sample.label, size, rng)
        image, padding = self._cut(sample.image, size, window)
        label = None if sample.label is None else self._label_in(sample.label, size, window)
        padded = pad(replace(sample, image=image, label=None), self.crop.crop_size, padding, 0)
        image = padded.image
        if self.flip is not None and self.flip.draw(rng):
            image = functional.flip(image)
            label = None if label is None else functional.flip(label)
        undo = [] if size == sample.size else [Undo("resize", sample.size)]
        return replace(sample, image=image, label=label, undo=[*sample.undo, *undo])

    def _choose(self, label: LabelArray | None, size: tuple[int, int], rng: np.random.Generator) -> Window:
        height, width = self.crop.crop_size
        padded = max(size[0], height), max(size[1], width)
        if label is None:
            return self.crop.choose(padded, rng, None)
        return self.crop.choose(padded, rng, lambda window: self._label_in(label, size, window))

    def _cut(
        self, image: PixelArray, size: tuple[int, int], window: Window
    ) -> tuple[PixelArray, float | Sequence[float]]:
        """The window as far as the image reaches, and what to pad it with."""
        inside, value = _inside(window, size), self.crop.im_padding_value
        if self.truncated and image.dtype == np.uint8:
            byte: int | list[int] = np.clip(value, 0, 255).astype(np.uint8).tolist()
            return resized_window(image, size, inside, functional.resize_image), byte
        return resized_window(image, size, inside, _resize_as_float).astype(np.float32, copy=False), value

    def _label_in(self, label: LabelArray, size: tuple[int, int], window: Window) -> LabelArray:
        inside = resized_label_window(label, size, _inside(window, size))
        height, width = (part.stop - part.start for part in window)
        if inside.shape == (height, width):
            return inside
        return pad_label(inside, (height, width), self.crop.label_padding_value)


def fuse(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Puts a :class:`ScaledCrop` in the place of what it does at once; other subclasses are left alone."""
    steps: list[Transform] = []
    rest = list(transforms)
    while rest:
        kinds = [type(transform) for transform in rest[:4]]
        if kinds[:2] not in ([ResizeStepScaling, RandomPaddingCrop], [ResizeStepScaling, ClassUniformCrop]):
            steps.append(rest.pop(0))
            continue
        count = 3 if kinds[2:3] == [RandomHorizontalFlip] else 2
        parts, rest = rest[:count], rest[count:]
        steps.append(ScaledCrop(*parts, truncated=kinds[count : count + 1] == [RandomDistort]))  # type: ignore[arg-type]
    return tuple(steps)


def resized_window(
    image: PixelArray,
    size: tuple[int, int],
    window: Window,
    resize: Callable[[PixelArray, tuple[int, int]], PixelArray],
) -> PixelArray:
    """A window of the resized image, computed from the part of the image that it needs.

    With g = gcd(source, target) of an axis, the places at which source pixels are sampled repeat every
    target / g pixels. A part of the source that starts and ends at such a period gives the same pixels as the
    whole, but at its own edges; so it has one period more on each inner side. Where there is only one period,
    such as from 2047 pixels to 1535, the part is the whole.

    Args:
        image: [H, W, C].
        size: (height, width) of the whole, resized.
        window: Rows and columns of that, within it.
        resize: Resizes a part to (height, width); its pixels must depend on the nearest four only.

    Returns:
        The window; a view where nothing is resized.
    """
    if image.shape[:2] == size:
        return image[window]
    (rows, height, in_rows), (columns, width, in_columns) = (
        _part(source, target, wanted)
        for source, target, wanted in zip(image.shape[:2], size, window, strict=True)
    )
    return resize(image[rows, columns], (height, width))[in_rows, in_columns]


def resized_label_window(label: LabelArray, size: tuple[int, int], window: Window) -> LabelArray:
    """A window of the label resized by :func:`functional.resize_label`, equal pixel by pixel.

    OpenCV rounds the places of some scales, such as 1.3, otherwise on a part than on the whole, so they are
    asked of the whole.

    Args:
        label: [H, W].
        size: (height, width) of the whole, resized.
        window: Rows and columns of that, within it.

    Returns:
        The window; a view where nothing is resized.
    """
    if label.shape == size:
        return label[window]
    rows, columns = (
        _nearest(source, target)[wanted]
        for source, target, wanted in zip(label.shape, size, window, strict=True)
    )
    first, last = columns[0], columns[-1] + 1
    return label[rows, first:last].take(columns - first, axis=1)


def _nearest(source: int, target: int) -> NDArray[np.int32]:
    """One axis: the source pixel that each of the target's takes."""
    return functional.resize_label(np.arange(source, dtype=np.int32)[np.newaxis], (1, target))[0]


def _part(source: int, target: int, wanted: slice) -> tuple[slice, int, slice]:
    """One axis: which part of the source, how long it is resized, and what is wanted of that."""
    periods = math.gcd(source, target)
    source_period, target_period = source // periods, target // periods
    first = max(wanted.start // target_period - 1, 0)
    last = min(-(-wanted.stop // target_period) + 1, periods)
    start = first * target_period
    return (
        slice(first * source_period, last * source_period),
        (last - first) * target_period,
        slice(wanted.start - start, wanted.stop - start),
    )


def _inside(window: Window, size: tuple[int, int]) -> Window:
    # Padding is at the bottom and the right, so the image is where the window starts.
    rows, columns = window
    return slice(rows.start, min(rows.stop, size[0])), slice(columns.start, min(columns.stop, size[1]))


def _resize_as_float(image: PixelArray, size: tuple[int, int]) -> PixelArray:
    return functional.resize_image(image.astype(np.float32, copy=False), size)
