"""All samples of a data set, looked at by several processes; a file that kills one is a finding."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from paddleseg.data.check.inspection import Fault, SampleFacts, inspect_sample
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.workers import Announce, WorkerLostError, start_workers
from paddleseg.errors import DataError

__all__ = ["ScanOptions", "pick", "scan"]

_CHUNK = 8  # samples a process gets at a time
_MOST_LOST = 20  # processes, before it is no longer the files' fault


@dataclass(frozen=True)
class ScanOptions:
    """How samples are read.

    Attributes:
        workers: Processes; 0 reads in this one.
        timeout: Seconds at one sample after which a process counts as hung.
        limit: Look at so many samples of a split, spread evenly; None for all.
    """

    workers: int = 0
    timeout: float = 60.0
    limit: int | None = None


def pick(length: int, limit: int | None) -> list[int]:
    """Indices spread evenly over a data set, the first and the last among them."""
    if limit is None or limit >= length:
        return list(range(length))
    if limit == 1:
        return [0]
    return [place * (length - 1) // (limit - 1) for place in range(limit)]


def scan(dataset: SegmentationDataset, options: ScanOptions) -> Generator[SampleFacts, None, None]:
    """Looks at samples, in order.

    Args:
        dataset: Its transforms are not applied.
        options: See there.

    Yields:
        One record a sample, also for files that cannot be read, or that kill or block a process.

    Raises:
        DataError: Processes cannot be started, or die without end.
    """
    indices = pick(len(dataset), options.limit)
    chunks = (indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK))

    def work(chunk: Sequence[int], announce: Announce) -> list[SampleFacts]:
        found = []
        for place, index in enumerate(chunk):
            announce(place)
            found.append(inspect_sample(dataset, index))
        return found

    lost = 0
    with contextlib.closing(start_workers(work, options.workers, timeout=options.timeout)) as workers:
        pending: list[tuple[int, list[int]]] = []
        for worker, chunk in zip(range(workers.count), chunks, strict=False):
            workers.submit(worker, chunk)
            pending.append((worker, chunk))
        while pending:
            worker, chunk = pending.pop(0)
            try:
                found = workers.take(worker)
            except WorkerLostError as error:
                lost += 1
                if lost > _MOST_LOST:
                    raise DataError(f"{error}; {lost} processes are lost, lower --workers") from None
                workers.restart(worker)
                # One by one, so that only the culprit is blamed.
                found = _one_by_one(dataset, chunk, options.timeout)
            following = next(chunks, None)
            if following is not None:
                workers.submit(worker, following)
                pending.append((worker, following))
            yield from found


def _one_by_one(dataset: SegmentationDataset, chunk: Sequence[int], timeout: float) -> list[SampleFacts]:
    def work(index: int, announce: Announce) -> SampleFacts:
        announce(0)
        return inspect_sample(dataset, index)

    found = []
    with contextlib.closing(start_workers(work, 1, timeout=timeout)) as worker:
        for index in chunk:
            worker.submit(0, index)
            try:
                found.append(worker.take(0))
            except WorkerLostError as error:
                pair = dataset.files[index]
                what = f"{pair.image}: " + (f"{pair.label}: " if pair.label else "")
                text = f"{what}reading it ends the process: {error}"
                found.append(SampleFacts(index, faults=(Fault("unreadable_image", text),)))
                worker.restart(0)
    return found
