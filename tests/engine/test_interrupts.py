"""Signals to a training process. What ends the process runs in one of its own."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paddleseg.engine import interrupts
from paddleseg.engine.interrupts import Interrupts

BOTH = (signal.SIGINT, signal.SIGTERM)

# Spends its time in the interpreter, or in one long call as inside Paddle, with a child at its side.
PROGRAM = """
import ctypes, multiprocessing, signal, sys, time
from paddleseg import log
from paddleseg.engine import interrupts
from paddleseg.engine.interrupts import Interrupts

interrupts._SAME_REQUEST = {signal.SIGTERM: 0.5, signal.SIGINT: 0.5}
log.setup()
with Interrupts() as asked:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    print(child.pid, flush=True)
    mutex = ctypes.create_string_buffer(64)
    while "stuck" in sys.argv:
        ctypes.CDLL(None).pthread_mutex_lock(mutex)  # the second time waits for ever, whatever the signals
    time.sleep(60)
"""


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_a_wish(number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    with Interrupts() as asked:
        assert asked.signal is None
        os.kill(os.getpid(), number)
        wait_for(lambda: caplog.records)
    assert asked.signal is number
    assert caplog.messages == [
        f"[STOP] {number.name}: finishing the iteration, then saving; a second Ctrl-C or SIGTERM "
        "ends at once, without saving"
    ]


def test_the_launchers_repetitions_are_one_request(caplog: pytest.LogCaptureFixture) -> None:
    with Interrupts() as asked:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
    assert asked.signal is signal.SIGTERM
    assert len(caplog.records) == 1


def test_only_the_main_process_says_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts.distributed, "is_main", lambda: False)
    with Interrupts() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: asked.signal)
    assert not caplog.records


@pytest.fixture
def default_ctrl_c() -> Iterator[None]:
    """Python's own handler: a shell lets what it starts in the background ignore Ctrl-C."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("default_ctrl_c")
def test_what_was_before_is_there_again_afterwards() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    descriptors = len(os.listdir("/proc/self/fd"))
    with contextlib.suppress(RuntimeError), Interrupts():
        assert signal.getsignal(signal.SIGINT) not in before
        raise RuntimeError
    assert [signal.getsignal(number) for number in BOTH] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not [thread for thread in threading.enumerate() if thread.name == "interrupts"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_at_the_end_of_a_process_only_ctrl_c_does_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with Interrupts(ends_process=True) as asked:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_for(lambda: asked.signal)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: left == [130])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_without_a_signal_the_end_of_a_process_restores_the_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts(ends_process=True):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_has_no_handlers() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with Interrupts() as asked:
            seen.append((signal.getsignal(signal.SIGTERM), asked.signal))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


def test_a_forked_process_is_not_concerned() -> None:
    with Interrupts() as asked:
        for _ in range(10):
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
            child.start()
            child.terminate()  # at once, maybe before it runs a line of Python
            child.join(5)
            assert child.exitcode == -signal.SIGTERM
        time.sleep(0.05)
        assert asked.signal is None
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: asked.signal)


def test_leaving_does_not_wait_for_a_forked_process() -> None:
    with Interrupts():
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 10
    child.kill()
    child.join()


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("state", ["interpreted", "stuck"])
def test_the_second_signal_ends_at_once(number: signal.Signals, status: int, state: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, state], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        child = int(process.stdout.readline())
        process.send_signal(number)
        assert "[STOP]" in process.stdout.readline()
        time.sleep(0.6)
        assert process.poll() is None, "the first one ends nothing"
        process.send_signal(number)
        assert process.wait(2) == status
        wait_for(lambda: not is_running(child))
    finally:
        process.kill()
        process.stdout.close()


def test_calls_of_the_system_go_on() -> None:
    """Python's own would go on anyway (PEP 475), those in Paddle's store fail when they are interrupted."""
    libc, buffer = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(1)
    reader, writer = os.pipe()
    with Interrupts() as asked:
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGTERM)).start()
        threading.Timer(0.6, os.write, (writer, b"x")).start()
        assert libc.read(reader, buffer, 1) == 1
        wait_for(lambda: asked.signal)
    os.close(reader)
    os.close(writer)
