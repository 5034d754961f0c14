"""Whether a pack is still what its data set would be packed to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from paddleseg.data.crop_check import image_size
from paddleseg.data.datasets.base import Pair, SegmentationDataset, relative_names
from paddleseg.data.pack import Pack
from paddleseg.data.pack_index import FileState, LabelType, PackedFiles, PackIndex
from paddleseg.errors import DataError

__all__ = ["describe_changed_fact", "describe_dataset", "describe_difference", "find_staleness", "pairs_of"]


def describe_dataset(dataset: SegmentationDataset, *, shards: int, root: str | None = None) -> PackIndex:
    """Looks at the files of a data set and at the headers of its images.

    Args:
        dataset: The data set.
        shards: Files to spread its samples over.
        root: Its ``dataset_root``; None where it has none.

    Raises:
        DataError: A file is missing, or an image's header is damaged.
    """
    samples = _samples_of(dataset, root)
    widths, heights = zip(*(image_size(pair.image) for pair in dataset.files), strict=True)
    return PackIndex(_facts_of(dataset), _label_type(dataset), shards, (max(heights), max(widths)), samples)


def _facts_of(dataset: SegmentationDataset) -> dict[str, Any]:
    return {
        "type": type(dataset).__qualname__,
        "mode": dataset.subset,
        "num_classes": dataset.num_classes,
        "ignore_index": dataset.ignore_index,
        "img_channels": dataset.img_channels,
        **dataset.coding.facts(),
    }


def _samples_of(dataset: SegmentationDataset, root: str | None) -> tuple[PackedFiles, ...]:
    names = relative_names(dataset.files, root)
    return tuple(
        PackedFiles(
            names[pair.image],
            None if pair.label is None else names[pair.label],
            _state_of(pair.image),
            None if pair.label is None else _state_of(pair.label),
        )
        for pair in dataset.files
    )


def describe_difference(packed: PackIndex, current: PackIndex) -> str | None:
    """Says what has changed since packing, or None; the number of shards does not count."""
    if (difference := describe_changed_fact(packed.dataset, current.dataset)) is not None:
        return difference
    if len(packed.samples) != len(current.samples):
        return f"the data set has {len(current.samples)} samples, it had {len(packed.samples)}"
    for index, (one, other) in enumerate(zip(packed.samples, current.samples, strict=True)):
        if (one.image, one.label) != (other.image, other.label):
            return f"sample {index} is {_name(other)}, it was {_name(one)}"
    changed = [one for one, other in zip(packed.samples, current.samples, strict=True) if one != other]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"the files of sample {changed[0].image}{more} have changed (size or time)"
    return None


def describe_changed_fact(packed: Mapping[str, Any], current: Mapping[str, Any]) -> str | None:
    """Says in which of the facts of :attr:`PackIndex.dataset` two data sets differ, or None."""
    for name in (*packed, *current):
        if packed.get(name) != current.get(name):
            return f"{name} is {current.get(name)}, it was {packed.get(name)}"
    return None


def find_staleness(pack: Pack, dataset: SegmentationDataset, *, root: str | None = None) -> str | None:
    """Compares a pack with the data set whose place it is to take; no image is opened.

    Every file's size and time are compared, and the label of one sample is decoded again, which finds another
    mapping of class ids.

    Args:
        pack: Opened; at least one of its shards.
        dataset: Built from its files.
        root: Its ``dataset_root``, as for :func:`describe_dataset`.

    Returns:
        What has changed since packing; None where nothing has.

    Raises:
        DataError: A file is missing, or the label that is decoded again is bad.
    """
    current = replace(pack.index, dataset=_facts_of(dataset), samples=_samples_of(dataset, root))
    difference = describe_difference(pack.index, current)
    if difference is not None:
        return difference
    probe = pack.first_index
    label, path = pack.sample(probe)[1], dataset.files[probe].label
    if label is not None and not np.array_equal(label, dataset.load_label(probe)):
        return f"{path} is decoded to other class ids"
    return None


def pairs_of(pack: Pack, root: str) -> list[Pair]:
    """Names the files that a pack was made of, for a data set without them.

    Args:
        pack: The pack.
        root: Folder that the names start from.
    """
    return [
        Pair(os.path.join(root, one.image), None if one.label is None else os.path.join(root, one.label))
        for one in pack.index.samples
    ]


def _state_of(path: str) -> FileState:
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    return found.st_size, found.st_mtime_ns


def _label_type(dataset: SegmentationDataset) -> LabelType:
    fits = dataset.num_classes <= 256 and 0 <= dataset.ignore_index <= 255
    return "uint8" if fits else "int32"


def _name(sample: PackedFiles) -> str:
    return sample.image if sample.label is None else f"{sample.image} with {sample.label}"
