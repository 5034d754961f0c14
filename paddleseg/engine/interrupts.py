"""SIGTERM and Ctrl-C while training: a request to save and end, and the way out for who cannot wait."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from paddleseg import distributed
from paddleseg.log import get_logger

__all__ = ["Interrupts"]

# Seconds in which a signal still is part of the first request: the launcher of Paddle 3.3.1 sends SIGTERM up
# to three times within 0.6 seconds, `timeout` sends its signal to the process and to its group.
_SAME_REQUEST = {signal.SIGTERM: 5.0, signal.SIGINT: 0.3}
_END_OF_WATCH = b"\0"
_logger = get_logger(__name__)


class Interrupts:
    """Turns the first SIGTERM or SIGINT into a wish that the training loop reads; a later one ends at once.

    Used as a context. A thread receives the signals through Python's wake-up descriptor: a handler would run
    only between two steps of the interpreter, so that nobody could end a run that hangs inside Paddle, and it
    could not write to the log, whose lock the interrupted code may hold. Outside the main thread, where
    Python allows no handlers, this does nothing. Processes that are forked inside have the former handlers.

    Args:
        ends_process: Whether the process ends with the context. Where a signal came, a later SIGTERM is then
            ignored, as it repeats a wish that is being fulfilled, and Ctrl-C ends the process at once.

    Attributes:
        signal: The first one that came; None as long as there was none.
    """

    def __init__(self, *, ends_process: bool = False) -> None:
        self._ends_process = ends_process
        self.signal: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._mask: set[signal.Signals | int] = set()

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._thread = threading.Thread(target=self._watch, name="interrupts", daemon=True)
        self._thread.start()
        self._descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _take_note) for number in _SAME_REQUEST}
        for number in _SAME_REQUEST:
            signal.siginterrupt(number, False)  # Paddle's store takes an interrupted call for a broken one
        os.register_at_fork(
            before=self._hold_back, after_in_parent=self._let_through, after_in_child=self._forget
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handlers:
            if self._ends_process and self.signal is not None:
                self._handlers = {signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: _leave}
            self._restore()
            # Not by closing: a forked process may hold the other end open.
            os.write(self._writer, _END_OF_WATCH)
            self._thread.join()
            os.close(self._writer)
            os.close(self._reader)

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._handlers = {}

    # A signal to a process that was just forked would be written into this one's pipe.
    def _hold_back(self) -> None:
        if self._handlers:
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SAME_REQUEST)

    def _let_through(self) -> None:
        if self._handlers:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _forget(self) -> None:
        if self._handlers:
            self._restore()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _watch(self) -> None:
        first = 0.0
        while (byte := os.read(self._reader, 1)) != _END_OF_WATCH:
            if byte[0] not in _SAME_REQUEST:
                continue
            number = signal.Signals(byte[0])
            if self.signal is None:
                self.signal, first = number, time.monotonic()
                self._announce(number)
            elif time.monotonic() - first > _SAME_REQUEST[number]:
                _end_at_once(number)

    def _announce(self, number: signal.Signals) -> None:
        if distributed.is_main():
            _logger.warning(
                f"[STOP] {number.name}: finishing the iteration, then saving; a second Ctrl-C or SIGTERM "
                "ends at once, without saving"
            )


def _take_note(number: int, frame: FrameType | None) -> None:
    """Python writes to the wake-up descriptor only for signals that have a handler."""


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _end_at_once(number: signal.Signals) -> None:
    with contextlib.suppress(Exception):
        for child in multiprocessing.active_children():
            child.kill()
    os._exit(128 + number)
