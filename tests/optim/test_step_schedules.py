from __future__ import annotations

import paddle
import pytest
from schedule_case import paddle_values

import paddleseg.optim  # noqa: F401 - registers
from paddleseg.errors import ConfigError
from paddleseg.optim.step_schedules import exponential, piecewise
from paddleseg.registry import SCHEDULES

lr = paddle.optimizer.lr


def test_literals() -> None:
    stairs = exponential(0.8, gamma=0.5, interval=2)
    assert [stairs(step) for step in range(6)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    smooth = exponential(0.8, gamma=0.5)
    assert [smooth(step) for step in range(4)] == [0.8, 0.4, 0.2, 0.1]
    pieces = piecewise([2, 3], [0.1, 0.3, 0.2])
    assert [pieces(step) for step in range(5)] == [0.1, 0.1, 0.3, 0.2, 0.2]


def test_multi_step_literals() -> None:
    # torch.optim.lr_scheduler.MultiStepLR of PyTorch 2.13 with milestones [3, 5]
    schedule = SCHEDULES.get("MultiStepDecay")(iters=8, learning_rate=0.5, milestones=[3, 5])
    expected = [0.5, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005, 0.005]
    assert [schedule(step) for step in range(8)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("warmup_iters", [0, 5])
@pytest.mark.parametrize(
    ("name", "options", "first"),
    [
        ("StepDecay", {"learning_rate": 0.2, "step_size": 4, "gamma": 0.3}, 0.2),
        ("MultiStepDecay", {"learning_rate": 0.2, "milestones": [3, 11, 12], "gamma": 0.3}, 0.2),
        ("PiecewiseDecay", {"boundaries": [3, 11], "values": [0.2, 0.05, 0.1]}, 0.2),
        ("ExponentialDecay", {"learning_rate": 0.2, "gamma": 0.9}, 0.2),
    ],
)
def test_equals_paddle_as_paddleseg_builds_it(
    name: str, options: dict, first: float, warmup_iters: int
) -> None:
    theirs = getattr(lr, name)(**options)
    warmup = {"warmup_iters": warmup_iters, "warmup_start_lr": 0.02} if warmup_iters else {}
    if warmup_iters:
        theirs = lr.LinearWarmup(theirs, warmup_steps=warmup_iters, start_lr=0.02, end_lr=first)
    ours = SCHEDULES.get(name)(iters=30, **options, **warmup)
    assert [ours(step) for step in range(30)] == pytest.approx(paddle_values(theirs, 30), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("StepDecay", {"learning_rate": 0.1, "step_size": 0}, r"step_size: got 0; expected .* at least 1"),
        ("StepDecay", {"learning_rate": 0.1, "step_size": 2, "gamma": 1.0}, r"gamma: got 1\.0"),
        ("ExponentialDecay", {"learning_rate": 0.1, "gamma": 0.0}, r"gamma: got 0\.0"),
        ("MultiStepDecay", {"learning_rate": 0.1, "milestones": []}, r"milestones: got an empty list"),
        (
            "MultiStepDecay",
            {"learning_rate": 0.1, "milestones": [5, 5]},
            r"milestones: got \[5, 5\]; .* above the one before",
        ),
        ("MultiStepDecay", {"learning_rate": 0.1, "milestones": [0]}, r"milestones\[0\]: got 0"),
        ("PiecewiseDecay", {"boundaries": [5, 3], "values": [1, 2, 3]}, r"boundaries: got \[5, 3\]"),
        ("PiecewiseDecay", {"boundaries": [5], "values": [1]}, r"values: got 1 learning rates for 1 .* 2"),
        ("PiecewiseDecay", {"boundaries": [5], "values": [1, 2, 3]}, r"values: got 3 learning rates"),
        ("PiecewiseDecay", {"boundaries": [5], "values": [1, float("nan")]}, r"values\[1\]: got nan"),
    ],
)
def test_values_out_of_range(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^lr_scheduler\.{message}"):
        SCHEDULES.get(name)(iters=10, **options)
