"""Heartbeats over a store in this process. tests/engine/test_group.py runs them between real processes."""

from __future__ import annotations

import os
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
    heart, _ = start(2, Store())
    eventually(lambda: heart._answers > 1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    eventually(lambda: heart.failure == "the launcher has ended")


def test_a_process_that_cannot_end_is_ended_and_says_why(
    start: Callable[..., list[Heartbeat]], exits: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    hearts = start(2, Store(), grace=3)
    hearts[0].fail("the cause")
    eventually(lambda: len(exits) == 2)
    # Rank 0 has said it already.
    assert [record.getMessage() for record in caplog.records] == [
        "This process ends too: rank 0 has failed: the cause"
    ]


def test_a_broken_connection_names_what_is_known(start: Callable[..., list[Heartbeat]]) -> None:
    hearts = start(2, Store())
    assert str(hearts[0].lost()) == "this process ends too: another process has ended"
    with pytest.raises(PeerError, match="another process has ended"):
        hearts[0].check()
