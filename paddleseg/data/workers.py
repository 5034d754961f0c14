"""Processes that load data, and whose death or standstill is noticed and named.

Not paddle.io.DataLoader: it cannot say which file killed a worker, waits for ever for one that hangs, and its
shared memory can hang a worker or be left behind.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import multiprocessing
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeAlias, TypeVar

import cv2

from paddleseg.data.messages import receive, send
from paddleseg.errors import DataError

__all__ = ["InlineWorker", "Work", "WorkerLostError", "WorkerPool", "start_workers"]

Task = TypeVar("Task")
Result = TypeVar("Result")
Announce: TypeAlias = Callable[[int], None]
Work: TypeAlias = Callable[[Task, Announce], Result]

_TICK = 1.0  # seconds between two looks at a silent worker
_PATIENCE = 3.0  # seconds for a killed process to be gone
_STEP = struct.Struct("q")  # what a worker announces: 0 between two tasks, else the step from 1
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
# Paddle answers these with a C++ stack trace; the parent names the file instead.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


class WorkerLostError(Exception):
    """A worker process died or no longer moves.

    Attributes:
        place: The step of its task that it announced last; None when it was at none.
        hung: It lives, and was silent for too long.
    """

    def __init__(self, message: str, place: int | None, *, hung: bool) -> None:
        super().__init__(message)
        self.place = place
        self.hung = hung


class InlineWorker(Generic[Task, Result]):
    """Does the work in this process when the result is asked for; a :class:`WorkerPool` of no processes."""

    count = 1

    def __init__(self, work: Work[Task, Result]) -> None:
        self._work = work
        self._tasks: list[Task] = []

    def submit(self, worker: int, task: Task) -> None:
        self._tasks.append(task)

    def take(self, worker: int) -> Result:
        return self._work(self._tasks.pop(), _announce_nothing)

    def restart(self, worker: int) -> None:
        raise AssertionError("there is no process that could be lost")

    def close(self) -> None:
        self._tasks.clear()


class WorkerPool(Generic[Task, Result]):
    """Processes with one task each at a time; they end with :meth:`close`, this object or this process.

    Args:
        work: Called in a process with a task and a function to announce the step it is at (0, 1 …), which
            names the culprit when the process is lost. It returns its errors as values.
        count: Processes.
        timeout: Seconds that a process may be silent at one step before it counts as hung.

    Raises:
        DataError: A process cannot be started.
    """

    def __init__(self, work: Work[Task, Result], count: int, *, timeout: float) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise DataError("--num_workers: this system cannot fork processes; use --num_workers 0")
        self.count = count
        self._work = work
        self._timeout = timeout
        self._workers: list[_Worker] = []
        # Also when nobody closes: at garbage collection, and before multiprocessing waits for its children,
        # which pay no heed to its SIGTERM.
        self._finalizer = util.Finalize(self, _end_all, (self._workers, os.getpid()), exitpriority=10)
        try:
            for number in range(count):
                self._workers.append(self._start(number))
        except DataError:
            self.close()
            raise

    def submit(self, worker: int, task: Task) -> None:
        """Gives a process its task; it must have none."""
        # To one that died meanwhile nothing can be sent: take() reports it.
        with contextlib.suppress(OSError):
            send(self._workers[worker].socket, task)

    def take(self, worker: int) -> Result:
        """Waits for the result of a process.

        Raises:
            WorkerLostError: The process died or hangs; the message says which and how, not at what.
        """
        at = self._workers[worker]
        result: Result
        try:
            result = receive(at.socket, _Watch(at, self._timeout))
        except TimeoutError:
            raise WorkerLostError(
                f"{at} has not moved for {self._timeout:g} s", at.place, hung=True
            ) from None
        except (EOFError, OSError):
            place = at.place
            raise WorkerLostError(f"{at} {_how_it_ended(at.process)}", place, hung=False) from None
        return result

    def restart(self, worker: int) -> None:
        """Ends a process, however it is, and starts another in its place; its task is forgotten."""
        _end_all([self._workers.pop(worker)], os.getpid())
        self._workers.insert(worker, self._start(worker))

    def close(self) -> None:
        """Ends all processes; they hold nothing that could be lost."""
        self._finalizer()

    def _start(self, number: int) -> _Worker:
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                step = mmap.mmap(-1, _STEP.size)
                process = multiprocessing.get_context("fork").Process(
                    target=_serve,
                    args=(self._work, theirs, step, [ours, *(other.socket for other in self._workers)]),
                    name=f"data worker {number}",
                    daemon=True,
                )
                with _held_back(_INTERRUPTS):  # until the worker has its own answer to them
                    process.start()
        except OSError as error:
            raise DataError(
                f"cannot start data worker {number}: {error.strerror}; lower --num_workers"
            ) from error
        ours.settimeout(min(_TICK, self._timeout / 4))
        return _Worker(process, ours, step)


def start_workers(
    work: Work[Task, Result], count: int, *, timeout: float
) -> WorkerPool[Task, Result] | InlineWorker[Task, Result]:
    """Returns ``count`` processes for the work, or this one where ``count`` is 0; see :class:`WorkerPool`."""
    return WorkerPool(work, count, timeout=timeout) if count else InlineWorker(work)


@dataclass(frozen=True)
class _Worker:
    """A process as its parent sees it."""

    process: BaseProcess
    socket: socket.socket
    step: mmap.mmap  # shared with the process: an announcement costs no message

    def __str__(self) -> str:
        return f"{self.process.name} (pid {self.process.pid})"

    @property
    def place(self) -> int | None:
        number = _STEP.unpack_from(self.step)[0]
        return number - 1 if number else None


class _Watch:
    """Called after each tick in which nothing came from a worker.

    It counts ticks, not the time of the clock: a job that was stopped and continued has not hung.
    """

    def __init__(self, worker: _Worker, limit: float) -> None:
        self._worker = worker
        self._limit = limit
        self._silent = 0.0
        self._place = worker.place

    def __call__(self) -> None:
        if not self._worker.process.is_alive():
            raise EOFError
        place = self._worker.place
        self._silent = 0.0 if place != self._place else self._silent
        self._place = place
        self._silent += self._worker.socket.gettimeout() or _TICK
        if self._silent >= self._limit:
            raise TimeoutError


def _serve(
    work: Work[Any, Any], channel: socket.socket, step: mmap.mmap, others: list[socket.socket]
) -> None:
    """A worker's life."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    for number in _INTERRUPTS:
        # Ctrl-C and the launcher's SIGTERM reach the whole group of processes: the parent finishes its
        # iteration, for which it needs the workers, and then ends them.
        signal.signal(number, signal.SIG_IGN)
    for number in _CRASHES:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
    threading.Thread(target=_end_with, args=(parent.pid,), daemon=True).start()
    gc.freeze()  # what the parent held, such as memory of a GPU, is not for this process to free
    for other in others:
        other.close()
    # The workers are the parallelism; OpenCV's own threads would only fight over the same cores.
    cv2.setNumThreads(0)
    with contextlib.suppress(EOFError, OSError):  # the parent closed its end
        while True:
            task = receive(channel)
            result = work(task, lambda place: _STEP.pack_into(step, 0, place + 1))
            _STEP.pack_into(step, 0, 0)
            send(channel, result)
    os._exit(0)  # runs none of the parent's exit functions


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_TICK)
    os._exit(1)


def _end_all(workers: list[_Worker], owner: int) -> None:
    if os.getpid() != owner:  # a forked copy of the pool
        return
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join(_PATIENCE)
        if worker.process.exitcode is not None:
            worker.process.close()
        worker.socket.close()
        worker.step.close()
    workers.clear()


def _how_it_ended(process: BaseProcess) -> str:
    process.join(_PATIENCE)
    status = process.exitcode
    if status is None:
        return "closed its connection"
    if status < 0:
        return f"was killed by signal {-status} ({signal.Signals(-status).name})"
    return f"ended with exit status {status}"


@contextlib.contextmanager
def _held_back(signals: Sequence[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _announce_nothing(place: int) -> None:
    """In this process nobody watches."""
