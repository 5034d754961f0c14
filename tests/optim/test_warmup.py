from __future__ import annotations

import pytest

from paddleseg.errors import ConfigError
from paddleseg.optim.warmup import add_warmup, steps_after_warmup, with_warmup


def ramp(step: int) -> float:
    return 1.0 + step


def test_a_straight_line_and_then_the_schedule_from_its_start() -> None:
    schedule = with_warmup(ramp, warmup_iters=4, warmup_start_lr=0.2, end_lr=1.0)
    assert [schedule(step) for step in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 3.0])


def test_no_warmup_is_the_schedule_itself() -> None:
    assert add_warmup(ramp, end_lr=1.0, warmup_iters=0, warmup_start_lr=0.5) is ramp


@pytest.mark.parametrize(("iters", "warmup", "left"), [(10, 0, 10), (10, 4, 6), (10, 10, 1), (2, 10, 1)])
def test_iterations_that_are_left(iters: int, warmup: int, left: int) -> None:
    assert steps_after_warmup(iters, warmup) == left


@pytest.mark.parametrize("key", ["warmup_iters", "warmup_start_lr"])
def test_values_out_of_range(key: str) -> None:
    values = {"warmup_iters": 1, "warmup_start_lr": 0.0, key: -1}
    with pytest.raises(ConfigError, match=rf"^lr_scheduler\.{key}: got -1"):
        add_warmup(ramp, end_lr=1.0, **values)
