"""Times of the parts of a step, with a clock that the test moves."""

from __future__ import annotations

import paddle
import pytest

from paddleseg.engine import timing
from paddleseg.engine.timing import SPANS, StepTimer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def run(timer: StepTimer, clock: list[float], *, measured: bool, **seconds: float) -> None:
    timer.begin(measured=measured)
    for name, length in seconds.items():
        with timer.span(name):
            clock[0] += length
        clock[0] += 1000  # between spans


def test_spans_of_measured_iterations_are_averaged(clock: list[float]) -> None:
    timer = StepTimer()
    run(timer, clock, measured=True, reader=1.0, forward=2.0)
    run(timer, clock, measured=False, reader=64.0, forward=64.0)
    run(timer, clock, measured=True, reader=2.0, backward=8.0)
    expected = {"reader": 1.5, "forward": 1.0, "loss": 0.0, "backward": 4.0}
    assert timer.means() == expected | {"communication": 0.0, "optimizer": 0.0}
    assert tuple(timer.means()) == SPANS


def test_the_spans_of_several_batches_add_up_to_one_iteration(clock: list[float]) -> None:
    timer = StepTimer()
    timer.begin(measured=True)
    for _ in range(3):
        with timer.span("forward"):
            clock[0] += 2.0
    assert timer.means()["forward"] == 6.0


def test_a_reset_begins_anew(clock: list[float]) -> None:
    timer = StepTimer()
    assert timer.means() == {}
    run(timer, clock, measured=True, loss=4.0)
    timer.reset()
    assert timer.means() == {}
    run(timer, clock, measured=True, loss=1.0)
    assert timer.means()["loss"] == 1.0


def test_an_unknown_span_is_noticed_even_where_nothing_is_measured() -> None:
    timer = StepTimer()
    with pytest.raises(KeyError):
        timer.span("foward")


def test_a_gpu_is_waited_for_in_measured_iterations_only(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")

    def synchronize() -> None:
        clock[0] += 0.5  # the rest of what the device had to do
        waits.append(clock[0])

    monkeypatch.setattr(paddle.device, "synchronize", synchronize)
    timer = StepTimer()
    run(timer, clock, measured=False, forward=1.0)
    assert waits == []
    run(timer, clock, measured=True, forward=1.0)
    assert len(waits) == 2
    assert timer.means()["forward"] == 1.5, "work of before is not counted, that of the span is"
