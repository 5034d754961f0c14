"""Making a pack: in parallel, shard by shard, and whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.batch_reader import BatchReader, Keys
from paddleseg.data.datasets.base import SampleKey, SegmentationDataset
from paddleseg.data.pack import checksum
from paddleseg.data.pack_check import describe_dataset, describe_difference
from paddleseg.data.pack_index import (
    INDEX_FILE,
    PackIndex,
    Record,
    next_page,
    read_index,
    read_records,
    records_to_bytes,
    shard_file,
    shard_index_file,
)
from paddleseg.data.pack_lock import locked
from paddleseg.data.transforms.sample import Sample
from paddleseg.errors import DataError, OutputError, UsageError
from paddleseg.files import bring_back, recover_folders, replace_file, replace_folder, write_whole

__all__ = ["PackOptions", "build_pack"]

_MOST_SHARDS = 512  # each takes an open file, of which a process commonly has 1024
_Progress: TypeAlias = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class PackOptions:
    """How a pack is made.

    Attributes:
        shards: Files to spread the samples over.
        only_shards: Those to make here; None for all.
        workers: Processes that decode; 0 decodes in this one.
        worker_timeout: Seconds at one sample after which a process counts as hung.
        overwrite: Whether an earlier pack of other files, or of the same ones, is replaced. With
            ``only_shards``, one of the same files keeps its other shards.
        root: The data set's ``dataset_root``; None where it has none.
    """

    shards: int = 16
    only_shards: Sequence[int] | None = None
    workers: int = 0
    worker_timeout: float = 300.0
    overwrite: bool = False
    root: str | None = None


def build_pack(
    dataset: SegmentationDataset,
    target: Path,
    options: PackOptions,
    *,
    progress: _Progress = iter,
) -> int:
    """Packs a data set.

    A new pack is made beside its place and moved there when it is whole. The shards that an interrupted call
    has finished stay, and the next one goes on from them. To a pack of the same files, shards that it lacks
    are added.

    Args:
        dataset: Without transforms.
        target: The folder to make; its parents are made too.
        options: The rest.
        progress: Wraps the indices of the samples; the next one is taken when the one before is written.

    Returns:
        Number of samples that were packed now; 0 where the pack was there already.

    Raises:
        UsageError: The target holds something else, or another process is making this pack.
        DataError: A file of the data set is bad.
        OutputError: The pack cannot be written.
    """
    if options.shards > _MOST_SHARDS:
        raise UsageError(
            f"--shards: got {options.shards}, expected at most {_MOST_SHARDS}: a process opens all of them"
        )
    shards = min(options.shards, len(dataset))
    index = describe_dataset(dataset, shards=shards, root=options.root)
    wanted = _wanted_shards(index, options)
    target = Path(os.path.realpath(target))  # a link to another disk stays a link
    if os.path.ismount(target):  # nothing can be moved into its place
        raise UsageError(f"{target}: is the root of a disk; choose a folder on it as --output")
    with locked(target):
        return _build(dataset, target, index, wanted, options, progress)


def _build(
    dataset: SegmentationDataset,
    target: Path,
    index: PackIndex,
    wanted: Sequence[int],
    options: PackOptions,
    progress: _Progress,
) -> int:
    counts: list[int] = []

    def fill(folder: Path, *, anew: bool = False) -> None:
        counts.append(_fill(folder, index, wanted, dataset, options, progress, anew=anew))

    try:
        bring_back(target)
        if _holds(target, index, options):
            fill(target, anew=options.overwrite)
        else:
            replace_folder(target, fill, resume=True)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    except OutputError as error:
        raise OutputError(
            f"{error}; the finished shards stay: make room, and the same command goes on from them"
        ) from error
    return counts[0]


def _wanted_shards(index: PackIndex, options: PackOptions) -> list[int]:
    wanted = range(index.shards) if options.only_shards is None else sorted(set(options.only_shards))
    wrong = [one for one in wanted if not 0 <= one < index.shards]
    if wrong:
        raise UsageError(f"--only_shards: got {wrong[0]}; there are {index.shards} shards, numbered from 0")
    return list(wanted)


def _holds(target: Path, index: PackIndex, options: PackOptions) -> bool:
    """Whether the target is a pack with this index, to be added to; refuses what must stay."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if not (target / INDEX_FILE).is_file():
        raise UsageError(f"{target}: is there, and is no pack; choose another --output")
    if options.overwrite:
        return options.only_shards is not None and _index_in(target) == index
    try:
        packed = read_index(target)
    except DataError as error:
        raise UsageError(f"{error}: --overwrite replaces it") from error
    difference = describe_difference(packed, index)
    if difference is None and packed != index:
        difference = f"it has {packed.shards} shards, not {index.shards}"
    if difference is not None:
        raise UsageError(f"{target}: holds another pack: {difference}; --overwrite replaces it")
    return True


