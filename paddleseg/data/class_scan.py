"""Which class ids the labels of a data set hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.findings import Examples
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.errors import DataError

__all__ = [
    "class_ids_of",
    "count_classes",
    "count_likely_classes",
    "ids_in",
    "outlying_ids",
    "refuse_ignored_foreground",
]

_MOST_CLASSES = 200  # more are taken for grey levels
_WIDE_GAP = 3  # ids in a row that labels may lack without being asked about
_LONGEST_MAP = 16  # ids that a message lists
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
    indices: Sequence[int] | None = None,
    skip_bad: bool = False,
) -> dict[int, Examples]:
    """Decodes labels.

    Args:
        dataset: With labels.
        threads: Labels decoded at a time.
        progress: Wraps what there is for each label.
        indices: Which samples; None for all.
        skip_bad: Passes over labels that cannot be read or mapped.

    Returns:
        The ids after mapping, without ``ignore_index``, with the labels that hold them.

    Raises:
        DataError: A label is unreadable or holds what cannot be mapped.
    """

    def look(index: int) -> set[int]:
        try:
            return ids_in(dataset.decode_label(index))
        except Exception:
            if skip_bad:
                return set()
            raise

    chosen = range(len(dataset)) if indices is None else indices
    found: dict[int, Examples] = {}
    pool = ThreadPoolExecutor(threads)
    try:
        for index, ids in zip(chosen, progress(pool.map(look, chosen)), strict=True):
            for one in ids - {dataset.ignore_index}:
                found.setdefault(one, Examples()).add(str(dataset.files[index].label), index)
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def outlying_ids(ids: Collection[int]) -> list[int]:
    """Ids that can hardly be those of classes beside the others.

    Negative ones; else those above the widest gap, where more than half of the ids up to the largest are
    missing, or where the gap is over 3 ids wide and fewer lie above it than are missing in it.

    Args:
        ids: What labels hold, without ``ignore_index``.
    """
    ordered = sorted(ids)
    if not ordered or ordered[0] < 0:
        return [one for one in ordered if one < 0]
    gaps = [above - below - 1 for below, above in itertools.pairwise([-1, *ordered])]
    widest = max(gaps)
    outside = ordered[gaps.index(widest) :]
    lacks_most = 2 * len(ordered) < ordered[-1] + 1
    return outside if lacks_most or (widest > _WIDE_GAP and len(outside) < widest) else []


def count_likely_classes(ids: Collection[int]) -> int:
    """The number of classes without ids that can hardly be classes, for a check that names those.

    Args:
        ids: What labels hold, without ``ignore_index``.

    Returns:
        At least 2, and 2 for grey levels.
    """
    count = max(set(ids) - set(outlying_ids(ids)), default=0) + 1
    return count if 2 <= count <= _MOST_CLASSES else 2


def count_classes(ids: Mapping[int, Examples], dataset: SegmentationDataset) -> int:
    """The number of classes that makes all of a training set's ids valid: the largest and one.

    Args:
        ids: What :func:`class_ids_of` found.
        dataset: The data set, for the message.

    Raises:
        DataError: The ids are too few, more than 200 or far apart, so they can hardly be those of classes.
    """
    count = max(ids, default=-1) + 1
    outlying = outlying_ids(ids)
    if 2 <= count <= _MOST_CLASSES and not outlying:
        return count
    shown = ", ".join(map(str, sorted(ids)[:8])) + (", …" if len(ids) > 8 else "")
    found = (
        f"num_classes: not given, and the {len(dataset)} labels, such as {dataset.files[0].label}, do not "
        f"tell it: besides ignore_index {dataset.ignore_index}, they hold {shown or 'nothing'}"
    )
    if set(ids) in ({0}, {0, 255}):
        raise DataError(f"{found}; {_BINARY_FIX}, or give num_classes")
    if not outlying:
        grey = f", {len(ids)} ids up to {count - 1}: grey levels instead of class ids?" if count > 2 else ""
        raise DataError(f"{found}{grey}; give num_classes, or map the values with label_map")
    confirm = "" if outlying[0] < 0 else f"; if they are classes, set num_classes: {count}"
    raise DataError(
        f"{found}. Stray values, or grey levels instead of class ids? {_holders(ids, outlying)}. Correct "
        f"these labels, or set {_mapping(sorted(ids), outlying)}{confirm}"
    )


def _holders(ids: Mapping[int, Examples], outlying: Sequence[int]) -> str:
    """Which labels hold the first few of some ids."""
    parts = []
    for one in outlying[:3]:
        files = [example.text for example in ids[one].kept[:2]]
        more = ids[one].count - len(files)
        parts.append(f"{one} is in {', '.join(files)}" + (f" and {more} more" if more else ""))
    return "; ".join([*parts, *(["…"] if len(outlying) > 3 else [])])


def _mapping(ordered: Sequence[int], outlying: Sequence[int]) -> str:
    """The label_map that drops some ids; or numbers all, where those are most."""
    if len(ordered) > _LONGEST_MAP:
        return "label_map, which lists every id with its class or 'ignore'"
    numbered = 2 * len(outlying) >= len(ordered) and ordered[0] >= 0
    entries = [
        f"{one}: {place if numbered else 'ignore' if one in outlying else one}"
        for place, one in enumerate(ordered)
    ]
    return f"label_map: {{{', '.join(entries)}}}"


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
