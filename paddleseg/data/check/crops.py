"""The crop of the training transforms against the sizes of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.findings import Finding, Severity
from paddleseg.data.transforms import (
    CopyPaste,
    Normalize,
    Padding,
    RandomBlur,
    RandomDistort,
    RandomHorizontalFlip,
    RandomNoise,
    RandomPaddingCrop,
    RandomVerticalFlip,
    ResizeStepScaling,
)
from paddleseg.data.transforms.compose import Compose
from paddleseg.data.transforms.sample import Transform

__all__ = ["CropFacts", "crop_facts", "crop_findings"]

_KEEP_SIZE = (
    CopyPaste
    | Normalize
    | RandomBlur
    | RandomDistort
    | RandomHorizontalFlip
    | RandomNoise
    | RandomVerticalFlip
)
_MUCH_PADDING = 0.25


@dataclass(frozen=True)
class CropFacts:
    """What a crop sees of the images.

    Attributes:
        name: Of the transform.
        crop: Its width and height.
        scale: Least and greatest factor by which images are scaled before.
        reach: Share of the images that are as wide and as high as the crop, at scale 1.
        padding: Part of the crop that is padding, on average, at scale 1.
        seen: Part of an image that a crop shows, on average, at scale 1.
        any_reaches: Whether some image, scaled up, reaches the crop on at least one side.
    """

    name: str
    crop: tuple[int, int]
    scale: tuple[float, float]
    reach: float
    padding: float
    seen: float
    any_reaches: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def crop_facts(transforms: Compose, sizes: NDArray[np.int64]) -> CropFacts | None:
    """Compares the crop with the images.

    Args:
        transforms: Of the data set.
        sizes: N×2: width and height of each image.

    Returns:
        None where there is no crop, no image, or another resizing before the crop.
    """
    low, high = 1.0, 1.0
    for transform in transforms.transforms:
        if isinstance(transform, RandomPaddingCrop):
            return _facts(transform, sizes, (low, high)) if len(sizes) else None
        if isinstance(transform, ResizeStepScaling):
            low *= transform.min_scale_factor
            high *= transform.max_scale_factor
        elif not isinstance(transform, _KEEP_SIZE):
            return None
    return None


def crop_findings(
    split: str, facts: CropFacts | None, transforms: Compose, sizes: NDArray[np.int64]
) -> list[Finding]:
    """A crop that no image reaches, or that is padding to a large part; images that Padding refuses."""
    findings = _padding_findings(split, transforms.transforms, sizes)
    if facts is None:
        return findings
    width, height = facts.crop
    what = f"{facts.name}: crop_size [{width}, {height}]"
    if not facts.any_reaches and facts.padding > _MUCH_PADDING:
        text = f"{what} is wider and higher than every image, even enlarged {facts.scale[1]:g} times"
        fix = "lower crop_size or raise max_scale_factor"
        findings.append(Finding(Severity.ERROR, "crop_too_large", split, text, fix))
    elif facts.padding > _MUCH_PADDING:
        text = f"{what}: {facts.padding:.0%} of a crop is padding at scale 1, on average"
        findings.append(Finding(Severity.WARNING, "crop_padding", split, text, "lower crop_size"))
    return findings


def _facts(transform: RandomPaddingCrop, sizes: NDArray[np.int64], scale: tuple[float, float]) -> CropFacts:
    height, width = transform.crop_size
    crop = np.array([width, height])
    covered = np.minimum(sizes, crop).prod(axis=1)
    return CropFacts(
        type(transform).__name__,
        (width, height),
        scale,
        float((sizes >= crop).all(axis=1).mean()),
        float(1 - (covered / crop.prod()).mean()),
        float((covered / sizes.prod(axis=1)).mean()),
        bool((sizes * scale[1] >= crop).any()),
    )


def _padding_findings(split: str, transforms: Sequence[Transform], sizes: NDArray[np.int64]) -> list[Finding]:
    """Padding to a fixed size stops at a larger image; judged only where nothing before changes sizes."""
    for transform in transforms:
        if isinstance(transform, Padding):
            height, width = transform.target_size
            count = int((sizes > np.array([width, height])).any(axis=1).sum())
            text = f"Padding: images larger than target_size [{width}, {height}]: {count}"
            fix = "raise target_size, or put a Resize or LimitLong before it"
            return [Finding(Severity.ERROR, "padding_too_small", split, text, fix, count)] if count else []
        if not isinstance(transform, _KEEP_SIZE):
            break
    return []