def _fill(
    folder: Path,
    index: PackIndex,
    wanted: Sequence[int],
    dataset: SegmentationDataset,
    options: PackOptions,
    progress: _Progress,
    *,
    anew: bool,
) -> int:
    """Writes the index and shards, those that are there already only ``anew``; returns their samples."""
    recover_folders(folder)  # parts of files that a killed process left
    if _index_in(folder) != index:
        _empty(folder)
        write_whole(folder / INDEX_FILE, index.to_bytes())
    missing = [shard for shard in wanted if anew or not _is_whole(folder, index, shard)]
    todo = [one for shard in missing for one in index.indices_of(shard)]
    with contextlib.closing(_decode(dataset, iter(todo), index, options)) as decoded:
        written = zip(progress(todo), decoded, strict=True)
        for shard in missing:
            _write_shard(folder, index, shard, (one for _, one in written))
        next(written, None)  # so that the progress ends too
    return len(todo)


def _index_in(folder: Path) -> PackIndex | None:
    try:
        return read_index(folder)
    except DataError:
        return None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_whole(folder: Path, index: PackIndex, shard: int) -> bool:
    try:
        read_records(folder, index, shard)
    except DataError:
        return False
    return True


@dataclass(frozen=True)
class _Decoded:
    """A sample on its way from a worker to the disk."""

    image: NDArray[np.uint8]
    label: NDArray[Any] | None
    image_crc: int
    label_crc: int | None


def _decode(
    dataset: SegmentationDataset, indices: Iterator[int], index: PackIndex, options: PackOptions
) -> Generator[_Decoded, None, None]:
    """The samples in order, decoded by the workers."""
    label_type = np.dtype(index.label_type).newbyteorder("<")

    def collate(_: Keys, samples: list[Sample]) -> _Decoded:
        (sample,) = samples
        image = _as_bytes(sample)
        if sample.label is None:
            return _Decoded(image, None, checksum(image), None)
        label = np.ascontiguousarray(sample.label, dtype=label_type)
        return _Decoded(image, label, checksum(image), checksum(label))

    reader = BatchReader(
        dataset,
        collate,
        num_workers=options.workers,
        worker_timeout=options.worker_timeout,
        skip_bad=False,
    )
    with contextlib.closing(reader.read([SampleKey(one, (0, one))] for one in indices)) as results:
        for decoded, _ in results:
            yield decoded


def _as_bytes(sample: Sample) -> NDArray[np.uint8]:
    image = np.ascontiguousarray(sample.image, dtype=np.uint8)
    if image.dtype != sample.image.dtype and not np.array_equal(image, sample.image):
        raise DataError(f"{sample.image_path}: a pack holds whole numbers of 0..255; this image has others")
    return image


def _write_shard(folder: Path, index: PackIndex, shard: int, decoded: Iterator[_Decoded]) -> None:
    count = len(index.indices_of(shard))
    records: list[Record] = []

    def write(part: Path) -> None:
        with part.open("wb") as file:
            records.extend(_write_record(file, one) for one in itertools.islice(decoded, count))

    replace_file(folder / shard_file(shard), write)
    write_whole(folder / shard_index_file(shard), records_to_bytes(records, index))


def _write_record(file: BinaryIO, decoded: _Decoded) -> Record:
    offset = file.tell()
    for pixels in (decoded.image, decoded.label):
        if pixels is not None:
            file.write(pixels.data)
            file.write(bytes(next_page(pixels.nbytes) - pixels.nbytes))
    height, width = decoded.image.shape[:2]
    return Record(offset, height, width, decoded.image_crc, decoded.label_crc)
