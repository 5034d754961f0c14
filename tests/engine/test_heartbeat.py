"""Heartbeats over a store in this process. tests/engine/test_group.py runs them between real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from paddleseg.engine.heartbeat import Heartbeat, PeerError

BEAT, PATIENCE = 0.01, 50


class Store:
    """What Paddle's TCP store does, with a switch for each way in which it fails."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.values: dict[str, bytes] = {}
        self.is_closed = False
        self.answers = threading.Event()
        self.answers.set()

    def add(self, key: str, amount: int) -> int:
        self.answers.wait()
        if self.is_closed:
            raise ValueError("(InvalidArgument) TCP send error. Details: Broken pipe.")
        self.counters[key] = self.counters.get(key, 0) + amount
        return self.counters[key]

    def set(self, key: str, value: str) -> None:
        self.values[key] = value.encode()

    def get(self, key: str) -> bytes:
        eventually(lambda: key in self.values)  # Paddle's waits for ever
        return self.values[key]


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which processes would have been ended."""
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    return statuses


@pytest.fixture
def start(exits: list[int]) -> Iterator[Callable[..., list[Heartbeat]]]:
    """Starts one heart for each of some processes."""
    hearts: list[Heartbeat] = []

    def start_all(size: int, store: Store, *, grace: int = 10**6) -> list[Heartbeat]:
        hearts.extend(
            Heartbeat(rank, size, store, beat=BEAT, patience=PATIENCE, hold_back=0.0, grace=grace)
            for rank in range(size)
        )
        return hearts

    yield start_all
    for heart in hearts:
        heart._store.answers.set()
        heart.stop()


def eventually(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(BEAT)


@contextlib.contextmanager
def parent(argument: str) -> Iterator[int]:
    """A process whose command line has an argument; yields its number."""
    command = [sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()", argument]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.communicate()


def test_all_is_well(start: Callable[..., list[Heartbeat]], exits: list[int]) -> None:
    store = Store()
    hearts = start(3, store, grace=5)
    eventually(lambda: min(store.counters.get(f"beats of {rank}", 0) for rank in range(3)) > 3 * PATIENCE)
    for heart in hearts:
        heart.check()
    assert exits == []


def test_everybody_hears_every_event_in_one_order(start: Callable[..., list[Heartbeat]]) -> None:
    hearts = start(3, Store())
    hearts[2].tell("first")
    hearts[0].tell("second: ü")
    eventually(lambda: all(heart.events == ["first", "second: ü"] for heart in hearts))
    time.sleep(5 * BEAT)
    for heart in hearts:
        assert heart.events == ["first", "second: ü"]
        assert heart.failure is None


def test_a_failure_reaches_all_and_the_first_counts(start: Callable[..., list[Heartbeat]]) -> None:
    hearts = start(3, Store())
    hearts[1].fail("disk full")
    hearts[1].fail("something that follows from it")
    eventually(lambda: hearts[0].failure and hearts[2].failure)
    for heart in (hearts[0], hearts[2]):
        with pytest.raises(PeerError, match=r"^this process ends too: rank 1 has failed: disk full$"):
            heart.check()
    assert len(hearts[0].events) == 1


def test_a_failure_is_told_in_one_line_of_bounded_length(start: Callable[..., list[Heartbeat]]) -> None:
    hearts = start(2, Store())
    hearts[1].fail("(External) \n\n  broken   pipe\n" + "[Hint: x] " * 1000)
    eventually(lambda: hearts[0].failure)
    assert str(hearts[0].failure).startswith("rank 1 has failed: (External) broken pipe [Hint: x] [Hint: x]")
    assert len(str(hearts[0].failure)) <= len("rank 1 has failed: ") + 400
    assert str(hearts[0].failure).endswith("x] …")


def test_a_process_that_dies_while_it_tells_blocks_nobody(start: Callable[..., list[Heartbeat]]) -> None:
    store = Store()
    hearts = start(2, store)
    store.add("events", 1)  # and no more of it
    hearts[1].tell("second")
    eventually(lambda: all(heart.events == ["second"] for heart in hearts))
    store.set("event 1", "first")
    store.add("event 1 is there", 1)
    eventually(lambda: all(heart.events == ["second", "first"] for heart in hearts))


def test_a_dead_process_is_noticed_by_the_one_before_it(start: Callable[..., list[Heartbeat]]) -> None:
    store = Store()
    hearts = start(3, store)
    eventually(lambda: store.counters.get("beats of 2", 0) > 3)
    hearts[2].stop()
    eventually(lambda: hearts[0].failure and hearts[1].failure)
    assert {hearts[0].failure, hearts[1].failure} == {"rank 2 has fallen silent"}


def test_a_closed_store_means_that_rank_0_has_ended(start: Callable[..., list[Heartbeat]]) -> None:
    store = Store()
    heart = start(2, store)[1]
    store.is_closed = True
    eventually(lambda: heart.failure)
    assert heart.failure == "rank 0 has ended"


def test_a_store_that_does_not_answer_ends_the_process(
    start: Callable[..., list[Heartbeat]], exits: list[int]
) -> None:
    store = Store()
    heart = start(2, store, grace=3)[1]
    store.answers.clear()
    eventually(lambda: len(exits) == 2)
    assert heart.failure == "rank 0 has fallen silent"
    assert exits == [1, 1]


def test_a_process_does_not_outlive_the_launcher(
    start: Callable[..., list[Heartbeat]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with parent("paddle.distributed.launch") as pid:
        monkeypatch.setattr(os, "getppid", lambda: pid)
        heart, _ = start(2, Store())
        eventually(lambda: heart._answers > 1)
        assert heart.failure is None
        monkeypatch.setattr(os, "getppid", lambda: 1)
        eventually(lambda: heart.failure == "the launcher has ended")


def test_a_process_outlives_a_wrapper(
    start: Callable[..., list[Heartbeat]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with parent("wrapper.sh") as pid:
        monkeypatch.setattr(os, "getppid", lambda: pid)
        heart, _ = start(2, Store())
        monkeypatch.setattr(os, "getppid", lambda: 1)
        beats = heart._answers
        eventually(lambda: heart._answers > beats + 10)
        assert heart.failure is None


def test_a_process_that_cannot_end_is_ended_and_says_why(
    start: Callable[..., list[Heartbeat]], exits: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    hearts = start(2, Store(), grace=20)
    hearts[0].fail("the cause")
    eventually(lambda: len(exits) == 2)
    # Rank 0 has said it already.
    assert [record.getMessage() for record in caplog.records] == [
        "This process ends too: rank 0 has failed: the cause"
    ]


def test_a_broken_connection_says_what_was_seen_and_tells_it(start: Callable[..., list[Heartbeat]]) -> None:
    hearts = start(2, Store())
    seen = "another process has ended, or an exchange with it failed: (External) TIMEOUT"
    assert str(hearts[0].lost(RuntimeError("(External)\n TIMEOUT"))) == f"this process ends too: {seen}"
    eventually(lambda: hearts[1].failure == f"rank 0 has failed: {seen}")
    with pytest.raises(PeerError, match="another process has ended"):
        hearts[0].check()


def test_a_broken_connection_after_a_known_failure_names_that(start: Callable[..., list[Heartbeat]]) -> None:
    hearts = start(2, Store())
    hearts[1].fail("disk full")
    eventually(lambda: hearts[0].failure)
    error = hearts[0].lost(ValueError("connection reset"))
    assert str(error) == "this process ends too: rank 1 has failed: disk full"
    assert len(hearts[1].events) <= 1, "nothing else is told"


def test_a_broken_connection_to_the_store_keeps_its_message(start: Callable[..., list[Heartbeat]]) -> None:
    store = Store()
    heart = start(2, store)[0]
    heart.stop()
    store.is_closed = True
    assert "Broken pipe" in str(heart.lost(ValueError("Broken pipe")))
