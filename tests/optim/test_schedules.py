from __future__ import annotations

import csv
import math
from pathlib import Path

import paddle
import pytest
from schedule_case import paddle_values

from paddleseg.errors import ConfigError
from paddleseg.optim import schedules  # registers them
from paddleseg.registry import SCHEDULES

TRACE = Path(__file__).parents[1] / "data" / "reference_train_trace.csv"


def test_equals_every_row_of_the_reference_trace() -> None:
    schedule = SCHEDULES.get("PolynomialDecay")(iters=60000, learning_rate=0.01, end_lr=1e-4, power=0.9)
    with TRACE.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1200
    assert [f"{schedule(int(row['iteration']) - 1):.6f}" for row in rows] == [row["lr"] for row in rows]


def test_polynomial_literals() -> None:
    schedule = schedules.polynomial(1.0, decay_steps=4, end_lr=0.0, power=2.0)
    assert [schedule(step) for step in range(6)] == [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]


def test_cosine_literals() -> None:
    schedule = schedules.cosine(1.0, period=4, end_lr=0.0)
    half = math.sqrt(0.5)
    expected = [1.0, (1 + half) / 2, 0.5, (1 - half) / 2, 0.0, (1 - half) / 2]
    assert [schedule(step) for step in range(6)] == pytest.approx(expected, abs=1e-12)


def test_defaults() -> None:
    schedule = SCHEDULES.get("PolynomialDecay")(iters=100, learning_rate=0.1)
    assert schedule(50) == pytest.approx(0.1 * 0.5**0.9)
    assert schedule(100) == 0.0
    cosine = SCHEDULES.get("CosineAnnealingDecay")(iters=100, learning_rate=0.1)
    assert cosine(50) == pytest.approx(0.05)
    assert cosine(100) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("cycle", [False, True])
def test_polynomial_equals_paddle(cycle: bool) -> None:
    options = {"decay_steps": 7, "end_lr": 0.01, "power": 0.8, "cycle": cycle}
    ours = SCHEDULES.get("PolynomialDecay")(iters=30, learning_rate=0.2, **options)
    theirs = paddle.optimizer.lr.PolynomialDecay(0.2, **options)
    assert [ours(step) for step in range(30)] == pytest.approx(paddle_values(theirs, 30), rel=1e-12)


def test_cosine_equals_paddle() -> None:
    ours = SCHEDULES.get("CosineAnnealingDecay")(iters=30, learning_rate=0.2, T_max=12, eta_min=0.01)
    theirs = paddle.optimizer.lr.CosineAnnealingDecay(0.2, T_max=12, eta_min=0.01)
    assert [ours(step) for step in range(30)] == pytest.approx(paddle_values(theirs, 30), rel=1e-9)


def test_warmup_equals_paddle_built_as_paddleseg_builds_it() -> None:
    lr = paddle.optimizer.lr
    ours = SCHEDULES.get("PolynomialDecay")(
        iters=40, learning_rate=0.2, end_lr=0.01, power=0.9, warmup_iters=8, warmup_start_lr=0.02
    )
    poly = lr.PolynomialDecay(0.2, decay_steps=32, end_lr=0.01, power=0.9)
    theirs = lr.LinearWarmup(poly, warmup_steps=8, start_lr=0.02, end_lr=0.2)
    assert [ours(step) for step in range(41)] == pytest.approx(paddle_values(theirs, 41), rel=1e-12)


def test_warmup_in_front_of_the_others() -> None:
    lr = paddle.optimizer.lr
    ours = SCHEDULES.get("CosineAnnealingDecay")(iters=20, learning_rate=0.2, warmup_iters=5)
    theirs = lr.LinearWarmup(lr.CosineAnnealingDecay(0.2, T_max=15), warmup_steps=5, start_lr=0.0, end_lr=0.2)
    assert [ours(step) for step in range(20)] == pytest.approx(paddle_values(theirs, 20), rel=1e-9)
    flat = SCHEDULES.get("Constant")(iters=9, learning_rate=0.4, warmup_iters=4, warmup_start_lr=0.2)
    assert [flat(step) for step in range(6)] == pytest.approx([0.2, 0.25, 0.3, 0.35, 0.4, 0.4])


def test_explicit_decay_steps_count_from_the_end_of_the_warmup() -> None:
    schedule = SCHEDULES.get("PolynomialDecay")(
        iters=100, learning_rate=1.0, decay_steps=10, power=1.0, warmup_iters=5
    )
    assert schedule(5) == 1.0
    assert schedule(10) == pytest.approx(0.5)
    assert schedule(15) == 0.0


def test_a_trial_run_shorter_than_the_warmup() -> None:
    schedule = SCHEDULES.get("PolynomialDecay")(iters=2, learning_rate=1.0, warmup_iters=10)
    assert [schedule(0), schedule(1)] == pytest.approx([0.0, 0.1])


def test_schedules_have_no_memory() -> None:
    schedule = SCHEDULES.get("PolynomialDecay")(iters=50, learning_rate=1.0, warmup_iters=10)
    forwards = [schedule(step) for step in range(50)]
    assert [schedule(step) for step in reversed(range(50))] == forwards[::-1]


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("PolynomialDecay", {"learning_rate": -0.1}, "learning_rate"),
        ("PolynomialDecay", {"learning_rate": 0.1, "decay_steps": 0}, "decay_steps"),
        ("PolynomialDecay", {"learning_rate": 0.1, "end_lr": -1.0}, "end_lr"),
        ("PolynomialDecay", {"learning_rate": 0.1, "power": float("nan")}, "power"),
        ("PolynomialDecay", {"learning_rate": 0.1, "warmup_iters": -1}, "warmup_iters"),
        ("CosineAnnealingDecay", {"learning_rate": 0.1, "T_max": 0}, "T_max"),
        ("CosineAnnealingDecay", {"learning_rate": 0.1, "eta_min": -1.0}, "eta_min"),
        ("Constant", {"learning_rate": 0.1, "warmup_start_lr": -0.1}, "warmup_start_lr"),
    ],
)
def test_values_out_of_range(name: str, options: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"lr_scheduler\.{key}: got"):
        SCHEDULES.get(name)(iters=10, **options)
