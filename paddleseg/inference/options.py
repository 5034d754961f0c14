"""How images go through a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paddleseg.errors import UsageError

__all__ = ["InferenceOptions"]


@dataclass(frozen=True)
class InferenceOptions:
    """How an image goes through the model. Lists, as YAML gives them, are accepted for tuples.

    Attributes:
        scales: Factors of the image size; results are averaged over them.
        flip_horizontal: Average with the image mirrored left to right too.
        flip_vertical: Average with the image mirrored top to bottom too.
        is_slide: Predict in windows instead of the whole image.
        crop_size: (width, height) of a window in pixels.
        stride: (width, height) from one window to the next in pixels.
        window_batch: Windows a model call takes at most.

    Raises:
        UsageError: A value is out of range, or the windows would leave gaps.
    """

    scales: Sequence[float] = (1.0,)
    flip_horizontal: bool = False
    flip_vertical: bool = False
    is_slide: bool = False
    crop_size: Sequence[int] | None = None
    stride: Sequence[int] | None = None
    window_batch: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", _scales(self.scales))
        for name in ("crop_size", "stride"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if not isinstance(self.window_batch, int) or self.window_batch < 1:
            raise UsageError(f"window_batch: expected a whole number from 1, got {self.window_batch!r}")
        if self.is_slide:
            self._check_windows()

    @property
    def is_augmented(self) -> bool:
        """True when results are averaged over scales or flips, so probabilities rather than logits."""
        return tuple(self.scales) != (1.0,) or self.flip_horizontal or self.flip_vertical

    def _check_windows(self) -> None:
        if self.crop_size is None or self.stride is None:
            raise UsageError("is_slide: needs crop_size and stride too, each as (width, height) in pixels")
        if any(step > size for step, size in zip(self.stride, self.crop_size, strict=True)):
            raise UsageError(
                f"stride {self.stride} is larger than crop_size {self.crop_size}: pixels between windows "
                "would get no prediction; use a stride of at most the crop size"
            )


def _scales(value: Any) -> tuple[float, ...]:
    """Accepts one factor or several."""
    factors = value if isinstance(value, list | tuple) else (value,)
    numbers = all(isinstance(factor, int | float) and not isinstance(factor, bool) for factor in factors)
    if not factors or not numbers or not all(0 < factor < math.inf for factor in factors):
        raise UsageError(f"scales: expected positive factors such as 0.75 1.0 1.25, got {value!r}")
    return tuple(float(factor) for factor in factors)


def _pair(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in pair):
        raise UsageError(f"{name}: expected two whole numbers above 0, width then height, got {value!r}")
    return pair
