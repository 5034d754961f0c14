"""What every registered learning-rate schedule promises. A new one joins by a line in ``EXAMPLES``."""

from __future__ import annotations

import inspect
import math
import re
from itertools import pairwise
from typing import Any

import pytest

import paddleseg.optim  # noqa: F401 - registers
from paddleseg.errors import ConfigError
from paddleseg.optim import Schedule
from paddleseg.registry import SCHEDULES

RATE = 0.05
# Parameters besides those that all have.
EXAMPLES: dict[str, dict[str, Any]] = {
    "Constant": {"learning_rate": RATE},
    "CosineAnnealingDecay": {"learning_rate": RATE, "eta_min": 1e-4},
    "ExponentialDecay": {"learning_rate": RATE, "gamma": 0.98},
    "MultiStepDecay": {"learning_rate": RATE, "milestones": [10, 40]},
    "OneCycleLR": {"max_learning_rate": RATE, "divide_factor": 4},
    "PiecewiseDecay": {"boundaries": [10, 40], "values": [RATE, 0.02, 0.03]},
    "PolynomialDecay": {"learning_rate": RATE, "end_lr": 1e-4, "power": 0.9},
    "ReduceOnPlateau": {"learning_rate": RATE},
    "StepDecay": {"learning_rate": RATE, "step_size": 20},
}
NAMES = [name for name in SCHEDULES if SCHEDULES.get(name).__module__.startswith("paddleseg.")]
# Where one does not start at its highest learning rate; in a very short run it starts elsewhere.
FIRST = {"OneCycleLR": RATE / 4}
# Where one has its learning rate under another name.
RATE_KEYS = {"OneCycleLR": "max_learning_rate", "PiecewiseDecay": "values[0]"}

every_schedule = pytest.mark.parametrize("name", NAMES)


def build(name: str, iters: int, **options: Any) -> Schedule:
    return SCHEDULES.get(name)(iters=iters, **EXAMPLES[name], **options)


def test_every_registered_schedule_is_here() -> None:
    assert set(NAMES) == set(EXAMPLES)


@every_schedule
def test_is_documented(name: str) -> None:
    assert len(inspect.getdoc(SCHEDULES.get(name)) or "") > 30


@every_schedule
@pytest.mark.parametrize("options", [{}, {"warmup_iters": 7}, {"warmup_iters": 200}])
def test_finite_and_from_zero_to_the_rate(name: str, options: dict[str, Any]) -> None:
    schedule = build(name, 100, **options)
    values = [schedule(step) for step in range(101)]  # one more: an evaluation after the last iteration
    assert all(isinstance(value, float) and math.isfinite(value) for value in values)
    assert min(values) >= 0
    assert max(values) <= RATE * (1 + 1e-12)


@every_schedule
def test_starts_at_the_rate_without_a_warmup(name: str) -> None:
    assert build(name, 100)(0) == pytest.approx(FIRST.get(name, RATE), rel=1e-12)


@every_schedule
def test_the_warmup_rises_in_a_straight_line(name: str) -> None:
    schedule = build(name, 100, warmup_iters=8, warmup_start_lr=0.01)
    values = [schedule(step) for step in range(9)]
    first = FIRST.get(name, RATE)
    line = [0.01 + (first - 0.01) * step / 8 for step in range(9)]
    assert line[:2] == pytest.approx([0.01, 0.0103125] if name in FIRST else [0.01, 0.015])
    assert values == pytest.approx(line, rel=1e-12)
    assert all(earlier < later for earlier, later in pairwise(values))


@every_schedule
def test_after_the_warmup_comes_the_schedule_of_the_iterations_left(name: str) -> None:
    warmed, plain = build(name, 100, warmup_iters=8), build(name, 92)
    after = [warmed(step) for step in range(8, 101)]
    assert after == pytest.approx([plain(step) for step in range(93)], rel=1e-12)


@every_schedule
def test_a_pure_function_of_the_step(name: str) -> None:
    schedule, again = (build(name, 50, warmup_iters=10) for _ in range(2))
    forwards = [schedule(step) for step in range(51)]
    assert [schedule(step) for step in reversed(range(51))] == forwards[::-1]
    assert [again(step) for step in range(51)] == forwards


@every_schedule
@pytest.mark.parametrize("iters", [1, 2, 3])
@pytest.mark.parametrize("warmup_iters", [0, 1, 2, 3, 5])
def test_short_runs(name: str, iters: int, warmup_iters: int) -> None:
    schedule = build(name, iters, warmup_iters=warmup_iters)
    values = [schedule(step) for step in range(iters)]
    assert all(math.isfinite(value) and 0 <= value <= RATE * (1 + 1e-12) for value in values)
    # The line from 0 that would reach the first rate at step warmup_iters, then that rate itself.
    first = build(name, max(iters - warmup_iters, 1))(0) if name in FIRST else RATE
    line = [first * step / warmup_iters for step in range(min(iters, warmup_iters))]
    assert values[:warmup_iters] == pytest.approx(line, rel=1e-12)
    if warmup_iters < iters:
        assert values[warmup_iters] == pytest.approx(first, rel=1e-12)


@every_schedule
@pytest.mark.parametrize("key", ["learning_rate", "warmup_iters", "warmup_start_lr"])
def test_a_negative_value_is_named(name: str, key: str) -> None:
    named = RATE_KEYS.get(name, key) if key == "learning_rate" else key
    wrong = {"values": [-1, 0.02, 0.03]} if named == "values[0]" else {named: -1}
    with pytest.raises(ConfigError, match=rf"^lr_scheduler\.{re.escape(named)}: got -1"):
        SCHEDULES.get(name)(**{"iters": 10, **EXAMPLES[name], **wrong})
