"""Reading of batches in order by any number of processes, and what is done about samples that are bad."""

from __future__ import annotations

import contextlib
import itertools
import random
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from paddleseg import errors
from paddleseg.data.datasets.base import SampleKey, SegmentationDataset
from paddleseg.data.transforms.sample import Sample
from paddleseg.data.workers import Announce, InlineWorker, WorkerLostError, WorkerPool, start_workers
from paddleseg.errors import DataError
from paddleseg.log import get_logger

__all__ = ["BatchReader", "Keys"]

Keys: TypeAlias = Sequence[SampleKey]
Batch = TypeVar("Batch")

_MOST_IN_A_ROW = 10  # bad samples in one place, or workers lost for no known cause, before the run ends
_DEATHS_AT_A_BAD_SAMPLE = 3  # once or twice, something else may have ended the workers
_logger = get_logger(__name__)


@dataclass(frozen=True)
class _Failure:
    """An error as a value, which travels between processes.

    Attributes:
        kind: What to raise.
        place: Which sample of the batch; None for the batch as a whole.
        lasting: The sample's files are bad, whatever the random numbers.
    """

    kind: type[Exception]
    message: str
    place: int | None = None
    lasting: bool = False


_Workers: TypeAlias = WorkerPool[Keys, Batch | _Failure] | InlineWorker[Keys, Batch | _Failure]


