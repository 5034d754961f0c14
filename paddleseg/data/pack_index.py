"""How a pack is described on disk: the data set, the files it was made of, and where each record lies.

``index.json`` holds a :class:`PackIndex`. For each shard ``shard_00000.json`` holds its records and
``shard_00000.bin`` the pixels. Sample i is record ``i // shards`` of shard ``i % shards``. A shard's own
index is written after its pixels, so that a shard with one is whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from paddleseg.errors import DataError

__all__ = [
    "INDEX_FILE",
    "PAGE",
    "VERSION",
    "FileState",
    "LabelType",
    "PackIndex",
    "PackedFiles",
    "Record",
    "label_start",
    "next_page",
    "read_index",
    "read_records",
    "records_to_bytes",
    "shard_file",
    "shard_index_file",
]

VERSION = 1
INDEX_FILE = "index.json"
PAGE = 4096
"""Images and labels start at multiples of this many bytes, so that reading one touches no page of another."""

FileState: TypeAlias = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""
LabelType: TypeAlias = Literal["uint8", "int32"]


@dataclass(frozen=True)
class PackedFiles:
    """The files that a sample was decoded from; a sample of a test set has no label.

    Attributes:
        image: Name of the image file, from ``dataset_root``; where a data set has none, from the folder that
            all of its files have in common.
        label: Name of the label file.
        image_state: State of the image file when it was packed.
        label_state: State of the label file.
    """

    image: str
    label: str | None
    image_state: FileState
    label_state: FileState | None


@dataclass(frozen=True)
class PackIndex:
    """What a pack is made of; two packs with equal indexes hold the same.

    Attributes:
        dataset: What decides the pixels besides the files, by name: ``type``, ``mode``, ``num_classes``,
            ``ignore_index``, ``img_channels``, and the keys of
            :meth:`paddleseg.data.label_coding.LabelCoding.facts`.
        label_type: How a class id is stored.
        shards: Files that the samples are spread over.
        largest: Height of the highest image and width of the widest, by their headers.
        samples: In the order of the data set.
    """

    dataset: dict[str, Any]
    label_type: LabelType
    shards: int
    largest: tuple[int, int]
    samples: tuple[PackedFiles, ...]

    def to_bytes(self) -> bytes:
        """Returns the content of ``index.json``."""
        tree = {"format": "paddleseg pack", "version": VERSION, **asdict(self)}
        return (json.dumps(tree, separators=(",", ":"), ensure_ascii=True) + "\n").encode()

    @cached_property
    def digest(self) -> str:
        """Ties a shard to this index."""
        return hashlib.blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def indices_of(self, shard: int) -> range:
        """The samples of a shard, in the order of its records."""
        return range(shard, len(self.samples), self.shards)


@dataclass(frozen=True)
class Record:
    """Where a sample lies in its shard.

    Attributes:
        offset: First byte of the image, a multiple of :data:`PAGE`; the label starts at the next such one
            after the image.
        height: Rows.
        width: Columns.
        image_crc: CRC-32 of the image's bytes.
        label_crc: CRC-32 of the label's bytes; None without a label.
    """

    offset: int
    height: int
    width: int
    image_crc: int
    label_crc: int | None


def read_index(folder: Path) -> PackIndex:
    """Reads ``index.json``.

    Raises:
        DataError: There is none, it is damaged, or it is of another version.
    """
    path = folder / INDEX_FILE
    tree = _read_json(path, "this folder is no pack; tools/pack_dataset.py makes one")
    try:
        if tree["version"] != VERSION:
            raise DataError(
                f"{path}: version {tree['version']} of the format, expected {VERSION}; pack again"
            )
        samples = tuple(
            PackedFiles(
                one["image"],
                one["label"],
                _state(one["image_state"]),
                one["label"] and _state(one["label_state"]),
            )
            for one in tree["samples"]
        )
        height, width = map(int, tree["largest"])
        index = PackIndex(
            dict(tree["dataset"]), tree["label_type"], int(tree["shards"]), (height, width), samples
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {_reason(error)}; pack the data set again") from error
    if not samples or index.shards < 1 or index.label_type not in ("uint8", "int32"):
        raise DataError(f"{path}: damaged: no samples, shards or label type; pack the data set again")
    return index


def read_records(folder: Path, index: PackIndex, shard: int) -> list[Record]:
    """Reads a shard's own index and compares the shard's size with it.

    Raises:
        DataError: The shard is missing, damaged, cut off or belongs to another pack.
    """
    path, pixels = folder / shard_index_file(shard), folder / shard_file(shard)
    tree = _read_json(path, f"shard {shard} of {index.shards} is missing; copy it here, or pack it again")
    try:
        if tree["pack"] != index.digest:
            raise DataError(f"{path}: belongs to another pack than {INDEX_FILE}; pack the data set again")
        records = [Record(*one) for one in tree["records"]]
        size = int(tree["bytes"])
        samples = [index.samples[one] for one in index.indices_of(shard)]
        labelled = [one.label is not None for one in samples]
        fits = labelled == [one.label_crc is not None for one in records] and size == _end(records, index)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {_reason(error)}; pack the data set again") from error
    if not fits:
        raise DataError(f"{path}: damaged: its records do not fit the pack; pack the data set again")
    try:
        found = pixels.stat().st_size
    except OSError as error:
        raise DataError(f"{pixels}: {error.strerror}; copy it here, or pack it again") from error
    if found != size:
        raise DataError(f"{pixels}: {found} bytes, expected {size}: cut off? Copy it again, or pack it again")
    return records


def records_to_bytes(records: list[Record], index: PackIndex) -> bytes:
    """Returns the content of a shard's own index."""
    tree = {"pack": index.digest, "bytes": _end(records, index), "records": [astuple(one) for one in records]}
    return (json.dumps(tree, separators=(",", ":")) + "\n").encode()


def shard_file(shard: int) -> str:
    """Name of the file with a shard's pixels."""
    return f"shard_{shard:05d}.bin"


def shard_index_file(shard: int) -> str:
    """Name of the file with a shard's records."""
    return f"shard_{shard:05d}.json"


def label_start(record: Record, channels: int) -> int:
    """First byte of a record's label in its shard."""
    return next_page(record.offset + record.height * record.width * channels)


def next_page(position: int) -> int:
    """The first multiple of :data:`PAGE` that is not below a position."""
    return -(-position // PAGE) * PAGE


def _end(records: list[Record], index: PackIndex) -> int:
    """Where the last record ends; refuses records that do not follow each other."""
    channels, item = index.dataset["img_channels"], np.dtype(index.label_type).itemsize
    end = 0
    for record in records:
        if record.offset != end or min(record.height, record.width) < 1:
            raise ValueError(f"a record at byte {record.offset}, expected {end}")
        label = record.height * record.width * item if record.label_crc is not None else 0
        end = next_page(label_start(record, channels) + label)
    return end


def _read_json(path: Path, absent: str) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file: {absent}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged: {error}; pack the data set again") from error
    if not isinstance(tree, dict):
        raise DataError(f"{path}: damaged: expected a JSON object; pack the data set again")
    return tree


def _state(value: list[int]) -> FileState:
    size, changed = value
    return int(size), int(changed)


def _reason(error: Exception) -> str:
    return f"no entry {error}" if isinstance(error, KeyError) else str(error)
