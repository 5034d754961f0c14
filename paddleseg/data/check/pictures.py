"""Sizes and brightness of the images of a split, ready for the transforms that depend on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.findings import Example, Finding, Severity
from paddleseg.data.check.totals import SplitTotals

__all__ = ["PictureFacts", "picture_facts", "picture_findings"]

_DARK, _BRIGHT, _FLAT = 8.0, 247.0, 2.0
_FAR = 6.0  # robust standard deviations from the median brightness
_LEAST_SPREAD = 4.0  # grey levels: in a set of equal pictures nothing is an outlier
_LEAST_IMAGES = 10  # below, a median says little
_LISTED = 3


@dataclass(frozen=True)
class PictureFacts:
    """The images of a split.

    Attributes:
        images: How many could be read.
        smallest: Least width and least height.
        median: Median width and height.
        largest: Greatest width and height.
        common_sizes: The most frequent sizes with their counts.
        sizes: How many different ones there are.
        mean: Of each channel over all pixels, 0..1, as Normalize takes it.
        std: Likewise.
    """

    images: int
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    common_sizes: tuple[tuple[int, int, int], ...]
    sizes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def picture_facts(totals: SplitTotals) -> PictureFacts | None:
    """Sums the images of a split up; None where none could be read."""
    sizes = totals.sizes
    if not len(sizes):
        return None
    counts = Counter(map(tuple, sizes.tolist()))
    weights = sizes.prod(axis=1)[:, np.newaxis] / sizes.prod(axis=1).sum()
    mean = (totals.means * weights).sum(axis=0)
    square = ((totals.stds**2 + totals.means**2) * weights).sum(axis=0)
    std = np.sqrt(np.maximum(0, square - mean**2))
    return PictureFacts(
        len(sizes),
        _pair(sizes.min(axis=0)),
        _pair(np.median(sizes, axis=0)),
        _pair(sizes.max(axis=0)),
        tuple((width, height, count) for (width, height), count in counts.most_common(_LISTED)),
        len(counts),
        tuple(round(one / 255, 4) for one in mean.tolist()),
        tuple(round(one / 255, 4) for one in std.tolist()),
    )


def picture_findings(split: str, totals: SplitTotals, name_of: Callable[[int], str]) -> list[Finding]:
    """Images without content, and those whose brightness is far from the others'.

    Args:
        split: Which.
        totals: Of the split.
        name_of: The image file of a sample.
    """
    if not len(totals.means):
        return []
    means, stds = totals.means.mean(axis=1), totals.stds.max(axis=1, initial=0)
    flat = stds < _FLAT
    dark, bright = (means < _DARK) & ~flat, (means > _BRIGHT) & ~flat
    kinds = [
        (Severity.WARNING, "flat_image", flat, "images of one colour"),
        (Severity.WARNING, "dark_image", dark, "images that are almost black"),
        (Severity.WARNING, "bright_image", bright, "images that are almost white"),
    ]
    if len(means) >= _LEAST_IMAGES:
        median = np.median(means)
        spread = max(_LEAST_SPREAD, 1.4826 * float(np.median(np.abs(means - median))))
        far = (np.abs(means - median) > _FAR * spread) & ~(flat | dark | bright)
        text = f"images much darker or brighter than most (median {median:.0f} of 255)"
        kinds.append((Severity.NOTE, "brightness_outlier", far, text))
    findings = []
    for severity, code, chosen, text in kinds:
        places = np.flatnonzero(chosen).tolist()
        examples = [_example(place, means[place], totals.image_indices, name_of) for place in places[:10]]
        if places:
            fix = "look at them; leave out what is no picture" if severity is Severity.WARNING else ""
            message = f"{text}: {len(places)}"
            findings.append(Finding(severity, code, split, message, fix, len(places), tuple(examples)))
    return findings


def _example(place: int, mean: float, indices: NDArray[np.int64], name_of: Callable[[int], str]) -> Example:
    index = int(indices[place])
    return Example(f"{name_of(index)}: mean {mean:.0f} of 255", index)


def _pair(values: NDArray[Any]) -> tuple[int, int]:
    width, height = values.tolist()
    return round(width), round(height)
