"""Reading ahead of the model and writing behind it, in threads: decoders and encoders free Python's lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["Behind", "ahead"]

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterable[Item], *, count: int) -> Generator[Item, None, None]:
    """Makes items before they are asked for, in one thread, so in their order.

    Args:
        items: What it raises is raised here, in its turn. A generator is closed when this one is.
        count: How many may wait.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        waiting: deque[Future[Item]] = deque(pool.submit(next, iterator, _END) for _ in range(count))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, iterator, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(iterator, Generator):
            iterator.close()


class Behind:
    """Runs calls in threads, a bounded number at a time; an error is raised by a later call or at the end.

    Calls that wait are dropped when one has failed; whatever else ends the ``with`` block, they are made.

    Args:
        workers: Threads; with one, the calls keep their order.
    """

    def __init__(self, *, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="behind")
        self._limit = 2 * workers
        self._waiting: deque[Future[object]] = deque()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # What was done until an error or Ctrl-C is not lost. A call that failed raises its error again.
            self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Has a function called soon; waits where too many calls wait already."""
        while len(self._waiting) >= self._limit:
            self._finish_first()
        self._waiting.append(self._pool.submit(function, *arguments))

    def wait(self) -> None:
        """Waits until no call is left."""
        while self._waiting:
            self._finish_first()

    def _finish_first(self) -> None:
        # It stays where it is until it has succeeded.
        self._waiting[0].result()
        self._waiting.popleft()
