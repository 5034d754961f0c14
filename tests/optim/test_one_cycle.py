from __future__ import annotations

from typing import Any

import paddle
import pytest
from schedule_case import paddle_values

import paddleseg.optim  # noqa: F401 - registers
from paddleseg.errors import ConfigError
from paddleseg.registry import SCHEDULES

lr = paddle.optimizer.lr


def one_cycle(iters: int, **options: Any) -> list[float]:
    schedule = SCHEDULES.get("OneCycleLR")(iters=iters, **options)
    return [schedule(step) for step in range(iters)]


def test_equals_pytorch() -> None:
    # torch.optim.lr_scheduler.OneCycleLR of PyTorch 2.13: total_steps 10, max_lr 0.5, pct_start 0.3,
    # div_factor 25, final_div_factor 200
    expected = [0.02, 0.26, 0.5, 0.4752471685, 0.405891276, 0.3056691074, 0.1944308926, 0.094208724]
    expected += [0.0248528315, 0.0001]
    assert one_cycle(10, max_learning_rate=0.5) == pytest.approx(expected, abs=1e-9)
    # pct_start 0.4, div_factor 10, final_div_factor 5, linear, three_phase
    expected = [0.05, 0.2, 0.35, 0.5, 0.35, 0.2, 0.05, 0.0366666667, 0.0233333333, 0.01]
    options = {"max_learning_rate": 0.5, "phase_pct": 0.4, "divide_factor": 10, "end_learning_rate": 0.01}
    ours = one_cycle(10, anneal_strategy="linear", three_phase=True, **options)
    assert ours == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("steps", [7, 40])
def test_equals_paddle(steps: int, strategy: str, three_phase: bool) -> None:
    options = {
        "max_learning_rate": 0.3,
        "total_steps": steps,
        "phase_pct": 0.27,
        "anneal_strategy": strategy,
        "three_phase": three_phase,
    }
    theirs = paddle_values(lr.OneCycleLR(**options), steps)
    assert one_cycle(40, **options)[:steps] == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_stays_at_its_end() -> None:
    assert one_cycle(12, max_learning_rate=0.5, total_steps=10)[9:] == pytest.approx([1e-4] * 3)


def test_the_warmup_leads_to_its_first_rate() -> None:
    ours = one_cycle(14, max_learning_rate=0.5, warmup_iters=4)
    assert ours == pytest.approx([0.0, 0.005, 0.01, 0.015, *one_cycle(10, max_learning_rate=0.5)])


@pytest.mark.parametrize("phase_pct", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("iters", [1, 2, 3])
def test_phases_without_a_length(iters: int, phase_pct: float) -> None:
    values = one_cycle(iters, max_learning_rate=0.5, phase_pct=phase_pct)
    assert all(1e-4 * (1 - 1e-9) <= value <= 0.5 for value in values)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"max_learning_rate": -0.1}, "max_learning_rate"),
        ({"divide_factor": 0.5}, "divide_factor"),
        ({"end_learning_rate": -0.1}, "end_learning_rate"),
        ({"total_steps": 0}, "total_steps"),
        ({"phase_pct": 1.1}, "phase_pct"),
        ({"phase_pct": 0.5, "three_phase": True}, "phase_pct"),
        ({"anneal_strategy": "cosine"}, "anneal_strategy"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^lr_scheduler\.{key}: got"):
        one_cycle(10, **{"max_learning_rate": 0.1, **options})
