"""A schedule that follows the results of a run gets them all, once each, and goes on with a resumed run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.config.config import Config
from paddleseg.engine import group as engine_group
from paddleseg.engine.checkpoint import TrainState, read_checkpoint
from paddleseg.engine.gradients import GradientSync
from paddleseg.engine.plateau_hook import PlateauHook
from paddleseg.engine.trainer import StepParts, Trainer
from paddleseg.engine.training import TrainOptions, run_training
from paddleseg.errors import CheckpointError, ConfigError
from paddleseg.losses.combine import CombinedLoss, LossValues
from paddleseg.losses.cross_entropy import CrossEntropyLoss
from paddleseg.optim import ReduceOnPlateau

MakeConfig = Callable[..., Config]
# Nothing is better by as much, so every result after the first lowers the learning rate.
IMPATIENT = {"type": "ReduceOnPlateau", "learning_rate": 0.08, "factor": 0.5, "patience": 0}
ALWAYS = IMPATIENT | {"threshold": 100.0, "threshold_mode": "abs"}


class Pair(engine_group.Group):
    """As if another process had a loss that is greater by 2."""

    def __init__(self) -> None:
        super().__init__(0, 2)

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array + (array + 2)


def make_trainer(schedule: ReduceOnPlateau, **parts: Any) -> Trainer:
    model = TinySegmenter(2)
    return Trainer(
        model=model,
        loss=CombinedLoss([CrossEntropyLoss()], [1.0]),
        optimizer=paddle.optimizer.SGD(parameters=model.parameters()),
        schedule=schedule,
        batches=[],
        iterations=10,
        state=TrainState(),
        parts=StepParts(**parts),
        sync=GradientSync(model, engine_group.Group(), overlap=False),
    )


def train(config: Config, folder: Path, **options: Any) -> TrainState:
    folder.mkdir(exist_ok=True)
    settings = {"seed": 3, "log_iters": 1, "save_interval": 2} | options
    return run_training(config, TrainOptions(save_dir=folder, **settings)).state


def rows(folder: Path, key: str) -> list[tuple[int, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [(row["iter"], row[key]) for row in map(json.loads, lines) if key in row]


def interrupt_before(monkeypatch: pytest.MonkeyPatch, iteration: int) -> None:
    real = Trainer.step

    def step(self: Trainer, batches: Any) -> None:
        if self.state.iteration == iteration - 1:
            raise KeyboardInterrupt
        real(self, batches)

    monkeypatch.setattr(Trainer, "step", step)


def test_it_gets_the_mean_loss_of_all_processes_and_no_rejected_step() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.1, iters=10)
    hook, trainer = PlateauHook(schedule), make_trainer(schedule, group=Pair())
    hook.before_run(trainer)
    for loss, rejected in ((5.0, False), (1.0, True), (4.0, False)):
        trainer.state.iteration += 1
        trainer.losses, trainer.rejected = LossValues(paddle.to_tensor(loss), {}), rejected
        hook.after_step(trainer)
    hook.before_save(trainer)
    # The better of 5 + 1 and 4 + 1, at iteration 3.
    assert trainer.state.schedule == {
        "reductions": 0,
        "without_gain": 0,
        "cooldown": 0,
        "seen": 3,
        "best_loss": 5.0,
    }


def test_the_learning_rate_falls_with_the_loss_of_every_iteration(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    state = train(make_config(lr_scheduler=ALWAYS), tmp_path / "run")
    # The loss of iteration 1 is the first best; that of 2 lowers the learning rate of 3.
    expected = [(1, 0.08), (2, 0.08), (3, 0.04), (4, 0.02), (5, 0.01), (6, 0.005)]
    assert rows(tmp_path / "run", "Train/lr") == expected
    assert state.schedule["best_loss"] == pytest.approx(rows(tmp_path / "run", "Train/loss")[0][1], rel=1e-6)
    lines = [message for message in caplog.messages if message.startswith("[LR]")]
    assert lines[0] == "[LR] iter 2: loss has not improved lately; the learning rate is 0.04 from here"
    assert len(lines) == 5


@pytest.mark.parametrize("target", ["first", "second"])
@pytest.mark.parametrize("metric", ["loss", "mIoU"])
def test_resuming_equals_running_on(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, target: str
) -> None:
    config = make_config(lr_scheduler=ALWAYS | {"metric": metric})
    whole = train(config, tmp_path / "whole", do_eval=True)
    if metric == "mIoU":
        # Evaluated after 2 (the first best), 4 and 6.
        expected = [0.08, 0.08, 0.08, 0.08, 0.04, 0.04]
        assert [rate for _, rate in rows(tmp_path / "whole", "Train/lr")] == expected
        assert whole.schedule["reductions"] == 2
        first_miou = rows(tmp_path / "whole", "Evaluate/mIoU")[0][1]
        assert whole.schedule["best_mIoU"] == pytest.approx(first_miou, rel=1e-6)
    first, second = tmp_path / "first", tmp_path / target
    with monkeypatch.context() as patch:
        interrupt_before(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            train(config, first, do_eval=True)
    resumed = train(config, second, do_eval=True, resume_model=str(first / "iter_4"))
    assert resumed.schedule == whole.schedule
    one, other = (read_checkpoint(folder / "iter_6") for folder in (tmp_path / "whole", second))
    assert one.model.keys() == other.model.keys()
    for name, array in one.model.items():
        np.testing.assert_array_equal(array, other.model[name], err_msg=name)
    assert rows(second, "Train/lr")[-2:] == rows(tmp_path / "whole", "Train/lr")[-2:]


def test_an_evaluation_that_is_made_up_for_counts(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal during the last step before an evaluation leaves it to the resumed run."""
    config = make_config(lr_scheduler=ALWAYS | {"metric": "mIoU"})
    whole = train(config, tmp_path / "whole", do_eval=True)
    first = tmp_path / "first"
    real = Trainer._share

    def share(self: Trainer, finding: Any) -> Any:
        found = real(self, finding)
        if self.state.iteration + 1 == 4:
            self.interrupted, self.stop_reason = True, "a signal asked for it"
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_share", share)
        stopped = train(config, first, do_eval=True)
    assert (stopped.iteration, stopped.evaluated_at) == (4, 2)
    assert stopped.schedule["reductions"] == 0
    resumed = train(config, first, do_eval=True, resume_model="auto")
    assert resumed.schedule == whole.schedule
    assert rows(first, "Train/lr") == rows(tmp_path / "whole", "Train/lr")


def test_without_an_evaluation_there_is_no_miou(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(lr_scheduler=IMPATIENT | {"metric": "mIoU"})
    with pytest.raises(ConfigError, match=r"\.yml:\d+ lr_scheduler\.metric: got mIoU, .* --do_eval"):
        train(config, tmp_path / "run")


def test_a_damaged_state_is_named() -> None:
    schedule = ReduceOnPlateau(learning_rate=0.1, iters=10)
    trainer = make_trainer(schedule)
    trainer.state.schedule = {"reductions": -1}
    with pytest.raises(CheckpointError, match="state of the learning-rate schedule"):
        PlateauHook(schedule).before_run(trainer)
