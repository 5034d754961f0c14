"""Signs of life between the processes of one run, and the end of all when one of them is gone.

The launcher ends the other processes of its own machine within seconds when one dies, but it never tells
another machine: there, a process that waits would wait for ever, and one inside a GPU collective
for half an hour. Hence two threads in each process. One counts up in rank 0's store, watches the count of the
next rank, and reads what others have told; it has its own connection, and keeps running during long
computations, because the framework releases the interpreter's lock in them. The other asks nobody: it ends
the process when the store does not answer, when the launcher is gone, or when the main thread cannot end it
by itself.
"""

from __future__ import annotations

import contextlib
import os
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddleseg.errors import PaddleSegError
from paddleseg.log import get_logger

__all__ = ["Heartbeat", "PeerError", "watch_launcher"]

_FAILED = "failed: "
_LONGEST = 400  # characters of a failure that are told


class PeerError(PaddleSegError):
    """Another process of this run has failed or cannot be reached; its own log says more."""


class Heartbeat:
    """Beats, watches the next rank, and listens for events.

    Args:
        rank: This process's place.
        size: The number of processes, at least 2.
        store: A connection to rank 0's store for this object alone: Paddle's ``TCPStore``.
        beat: Seconds from one beat to the next.
        patience: Beats of this process without one of the other until that is taken for dead. Counting
            beats instead of seconds forgives a machine that was suspended.
        hold_back: Seconds to wait before this process ends because of another one: the launcher looks once a
            second, and takes the first dead process that it sees for the cause.
        grace: Beats that the main thread has to end this process, before it is ended hard.

    Attributes:
        events: What any process has told, this one included.
        failure: Why the run cannot go on; None while it can.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        store: Any,
        *,
        beat: float = 1.0,
        patience: int = 15,
        hold_back: float = 2.0,
        grace: int = 8,
    ) -> None:
        self._rank, self._next = rank, (rank + 1) % size
        self._store, self._lock = store, threading.Lock()
        self._beat_seconds, self._patience, self._grace, self._hold_back = beat, patience, grace, hold_back
        self._stopped = threading.Event()
        self._launcher_has_ended = watch_launcher()
        self._answers = 0
        self._announced = 0
        self._unread: set[int] = set()
        self._told = False
        self.events: list[str] = []
        self.failure: str | None = None
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._listen, self._guard)]
        for thread in self._threads:
            thread.start()

    def tell(self, event: str) -> None:
        """Leaves word for every process.

        Args:
            event: One line; others find it in ``events`` one beat later.
        """
        with self._lock:
            number = self._store.add("events", 1)
            self._store.set(f"event {number}", event)
            self._store.add(f"event {number} is there", 1)

    def fail(self, message: str) -> None:
        """Tells every process that this one fails, where the store can still be reached; the first counts.

        Args:
            message: Why; told in one line, and shortened.
        """
        if self.failure is None:
            self.failure = f"rank {self._rank} has failed: {_one_line(message)}"
            with contextlib.suppress(ValueError, RuntimeError):  # what Paddle's store raises
                self.tell(_FAILED + self.failure)
            self._told = True

    def check(self) -> None:
        """Raises PeerError when the run cannot go on."""
        if self.failure is not None:
            time.sleep(self._hold_back)
            raise self._follow(self.failure)

    def lost(self, error: Exception) -> PeerError:
        """Holds back, then says which process has failed; where that is not known, tells what was seen here.

        Args:
            error: What the framework raised when it exchanged a message.
        """
        time.sleep(self._hold_back)
        seen = f"another process has ended, or an exchange with it failed: {_one_line(str(error))}"
        failure = self.failure or seen
        self.fail(seen)
        return self._follow(failure)

    def stop(self) -> None:
        """Ends the threads; nobody may be watching this process any more."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _listen(self) -> None:
        last, silent = 0, 0
        while not self._stopped.is_set() and self.failure is None:
            try:
                beats = self._exchange_beats()
                silent, last = (0 if beats != last else silent + 1), beats
                if silent == self._patience:
                    self.tell(f"{_FAILED}rank {self._next} has fallen silent")
            except (ValueError, RuntimeError):  # what Paddle's store raises when the connection breaks
                self._note("rank 0 has ended")
            self._answers += 1
            self._stopped.wait(self._beat_seconds)

    def _exchange_beats(self) -> int:
        """Beats once, takes in what is new, and returns the beats of the next rank."""
        with self._lock:
            self._store.add(f"beats of {self._rank}", 1)
            beats: int = self._store.add(f"beats of {self._next}", 0)
            news = self._read_events()
        self.events += news
        for event in news:
            if event.startswith(_FAILED):
                self._note(event.removeprefix(_FAILED))
        return beats

    def _read_events(self) -> list[str]:
        told = self._store.add("events", 0)
        self._unread.update(range(self._announced + 1, told + 1))
        self._announced = told
        # The store's get waits until there is a value: for ever, where a process died before it set one.
        there = [n for n in sorted(self._unread) if self._store.add(f"event {n} is there", 0)]
        self._unread.difference_update(there)
        return [self._store.get(f"event {n}").decode() for n in there]

    def _guard(self) -> None:
        answers, silent, left = 0, 0, self._grace
        while left and not self._stopped.wait(self._beat_seconds):
            silent, answers = (0 if self._answers != answers else silent + 1), self._answers
            if silent >= self._patience:
                self._note("rank 0 has fallen silent")
            if self._launcher_has_ended():
                self._note("the launcher has ended")
            if self.failure is not None:
                left -= 1
        if not left:
            if not self._told:
                get_logger(__name__).error("This process ends too: %s", self.failure)
            os._exit(1)

    def _note(self, failure: str) -> None:
        self.failure = self.failure or failure

    def _follow(self, failure: str) -> PeerError:
        self._told = True
        return PeerError(f"this process ends too: {failure}")


def watch_launcher() -> Callable[[], bool]:
    """Returns a function that tells whether the launcher has ended since.

    Where the parent is not the launcher it says no: a wrapper between them may end before this process.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError):  # there is no /proc on some systems
        if b"paddle.distributed.launch" in Path(f"/proc/{parent}/cmdline").read_bytes():
            return lambda: os.getppid() != parent
    return lambda: False


def _one_line(text: str) -> str:
    return textwrap.shorten(text, _LONGEST, placeholder=" …")
