"""Transforms that change an image's size by resampling; its label comes along.

Names, parameters and arithmetic are PaddleSeg's (paddleseg/transforms/transforms.py); sizes in configs are
[width, height]. Images are resampled bilinearly unless said otherwise, labels take the nearest pixel. Each
step that changes the size records how to undo it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.checks import check_choice, check_integer, check_number, check_size
from paddleseg.data.transforms.sample import Sample, Undo
from paddleseg.registry import TRANSFORMS

__all__ = [
    "LimitLong",
    "RandomScaleAspect",
    "Resize",
    "ResizeByLong",
    "ResizeByShort",
    "ResizeRangeScaling",
    "ResizeStepScaling",
]

INTERPOLATIONS = {
    "NEAREST": cv2.INTER_NEAREST,
    "LINEAR": cv2.INTER_LINEAR,
    "CUBIC": cv2.INTER_CUBIC,
    "AREA": cv2.INTER_AREA,
    "LANCZOS4": cv2.INTER_LANCZOS4,
}


@TRANSFORMS.register
class Resize:
    """Resizes to a fixed size.

    Args:
        target_size: [width, height].
        keep_ratio: Keep the proportions: the largest size whose long and short sides fit those of
            ``target_size``.
        size_divisor: Round both sides up to a multiple of it.
        interp: NEAREST, LINEAR, CUBIC, AREA, LANCZOS4, or RANDOM for another one each time; labels always
            take the nearest pixel.

    Raises:
        ValueError: A parameter is out of range.
    """

    resizes = True

    def __init__(
        self,
        target_size: Sequence[int] = (512, 512),
        keep_ratio: bool = False,
        size_divisor: int | None = None,
        interp: str = "LINEAR",
    ) -> None:
        self.target_size = check_size("target_size", target_size)
        self.keep_ratio = keep_ratio
        self.size_divisor = None if size_divisor is None else check_integer("size_divisor", size_divisor)
        self.interp = check_choice("interp", interp, [*INTERPOLATIONS, "RANDOM"])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        interp = rng.choice(list(INTERPOLATIONS)) if self.interp == "RANDOM" else self.interp
        return _resized(sample, self._size_for(*sample.size), INTERPOLATIONS[interp])

    def _size_for(self, height: int, width: int) -> tuple[int, int]:
        target = self.target_size
        if self.keep_ratio:
            scale = min(max(target) / max(height, width), min(target) / min(height, width))
            target = max(round(height * scale), 1), max(round(width * scale), 1)
        if self.size_divisor is not None:
            divisor = self.size_divisor
            target = math.ceil(target[0] / divisor) * divisor, math.ceil(target[1] / divisor) * divisor
        return target


@TRANSFORMS.register
class ResizeByLong:
    """Resizes so that the longer side has ``long_size`` pixels, proportions kept.

    Raises:
        ValueError: ``long_size`` is not a positive whole number.
    """

    resizes = True

    def __init__(self, long_size: int) -> None:
        self.long_size = check_integer("long_size", long_size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _resized(sample, functional.size_with_long_side(sample.size, self.long_size))


@TRANSFORMS.register
class ResizeByShort:
    """Resizes so that the shorter side has ``short_size`` pixels, proportions kept.

    Args:
        short_size: Pixels; a list means one of them at random for each image.
        max_size: The longer side stays within this; the shorter one becomes smaller where needed.

    Raises:
        ValueError: A parameter is not a positive whole number.
    """

    resizes = True

    def __init__(self, short_size: int | Sequence[int], max_size: float | None = None) -> None:
        sizes = short_size if isinstance(short_size, list | tuple) else [short_size]
        if not sizes:
            raise ValueError("short_size: expected at least one size, got an empty list")
        self.short_sizes = [check_integer("short_size", size) for size in sizes]
        self.max_size = math.inf if max_size is None else check_number("max_size", max_size, minimum=1)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        short = self.short_sizes[0] if len(self.short_sizes) == 1 else int(rng.choice(self.short_sizes))
        long_side, short_side = max(sample.size), min(sample.size)
        if short / short_side * long_side > self.max_size:
            short = max(int(self.max_size / long_side * short_side), 1)
        return _resized(sample, functional.size_with_short_side(sample.size, short))


@TRANSFORMS.register
class LimitLong:
    """Brings the longer side into a range, proportions kept; an image inside the range stays as it is.

    Args:
        max_long: Larger images shrink to this; None for no limit.
        min_long: Smaller images grow to this; None for no limit.

    Raises:
        ValueError: A limit is not a positive whole number, or min_long is above max_long.
    """

    resizes = True

    def __init__(self, max_long: int | None = None, min_long: int | None = None) -> None:
        self.max_long = None if max_long is None else check_integer("max_long", max_long)
        self.min_long = None if min_long is None else check_integer("min_long", min_long)
        if self.max_long is not None and self.min_long is not None and self.min_long > self.max_long:
            raise ValueError(f"min_long: expected at most max_long ({max_long}), got {min_long}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        long_side = max(sample.size)
        if self.max_long is not None and long_side > self.max_long:
            target = self.max_long
        elif self.min_long is not None and long_side < self.min_long:
            target = self.min_long
        else:
            return sample
        return _resized(sample, functional.size_with_long_side(sample.size, target))


@TRANSFORMS.register
class ResizeRangeScaling:
    """Resizes so that the longer side has a random length out of a range, proportions kept.

    Args:
        min_value: Fewest pixels of the longer side.
        max_value: Most pixels.

    Raises:
        ValueError: A value is not a positive whole number, or min_value is above max_value.
    """

    resizes = True

    def __init__(self, min_value: int = 400, max_value: int = 600) -> None:
        self.min_value = check_integer("min_value", min_value)
        self.max_value = check_integer("max_value", max_value)
        if min_value > max_value:
            raise ValueError(f"min_value: expected at most max_value ({max_value}), got {min_value}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        long_size = int(rng.integers(self.min_value, self.max_value + 1))
        return _resized(sample, functional.size_with_long_side(sample.size, long_size))


@TRANSFORMS.register
class ResizeStepScaling:
    """Scales by a random factor out of evenly spaced ones.

    Args:
        min_scale_factor: Smallest factor.
        max_scale_factor: Largest factor.
        scale_step_size: Distance between factors; 0 draws any factor of the range.

    Raises:
        ValueError: A factor is not positive, the step is negative, or the range is empty.
    """

    resizes = True

    def __init__(
        self, min_scale_factor: float = 0.75, max_scale_factor: float = 1.25, scale_step_size: float = 0.25
    ) -> None:
        for name, factor in (("min_scale_factor", min_scale_factor), ("max_scale_factor", max_scale_factor)):
            if check_number(name, factor) <= 0:
                raise ValueError(f"{name}: expected a number above 0, got {factor!r}")
        if min_scale_factor > max_scale_factor:
            raise ValueError(
                f"min_scale_factor: expected at most max_scale_factor ({max_scale_factor}), "
                f"got {min_scale_factor}"
            )
        self.min_scale_factor = min_scale_factor
        self.max_scale_factor = max_scale_factor
        self.scale_step_size = check_number("scale_step_size", scale_step_size, minimum=0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _resized(sample, self.choose(sample.size, rng))

    def choose(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Draws (height, width) for an image of that size."""
        factor = self._draw(rng)
        return max(round(factor * size[0]), 1), max(round(factor * size[1]), 1)

    def _draw(self, rng: np.random.Generator) -> float:
        low, high, step = self.min_scale_factor, self.max_scale_factor, self.scale_step_size
        if step == 0:
            return float(rng.uniform(low, high))
        # 1e-9: 0.3 / 0.1 is 2.9999…; the range must still hold all its steps.
        count = int((high - low) / step + 1e-9) + 1
        return float(rng.choice(np.linspace(low, high, count)))


