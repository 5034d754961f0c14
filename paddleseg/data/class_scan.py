"""Which class ids the labels of a data set hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.errors import DataError

__all__ = ["class_ids_of", "count_classes", "ids_in", "refuse_ignored_foreground"]

_MOST_CLASSES = 200  # more are taken for grey levels
_PROBED = 200
_BINARY_FIX = "a 0/255 mask? Set label_map: {0: 0, 255: 1}"


def ids_in(label: NDArray[Any]) -> set[int]:
    """The values of a label."""
    if label.dtype == np.uint8:
        counts = cv2.calcHist([label], [0], None, [256], [0, 256])
        return set(np.flatnonzero(counts).tolist())
    return set(np.unique(label).tolist())


def class_ids_of(
    dataset: SegmentationDataset,
    *,
    threads: int = 1,
    progress: Callable[[Iterable[set[int]]], Iterable[set[int]]] = iter,
) -> set[int]:
    """Decodes all labels.

    Args:
        dataset: With labels.
        threads: Labels decoded at a time.
        progress: Wraps what there is for each label.

    Returns:
        The ids after mapping, without ``ignore_index``.

    Raises:
        DataError: A label is unreadable or holds what cannot be mapped.
    """
    found: set[int] = set()
    pool = ThreadPoolExecutor(threads)
    try:
        for ids in progress(pool.map(lambda index: ids_in(dataset.decode_label(index)), range(len(dataset)))):
            found |= ids
    finally:
        pool.shutdown(cancel_futures=True)
    return found - {dataset.ignore_index}


def count_classes(ids: set[int], dataset: SegmentationDataset) -> int:
    """The number of classes that makes all of a training set's ids valid: the largest and one.

    Where more than half of the ids below the largest are missing, or there are more than 200, they are taken
    for grey levels, of a mask drawn with 0, 100 and 200 or with smoothed edges.

    Args:
        ids: What :func:`class_ids_of` found.
        dataset: The data set, for the message.

    Raises:
        DataError: The ids are too few, too many or negative, so they can hardly be those of classes.
    """
    count = max(ids, default=-1) + 1
    if 2 <= count <= _MOST_CLASSES and min(ids) >= 0 and 2 * len(ids) >= count:
        return count
    shown = ", ".join(map(str, sorted(ids)[:8])) + (", …" if len(ids) > 8 else "")
    why = f"besides ignore_index {dataset.ignore_index}, they hold {shown or 'nothing'}"
    if ids in ({0}, {0, 255}):
        why += f"; {_BINARY_FIX}"
    elif len(ids) > 1:
        why += f", {len(ids)} ids up to {count - 1}: grey levels instead of class ids?"
    raise DataError(
        f"num_classes: not given, and the {len(dataset)} labels, such as {dataset.files[0].label}, do not "
        f"tell it: {why}; give num_classes, or map the values with label_map"
    )


def refuse_ignored_foreground(dataset: SegmentationDataset) -> None:
    """Stops where a data set of two classes holds 0 and 255 and never 1, and 255 is ``ignore_index``.

    Such masks would teach that everything is background. Labels are looked at up to the first with a 1. Where
    they are right, ``label_map: {0: 0, 1: 1, 255: ignore}`` says so.

    Args:
        dataset: With labels or without.

    Raises:
        DataError: It is so.
    """
    coding = dataset.coding
    if dataset.num_classes != 2 or dataset.ignore_index != 255 or dataset.mode == "test":
        return
    if coding.label_map is not None or coding.colours is not None or coding.reduce_zero_label:
        return
    step = max(len(dataset) // _PROBED, 1)
    holds_255 = 0
    indices = range(0, len(dataset), step)
    for index in indices:
        try:
            ids = ids_in(dataset.decode_label(index))
        except DataError:  # named when it is its turn
            continue
        if ids - {0, 255}:
            return
        holds_255 += 255 in ids
    if holds_255:
        raise DataError(
            f"{dataset.files[0].label} and {len(indices) - 1} other labels of {dataset.mode} hold 0 and 255 "
            f"only: with ignore_index: 255 there is nothing to learn but class 0; {_BINARY_FIX}. If 255 does "
            "mean unlabelled: label_map: {0: 0, 1: 1, 255: ignore}"
        )
