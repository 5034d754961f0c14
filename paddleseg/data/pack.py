"""A pack: the decoded images and labels of a data set in files that are mapped into memory."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.pack_index import (
    PackIndex,
    Record,
    label_start,
    read_index,
    read_records,
    shard_file,
    shard_index_file,
)
from paddleseg.errors import DataError

__all__ = ["Pack", "checksum", "verify_pack"]


class Pack:
    """The samples of a pack as views of mapped files; made by :meth:`open`.

    All shards are mapped at once, so a pack that is replaced meanwhile stays what it was, also in forked
    processes. Nothing is read before pixels are asked for.
    """

    def __init__(self, path: Path, index: PackIndex, shards: dict[int, _Shard]) -> None:
        self.path = path
        self.index = index
        self._shards = shards

    @classmethod
    def open(cls, path: str | Path, *, shards: Collection[int] | None = None) -> Pack:
        """Maps a pack and compares the sizes of its files with its index.

        Args:
            path: The folder.
            shards: Those that are needed; all by default.

        Raises:
            DataError: It is no pack, it is of another version, or a shard is missing or damaged.
        """
        folder = Path(path)
        index = read_index(folder)
        wanted = range(index.shards) if shards is None else shards
        return cls(folder, index, {one: _open_shard(folder, index, one) for one in wanted})

    def __len__(self) -> int:
        return len(self.index.samples)

    @property
    def first_index(self) -> int:
        """The first sample in the shards that were opened."""
        return min(self._shards)

    def holds(self, index: int) -> bool:
        """Whether a sample is in a shard that was opened."""
        return index % self.index.shards in self._shards

    def sample(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | NDArray[np.int32] | None]:
        """Returns [H, W, C] pixels and [H, W] class ids (None without a label), read-only views of the file.

        Raises:
            DataError: The sample is in a shard that was not opened.
        """
        shard, record = index % self.index.shards, index // self.index.shards
        if not self.holds(index):
            raise DataError(
                f"{self.path / shard_file(shard)}: sample {index} is in this shard, not opened here"
            )
        return self._shards[shard].sample(record)


@dataclass(frozen=True)
class _Shard:
    pixels: mmap.mmap
    records: list[Record]
    channels: int
    label_type: np.dtype[Any]

    def sample(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        record = self.records[number]
        size = (record.height, record.width)
        image: NDArray[np.uint8] = np.ndarray((*size, self.channels), np.uint8, self.pixels, record.offset)
        if record.label_crc is None:
            return image, None
        return image, np.ndarray(size, self.label_type, self.pixels, label_start(record, self.channels))


def verify_pack(path: str | Path, *, threads: int = 1) -> Iterator[str | None]:
    """Compares all bytes of a pack with their checksums; shards that are not there are left out.

    Args:
        path: The folder.
        threads: Records read at a time.

    Yields:
        For each record what is wrong with it, or None.

    Raises:
        DataError: It is no pack, or a shard is damaged as a whole.
    """
    folder = Path(path)
    index = read_index(folder)
    here = [one for one in range(index.shards) if (folder / shard_index_file(one)).exists()]
    records = {shard: read_records(folder, index, shard) for shard in here}
    with ThreadPoolExecutor(threads) as pool:
        for shard, ours in records.items():
            names = [index.samples[one].image for one in index.indices_of(shard)]
            yield from pool.map(
                _verify_record, repeat(folder / shard_file(shard)), repeat(index), ours, names
            )


def _verify_record(path: Path, index: PackIndex, record: Record, name: str) -> str | None:
    channels = index.dataset["img_channels"]
    parts = [("image", record.offset, record.height * record.width * channels, record.image_crc)]
    if record.label_crc is not None:
        size = record.height * record.width * np.dtype(index.label_type).itemsize
        parts.append(("label", label_start(record, channels), size, record.label_crc))
    try:
        with path.open("rb") as file:  # not mapped: an unreadable sector is then an error, not a signal
            for what, start, size, expected in parts:
                file.seek(start)
                if zlib.crc32(file.read(size)) != expected:
                    return f"{path}: the {what} of {name} at byte {start} is damaged"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    return None


def checksum(pixels: NDArray[Any]) -> int:
    """CRC-32 of an array's bytes; the array must be contiguous."""
    return zlib.crc32(pixels.data)


def _open_shard(folder: Path, index: PackIndex, shard: int) -> _Shard:
    records = read_records(folder, index, shard)
    path = folder / shard_file(shard)
    try:
        with path.open("rb") as file:
            pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be mapped into memory: {error}") from error
    return _Shard(
        pixels, records, index.dataset["img_channels"], np.dtype(index.label_type).newbyteorder("<")
    )