class BatchReader(Generic[Batch]):
    """Loads batches in order.

    With ``skip_bad`` a sample that is bad gives its place to the next one of the data set, whose random
    numbers depend on the key of the first. A sample is bad when it raises DataError, when it blocks its
    worker, and when three workers died at it.
    The batches are the same for any number of workers, and from wherever reading begins. Errors and messages
    name the worker as well, where there are any.

    Args:
        dataset: Gives the samples.
        collate: Joins the samples of a batch, given with their keys.
        num_workers: Processes that load; 0 loads in this one.
        worker_timeout: Seconds at one sample after which a process counts as hung.
        skip_bad: Replaces bad samples instead of raising.
        stride: Only every ``stride``-th sample after a bad one, round the end too, may replace it: where a
            process has only some samples, these are its own.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        collate: Callable[[Keys, list[Sample]], Batch],
        *,
        num_workers: int,
        worker_timeout: float,
        skip_bad: bool,
        stride: int = 1,
    ) -> None:
        self._dataset = dataset
        self._collate = collate
        self._num_workers = num_workers
        self._worker_timeout = worker_timeout
        self._skip_bad = skip_bad
        self._stride = stride
        self._known_bad: dict[int, str] = {}  # why, by index: such samples are not touched again

    def read(self, batches: Iterable[Keys]) -> Generator[tuple[Batch, tuple[str, ...]], None, None]:
        """Yields each batch with one message a sample that was replaced in it; closing it ends the workers.

        Raises:
            DataError: A file is wrong, a worker died or hangs, or too many samples in a row are bad.
            RuntimeError: Another error of a transform, with its traceback.
        """
        requests = (_Request(keys, len(self._dataset), self._stride) for keys in batches)
        with contextlib.closing(
            start_workers(self._load, self._num_workers, timeout=self._worker_timeout)
        ) as workers:
            pending: deque[tuple[int, _Request]] = deque()

            def go_on(worker: int) -> None:
                for request in itertools.islice(requests, 1):
                    self._submit(workers, worker, request)
                    pending.append((worker, request))

            for worker in range(workers.count):
                go_on(worker)
            while pending:
                worker, request = pending.popleft()
                batch = self._take(workers, worker, request)
                go_on(worker)
                yield batch, request.skipped

    def _submit(self, workers: _Workers[Batch], worker: int, request: _Request) -> None:
        for place in range(len(request.keys)):
            while (message := self._known_bad.get(request.keys[place].index)) is not None:
                request.replace(place, message)
        workers.submit(worker, request.keys)

    def _take(self, workers: _Workers[Batch], worker: int, request: _Request) -> Batch:
        """The batch from its worker, loaded again until all its samples are good."""
        while True:
            try:
                loaded = workers.take(worker)
            except WorkerLostError as error:
                self._handle_loss(error, request)
                workers.restart(worker)
            else:
                if not isinstance(loaded, _Failure):
                    return loaded
                self._handle_failure(replace(loaded, message=self._from(worker) + loaded.message), request)
            self._submit(workers, worker, request)

    def _handle_failure(self, failure: _Failure, request: _Request) -> None:
        if not self._skip_bad or failure.place is None or not issubclass(failure.kind, DataError):
            raise failure.kind(failure.message)
        if failure.lasting:
            self._known_bad[request.keys[failure.place].index] = failure.message
        else:
            request.replace(failure.place, failure.message)

    def _handle_loss(self, error: WorkerLostError, request: _Request) -> None:
        index = None if error.place is None else request.keys[error.place].index
        message = f"{error} {self._where(index)}; {_advice(error)}"
        request.deaths[index] += 1
        if not self._skip_bad or request.deaths.total() > _MOST_IN_A_ROW:
            raise DataError(message) from None
        if index is not None and (error.hung or request.deaths[index] == _DEATHS_AT_A_BAD_SAMPLE):
            self._known_bad[index] = message
            request.deaths.clear()
            return
        _logger.warning(f"{message}. Another worker gets its batch")

    def _from(self, worker: int) -> str:
        return f"data worker {worker}: " if self._num_workers else ""

    def _where(self, index: int | None) -> str:
        if index is None:
            return "between two samples"
        pair = self._dataset.files[index]
        return f"while it loaded {pair.image}" + (f" and {pair.label}" if pair.label else "")

    def _load(self, keys: Keys, announce: Announce) -> Batch | _Failure:
        """Runs in a worker."""
        samples = []
        for place, key in enumerate(keys):
            announce(place)
            _seed_global_generators(key)
            try:
                samples.append(self._dataset[key])
            except Exception as error:
                what = self._dataset.files[key.index].image
                lasting = isinstance(error, DataError) and self._files_are_bad(key.index)
                return _Failure(_kind_of(error), _text_of(error, what), place, lasting)
        try:
            return self._collate(keys, samples)
        except Exception as error:
            return _Failure(_kind_of(error), _text_of(error, "a batch"))

    def _files_are_bad(self, index: int) -> bool:
        try:
            self._dataset.load(index)
        except DataError:
            return True
        return False


class _Request:
    """A batch to load, with what stands in for its bad samples.

    Attributes:
        keys: What to load now.
        deaths: How often a worker died at which sample (its index), since one was found bad.
    """

    def __init__(self, wanted: Keys, length: int, stride: int) -> None:
        self.keys = list(wanted)
        self.deaths: Counter[int | None] = Counter()
        self._wanted = tuple(wanted)
        self._length = length
        self._stride = stride
        self._messages: list[list[str]] = [[] for _ in wanted]

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(itertools.chain.from_iterable(self._messages))

    def replace(self, place: int, message: str) -> None:
        """Puts the next sample in the place of a bad one.

        Raises:
            DataError: There were too many at this place.
        """
        wanted, messages = self._wanted[place], self._messages[place]
        messages.append(message)
        tries = len(messages)
        candidates = range(wanted.index % self._stride, self._length, self._stride)
        if tries == min(_MOST_IN_A_ROW, len(candidates)):
            listed = "\n".join(f"  {text}" for text in messages)
            raise DataError(f"{tries} samples in a row are bad; check the data set:\n{listed}")
        index = candidates[(wanted.index // self._stride + tries) % len(candidates)]
        self.keys[place] = SampleKey(index, (*wanted.entropy, tries))


def _seed_global_generators(key: SampleKey) -> None:
    """For transforms of users' own that draw from Python's or NumPy's global generator."""
    numbers = np.random.SeedSequence(key.entropy, spawn_key=(1,)).generate_state(4)
    random.seed(numbers.tobytes())
    np.random.seed(numbers)


def _kind_of(error: Exception) -> type[Exception]:
    """The nearest class that every process knows and that takes one message."""
    ours = [getattr(errors, name) for name in errors.__all__] + [MemoryError]
    return next((kind for kind in type(error).__mro__ if kind in ours), RuntimeError)


def _text_of(error: Exception, what: str) -> str:
    if isinstance(error, errors.PaddleSegError):
        return str(error)
    return f"{what}: loading failed:\n{''.join(traceback.format_exception(error))}"


def _advice(error: WorkerLostError) -> str:
    if error.hung:
        return "check the files and their disk, or raise worker_timeout"
    return "check that the files can be opened, and that there is memory for all of --num_workers"