@TRANSFORMS.register
class RandomScaleAspect:
    """Enlarges a random part, of random proportions, to the size of the image.

    A part that does not fit into the image is drawn again, up to ten times; then the image stays as it is.

    Args:
        min_scale: Smallest share of the image's area; 0 turns the transform off.
        aspect_ratio: The part's width / height is drawn from aspect_ratio … 1 / aspect_ratio, and the two
            are swapped half of the time; 0 turns the transform off.

    Raises:
        ValueError: A parameter is not within 0..1.
    """

    invertible = False
    resizes = True
    takes_bytes = True

    def __init__(self, min_scale: float = 0.5, aspect_ratio: float = 0.33) -> None:
        self.min_scale = check_number("min_scale", min_scale, minimum=0, maximum=1)
        self.aspect_ratio = check_number("aspect_ratio", aspect_ratio, minimum=0, maximum=1)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        part = self._draw_size(sample.size, rng)
        if part is None:
            return sample
        top, left = (int(rng.integers(n - m + 1)) for n, m in zip(sample.size, part, strict=True))
        window = slice(top, top + part[0]), slice(left, left + part[1])
        label = None if sample.label is None else sample.label[window]
        return replace(
            sample,
            image=functional.resize_image(sample.image[window], sample.size),
            label=None if label is None else functional.resize_label(label, sample.size),
        )

    def _draw_size(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
        if self.min_scale == 0 or self.aspect_ratio == 0:
            return None
        for _ in range(10):
            area = size[0] * size[1] * rng.uniform(self.min_scale, 1)
            ratio = rng.uniform(self.aspect_ratio, 1 / self.aspect_ratio)
            part = max(int(math.sqrt(area / ratio)), 1), max(int(math.sqrt(area * ratio)), 1)
            if rng.random() < 0.5:
                part = part[::-1]
            if part[0] <= size[0] and part[1] <= size[1]:
                return part
        return None


def _resized(sample: Sample, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> Sample:
    if size == sample.size:
        return sample
    return replace(
        sample,
        image=functional.resize_image(sample.image, size, interpolation),
        label=None if sample.label is None else functional.resize_label(sample.label, size),
        undo=[*sample.undo, Undo("resize", sample.size)],
    )
