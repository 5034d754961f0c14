from __future__ import annotations

import json
from typing import Any

import numpy as np
import paddle
import pytest

from paddleseg.errors import CheckpointError, ConfigError
from paddleseg.optim import ReduceOnPlateau


def rates(schedule: ReduceOnPlateau, results: list[float]) -> list[float]:
    """The learning rate after each result."""
    found = []
    for iteration, result in enumerate(results, start=1):
        before = schedule(iteration)
        lowered = schedule.observe(result, iteration)
        found.append(schedule(iteration))
        assert lowered == (found[-1] < before)
    return found


LOSSES = [5, 4, 3.9, 3.8, 3.7, 3, 2.9, 2.8, 2.85, 2.9, 3, 3, 3]


def test_equals_pytorch() -> None:
    # torch.optim.lr_scheduler.ReduceLROnPlateau of PyTorch 2.13 over these losses
    ours = ReduceOnPlateau(learning_rate=0.8, iters=20, factor=0.5, patience=1, threshold=0.1, min_lr=0.15)
    expected = [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15, 0.15, 0.15]
    assert rates(ours, LOSSES) == expected


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2, "threshold": 0.05, "factor": 0.7},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 3},
        {"patience": 0, "min_lr": 0.01, "factor": 0.5, "epsilon": 0.02},
    ],
)
def test_equals_paddle(options: dict[str, Any], seed: int) -> None:
    results = (1 + np.random.default_rng(seed).random(80) * np.linspace(1, 0.3, 80)).tolist()
    for metric, mode in (("loss", "min"), ("mIoU", "max")):
        theirs = paddle.optimizer.lr.ReduceOnPlateau(0.3, mode=mode, **options)
        expected = []
        for result in results:
            theirs.step(result)
            expected.append(theirs())
        ours = ReduceOnPlateau(learning_rate=0.3, iters=80, metric=metric, **options)
        assert rates(ours, results) == expected


def test_the_warmup_comes_first_and_its_results_do_not_count() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.8, iters=20, warmup_iters=4, patience=1, factor=0.5)
    assert [schedule(step) for step in range(6)] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.8])
    # The best that counts is 3 of iteration 5; 7 and 8 are one too many without a gain.
    for iteration, loss in enumerate([1, 1, 1, 1, 3, 2, 2.5, 2.5], start=1):
        schedule.observe(loss, iteration)
    assert [schedule(step) for step in (3, 4, 8)] == pytest.approx([0.6, 0.4, 0.4])


def test_what_is_not_finite_is_no_improvement() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.8, iters=20, metric="mIoU", patience=0, factor=0.5)
    nan, inf = float("nan"), float("inf")
    assert rates(schedule, [nan, 0.3, nan, 0.4, inf]) == [0.4, 0.4, 0.2, 0.2, 0.1]


def test_a_result_counts_once() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.8, iters=20, patience=1, factor=0.5)
    assert [schedule.observe(1.0, iteration) for iteration in (1, 2, 2, 2, 1, 3)] == [False] * 5 + [True]


@pytest.mark.parametrize("stop", range(len(LOSSES) + 1))
def test_goes_on_from_a_checkpoint(stop: int) -> None:
    def make() -> ReduceOnPlateau:
        return ReduceOnPlateau(learning_rate=0.8, iters=20, factor=0.3, patience=1, threshold=0.1, cooldown=1)

    whole, first, second = make(), make(), make()
    for iteration, loss in enumerate(LOSSES[:stop], start=1):
        first.observe(loss, iteration)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second(stop) == first(stop)
    for iteration, loss in enumerate(LOSSES[stop:], start=stop + 1):
        second.observe(loss, iteration)
    assert second(20) == rates(whole, LOSSES)[-1]
    assert second.state_dict() == whole.state_dict()


def test_an_empty_state_is_the_start() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.8, iters=20)
    schedule.load_state_dict({})
    assert schedule.state_dict() == {"reductions": 0, "without_gain": 0, "cooldown": 0, "seen": 0}


def test_another_learning_rate_is_heeded_when_the_run_goes_on() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.2, iters=20, factor=0.5)
    schedule.load_state_dict({"reductions": 2, "without_gain": 0, "cooldown": 0, "seen": 9, "best_loss": 1.5})
    assert schedule(9) == 0.05


def test_the_best_of_another_metric_is_forgotten() -> None:
    before = ReduceOnPlateau(learning_rate=0.2, iters=20, factor=0.5)
    before.observe(1.5, 1)
    after = ReduceOnPlateau(learning_rate=0.2, iters=20, factor=0.5, metric="mIoU", patience=0)
    after.load_state_dict(before.state_dict())
    # No mIoU is above 1.5; 0.3 is the first one, and 0.4 a better one.
    assert [after.observe(miou, iteration) for iteration, miou in ((2, 0.3), (4, 0.4), (6, 0.4))] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("state", [{"best_loss": 1.0}, {"reductions": 1.5}, {"reductions": -1}])
def test_a_damaged_state(state: dict[str, Any]) -> None:
    rest = {"without_gain": 0, "cooldown": 0, "seen": 0}
    with pytest.raises(CheckpointError, match=r"state of the learning-rate schedule: expected reductions"):
        ReduceOnPlateau(learning_rate=0.1, iters=20).load_state_dict(rest | state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "Acc"}, r"metric: got 'Acc'; expected 'loss' or 'mIoU'"),
        ({"mode": "max"}, r"mode beside metric: loss: got 'max'; expected 'min'"),
        ({"metric": "mIoU", "mode": "min"}, r"mode beside metric: mIoU: got 'min'; expected 'max'"),
        ({"threshold_mode": "relative"}, r"threshold_mode: got 'relative'; expected 'rel' or 'abs'"),
        ({"factor": 1.0}, r"factor: got 1\.0"),
        ({"factor": 0.0}, r"factor: got 0\.0"),
        ({"patience": -1}, r"patience: got -1"),
        ({"cooldown": -1}, r"cooldown: got -1"),
        ({"threshold": -1e-4}, r"threshold: got"),
        ({"min_lr": float("nan")}, r"min_lr: got nan"),
        ({"epsilon": -1e-4}, r"epsilon: got"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^lr_scheduler\.{message}"):
        ReduceOnPlateau(learning_rate=0.1, iters=20, **options)
