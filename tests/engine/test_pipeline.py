"""Order, errors and the end of the threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from paddleseg.engine.pipeline import Behind, ahead


@pytest.mark.parametrize("count", [1, 2, 10])
def test_items_come_in_order(count: int) -> None:
    assert list(ahead(range(5), count=count)) == [0, 1, 2, 3, 4]
    assert list(ahead([], count=count)) == []


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise OSError("the third")

    seen: list[int] = []
    with pytest.raises(OSError, match="the third"):
        seen.extend(ahead(items(), count=3))
    assert seen == [0, 1]


def test_no_more_wait_than_were_asked_for() -> None:
    made: list[int] = []
    ready = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for item in range(10):
            made.append(item)
            yield item
            ready.release()

    with contextlib.closing(ahead(items(), count=2)) as reading:
        assert next(reading) == 0
        assert ready.acquire(timeout=30)
        assert len(made) <= 3


def test_closing_ends_the_thread_and_closes_the_items() -> None:
    closed: list[bool] = []
    threads = threading.active_count()

    def items() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    source = items()  # kept, or it would be closed as garbage
    with contextlib.closing(ahead(source, count=1)) as reading:
        assert next(reading) == 0
        assert threading.active_count() == threads + 1
    assert closed == [True]
    assert threading.active_count() == threads


def test_calls_are_made_a_bounded_number_at_a_time() -> None:
    go, begun = threading.Event(), threading.Semaphore(0)
    done: list[int] = []

    def work(number: int) -> None:
        begun.release()
        assert go.wait(30)
        done.append(number)

    with Behind(workers=2) as behind:
        for number in range(4):  # two at work, two that wait
            behind.call(work, number)
        for _ in range(2):
            assert begun.acquire(timeout=30)
        fifth = threading.Thread(target=behind.call, args=(work, 4))
        fifth.start()
        fifth.join(0.1)
        assert fifth.is_alive(), "there is no room for a fifth"
        go.set()
        fifth.join(30)
        behind.wait()
        assert sorted(done) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_waits_is_done_after_ctrl_c_and_after_an_error(error: type[BaseException]) -> None:
    done: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def work(number: int) -> None:
        begun.set()
        go.wait(30)
        done.append(number)

    def run() -> None:
        with Behind(workers=1) as behind:
            behind.call(work, 0)
            behind.call(work, 1)
            assert begun.wait(30)
            threading.Timer(0.1, go.set).start()
            raise error

    with pytest.raises(error):
        run()
    assert done == [0, 1]


def test_what_waits_is_dropped_when_a_call_has_failed() -> None:
    done: list[int] = []
    go, started = threading.Event(), threading.Semaphore(0)

    def work(number: int) -> None:
        if number == 0:
            raise OSError("full")
        started.release()
        go.wait(30)
        done.append(number)

    def run() -> None:
        with Behind(workers=2) as behind:
            for number in range(4):
                behind.call(work, number)
            for _ in range(2):
                assert started.acquire(timeout=30)
            threading.Timer(0.5, go.set).start()
            behind.wait()

    with pytest.raises(OSError, match="full"):
        run()
    assert sorted(done) == [1, 2], "both were at work"


def test_an_error_of_a_call_is_raised_at_the_end() -> None:
    def fail() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Behind(workers=1) as behind:
        behind.call(fail)
