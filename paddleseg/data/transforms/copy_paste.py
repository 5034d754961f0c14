"""Objects of one training image in another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.transforms.checks import check_classes, check_integer, check_probability
from paddleseg.data.transforms.geometric import Window
from paddleseg.data.transforms.sample import LabelArray, Sample
from paddleseg.errors import DataError
from paddleseg.registry import TRANSFORMS

__all__ = ["CopyPaste"]


@TRANSFORMS.register
class CopyPaste:
    """Pastes objects from another training image, with their labels (Ghiasi et al., CVPR 2021).

    Class ids do not tell objects apart, so an object is a connected region of one class (pixels that touch at
    a corner are connected), or all pixels of a class. Objects are cut along their labels, without blending,
    which the paper found to be as good. They keep their places; where the two images differ in size, one is
    moved at random inside the other, along each axis.

    The other image is drawn evenly from the training set, and comes through the transforms in front of this
    one with random numbers of its own. So the place that is the paper's is behind scaling, crop and flip.
    It costs the reading of one more image.

    Args:
        classes: Class ids of the objects that may be pasted. Things such as cars make sense, the sky does
            not.
        prob: Probability.
        max_objects: Most objects to paste; None for no limit. How many it is is drawn evenly, from one on.
        min_area: Fewest pixels that a pasted object has.
        whole_classes: An object is all pixels of a class.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    invertible = False
    takes_bytes = True

    def __init__(
        self,
        classes: Sequence[int],
        prob: float = 0.5,
        max_objects: int | None = None,
        min_area: int = 1,
        whole_classes: bool = False,
    ) -> None:
        self.classes = check_classes("classes", classes)
        self.prob = check_probability("prob", prob)
        self.max_objects = None if max_objects is None else check_integer("max_objects", max_objects)
        self.min_area = check_integer("min_area", min_area)
        self.whole_classes = whole_classes

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.other is None or sample.label is None:
            raise DataError(
                f"{sample.image_path}: CopyPaste: there is no label, or no other image to paste from; use it "
                "in the transforms of a training set (mode train)"
            )
        if rng.random() >= self.prob:
            return sample
        other = sample.other(rng)
        if other.label is None:
            raise DataError(f"{other.image_path}: CopyPaste: has no label, so there is nothing to paste")
        here, there = _overlap(sample.size, other.size, rng)
        chosen = self._draw_objects(other.label[there], rng)
        if chosen is None:
            return sample
        return replace(
            sample,
            image=_paste(sample.image, other.image[there], here, chosen[..., np.newaxis]),
            label=_paste(sample.label, other.label[there], here, chosen),
        )

    def _draw_objects(self, label: LabelArray, rng: np.random.Generator) -> NDArray[np.bool_] | None:
        """The pixels to paste, [H, W]; None where there is no object."""
        numbers, areas = self._number_objects(label)
        candidates = np.flatnonzero(areas >= self.min_area)
        if not len(candidates):
            return None
        most = len(candidates) if self.max_objects is None else min(self.max_objects, len(candidates))
        count = int(rng.integers(1, most + 1))
        is_chosen = np.zeros(len(areas), dtype=np.bool_)
        is_chosen[rng.choice(candidates, count, replace=False)] = True
        chosen: NDArray[np.bool_] = is_chosen[numbers]
        return chosen

    def _number_objects(self, label: LabelArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The object of each pixel, [H, W], 0 for none; and how many pixels each one has, 0 for none."""
        numbers = np.zeros(label.shape, dtype=np.int32)
        areas = [np.zeros(1, dtype=np.int64)]
        for class_id in self.classes:
            mask = (label == class_id).astype(np.uint8)
            if self.whole_classes:
                regions, sizes = mask.astype(np.int32), np.array([mask.sum()], dtype=np.int64)
            else:
                _, regions, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
                sizes = stats[1:, cv2.CC_STAT_AREA].astype(np.int64)
            # The classes' pixels are apart, so each is written once.
            np.add(regions, sum(map(len, areas)) - 1, out=numbers, where=regions > 0)
            areas.append(sizes)
        return numbers, np.concatenate(areas)


def _overlap(
    size: tuple[int, int], other: tuple[int, int], rng: np.random.Generator
) -> tuple[Window, Window]:
    """Windows of one size in both images: the smaller side of each axis, anywhere in the larger."""
    height, width = min(size[0], other[0]), min(size[1], other[1])
    here, there = ((_draw_part(one[0], height, rng), _draw_part(one[1], width, rng)) for one in (size, other))
    return here, there


def _draw_part(length: int, part: int, rng: np.random.Generator) -> slice:
    start = int(rng.integers(length - part + 1))
    return slice(start, start + part)


def _paste(target: NDArray[Any], source: NDArray[Any], at: Window, where: NDArray[np.bool_]) -> NDArray[Any]:
    """A copy of the target with some pixels of the source, of the dtype that holds both."""
    result = target.astype(np.result_type(target, source))
    np.copyto(result[at], source, where=where)
    return result
