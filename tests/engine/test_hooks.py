"""What happens around the steps, with a trainer that only counts."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.engine import hooks
from paddleseg.engine.checkpoint import TrainState, save_checkpoint
from paddleseg.engine.evaluator import Evaluation
from paddleseg.engine.hooks import CheckpointHook, EvaluationHook, FiniteLossHook, LogHook, ProgressHook
from paddleseg.errors import DataError
from paddleseg.losses.combine import LossValues
from paddleseg.metrics.report import make_report

TRAIN_LINE = re.compile(
    r"\[TRAIN\] epoch: (\d+), iter: (\d+)/(\d+), loss: (\d+\.\d{4}), lr: (\d+\.\d{6}), "
    r"batch_cost: (\d+\.\d{4}), reader_cost: (\d+\.\d{5}), ips: (\d+\.\d{4}) samples/sec"
    r"((?:, \w+: \d+\.\d{4})*) \| ETA (\d\d:\d\d:\d\d)"
)


class Writer:
    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        self.rows.append((iteration, dict(values)))

    def picture(self, name: str, picture: Any, iteration: int) -> None:
        raise AssertionError("hooks draw nothing")

    def close(self) -> None:
        pass


def fake_trainer(iterations: int = 10, run: str = "mine") -> Any:
    model = TinySegmenter(2)
    return SimpleNamespace(
        model=model,
        optimizer=paddle.optimizer.SGD(parameters=model.parameters()),
        iterations=iterations,
        state=TrainState(run=run),
        batch_size=4,
        losses=None,
        learning_rate=0.0125,
        reader_seconds=0.25,
        step_seconds=2.0,
        stop_reason=None,
    )


def step(trainer: Any, *hooks: Any, loss: float = 1.0) -> None:
    trainer.state.iteration += 1
    value = paddle.to_tensor(loss)
    trainer.losses = LossValues(value, {"CE_0": value * 0.75, "CE_1": value * 0.25})
    for hook in hooks:
        hook.after_step(trainer)


def test_the_log_line_has_the_means_since_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    writer, trainer = Writer(), fake_trainer(iterations=5)
    hook = LogHook(log_iters=2, iterations_per_epoch=3, writers=[writer])
    for loss in (1.0, 2.0, 4.0, 8.0, 16.0):
        step(trainer, hook, loss=loss)
    pace = "0.012500", "2.0000", "0.25000", "2.0000"
    lines = [TRAIN_LINE.fullmatch(message) for message in caplog.messages]
    assert [line and line.groups() for line in lines] == [
        ("1", "2", "5", "1.5000", *pace, ", CE_0: 1.1250, CE_1: 0.3750", "00:00:06"),
        ("2", "4", "5", "6.0000", *pace, ", CE_0: 4.5000, CE_1: 1.5000", "00:00:02"),
        ("2", "5", "5", "16.0000", *pace, ", CE_0: 12.0000, CE_1: 4.0000", "00:00:00"),
    ]
    assert writer.rows[1] == (
        4,
        {
            "Train/loss": 6.0,
            "Train/CE_0": 4.5,
            "Train/CE_1": 1.5,
            "Train/lr": 0.0125,
            "Train/batch_cost": 2.0,
            "Train/reader_cost": 0.25,
        },
    )


def test_a_single_part_is_not_said_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    trainer = fake_trainer()
    value = paddle.to_tensor(0.5)
    trainer.state.iteration, trainer.losses = 1, LossValues(value, {"CE": value})
    LogHook(log_iters=1, iterations_per_epoch=3, writers=[]).after_step(trainer)
    assert caplog.messages[0].count("0.5000") == 1


def test_gpu_memory_is_in_the_line_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hooks._gpu_memory() == ""
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    monkeypatch.setattr(paddle.device.cuda, "max_memory_reserved", lambda: 3 << 20)
    monkeypatch.setattr(paddle.device.cuda, "max_memory_allocated", lambda: 2 << 20)
    assert hooks._gpu_memory() == ", max_mem_reserved: 3 MB, max_mem_allocated: 2 MB"


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(loss: float) -> None:
    trainer, hook = fake_trainer(), FiniteLossHook(every=2, save_interval=5)
    step(trainer, hook, loss=loss)  # no look at iteration 1
    with pytest.raises(DataError, match=r"iteration 2: the loss is (nan|inf).*lower the learning rate"):
        step(trainer, hook, loss=loss)


def test_no_checkpoint_is_written_without_a_look_at_the_loss(tmp_path: Path) -> None:
    trainer = fake_trainer()
    order = [
        FiniteLossHook(every=10, save_interval=3),
        CheckpointHook(save_dir=tmp_path, interval=3, keep=0),
    ]
    for _ in range(2):
        step(trainer, *order, loss=float("nan"))
    with pytest.raises(DataError, match="iteration 3"):
        step(trainer, *order, loss=float("nan"))
    assert not list(tmp_path.iterdir())


def evaluation(miou: float) -> Evaluation:
    """A report with a given mIoU: of 100 pixels of each class, IoU = right / (200 − right)."""
    right = round(200 * miou / (1 + miou)) if miou == miou else 0
    matrix = np.array([[right, 100 - right], [100 - right, right]]) if miou == miou else np.zeros((2, 2), int)
    return Evaluation(make_report(matrix), matrix, [])


def evaluation_hook(folder: Path, results: list[float], **options: Any) -> tuple[EvaluationHook, list[int]]:
    asked: list[int] = []

    def run(iteration: int) -> Evaluation:
        asked.append(iteration)
        return evaluation(results[len(asked) - 1])

    options = {"writers": [], "interval": 2} | options
    return EvaluationHook(save_dir=folder, run_evaluation=run, **options), asked


def test_the_best_model_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    trainer, writer = fake_trainer(iterations=7), Writer()
    hook, asked = evaluation_hook(tmp_path, [0.25, 0.6, 0.25, 0.6], writers=[writer])
    weights = {}
    for _ in range(7):
        trainer.model.conv.bias.set_value(paddle.full([8], float(trainer.state.iteration + 1)))
        step(trainer, hook)
        if (tmp_path / "best_model").is_dir():
            weights[trainer.state.iteration] = paddle.load(str(tmp_path / "best_model/model.pdparams"))
    assert asked == [2, 4, 6, 7], "every second iteration and the last"
    assert [weights[i]["conv.bias"].numpy()[0] for i in (2, 4, 6, 7)] == [2.0, 4.0, 4.0, 4.0]
    assert (trainer.state.best_iteration, trainer.state.best_miou) == (4, pytest.approx(0.6))
    assert "best validation mIoU (0.6000) was saved at iter 4" in caplog.messages[-1]
    iteration, row = writer.rows[1]
    assert iteration == 4
    assert row["Evaluate/mIoU"] == pytest.approx(0.6)
    assert row["Evaluate/Acc"] == pytest.approx(0.75)
    assert set(row) == {
        f"Evaluate/{n}" for n in ("mIoU", "Acc", "Kappa", "Dice", "IoU/class 0", "IoU/class 1")
    }


def test_a_run_ends_after_evaluations_without_gain(tmp_path: Path) -> None:
    trainer = fake_trainer(iterations=100)
    hook, asked = evaluation_hook(tmp_path, [0.25, 0.6, 0.5, 0.5, 0.7], patience=2)
    checkpoints = CheckpointHook(save_dir=tmp_path, interval=50, keep=0)
    while trainer.stop_reason is None:
        step(trainer, hook, checkpoints)
    assert asked == [2, 4, 6, 8]
    assert "no better mIoU in the last 2 evaluations" in trainer.stop_reason
    assert (tmp_path / "iter_8").is_dir(), "the end of a stopped run is kept too"


def test_an_evaluation_without_labels_is_no_best_model(tmp_path: Path) -> None:
    trainer = fake_trainer()
    hook, _ = evaluation_hook(tmp_path, [float("nan"), 0.25], interval=1)
    step(trainer, hook)
    assert not (tmp_path / "best_model").exists()
    step(trainer, hook)
    assert trainer.state.best_iteration == 2


def test_a_run_resumed_into_another_folder_gets_its_best_model_there(tmp_path: Path) -> None:
    trainer = fake_trainer()
    trainer.state.best_miou, trainer.state.best_iteration = 0.9, 1
    hook, _ = evaluation_hook(tmp_path, [0.6], interval=1)
    step(trainer, hook)
    assert (tmp_path / "best_model" / "model.pdparams").is_file()


def test_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    trainer = fake_trainer(iterations=9)
    hook = CheckpointHook(save_dir=tmp_path, interval=2, keep=2)
    hook.before_run(trainer)
    for _ in range(9):
        step(trainer, hook)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iter_8", "iter_9"]


def test_another_runs_checkpoints_stay_and_those_of_a_resumed_run_do_not(tmp_path: Path) -> None:
    trainer = fake_trainer(run="mine")
    for number, run in ((1, "other"), (2, "mine"), (3, "mine"), (8, "mine")):
        save_checkpoint(
            tmp_path,
            model=trainer.model,
            optimizer=trainer.optimizer,
            state=TrainState(iteration=number, run=run),
        )
    (tmp_path / "iter_of_my_own").mkdir()
    trainer.state.iteration = 3
    hook = CheckpointHook(save_dir=tmp_path, interval=1, keep=2)
    hook.before_run(trainer)
    for _ in range(2):
        step(trainer, hook)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"iter_1", "iter_4", "iter_5", "iter_8", "iter_of_my_own"}


def test_the_progress_bar_counts_from_the_resumed_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = fake_trainer(iterations=4)
    trainer.state.iteration = 2
    for enabled in (False, True):
        hook = ProgressHook(enabled=enabled)
        hook.before_run(trainer)
        hook.after_step(trainer)
        hook.after_run(trainer)
        assert ("3/4" in capsys.readouterr().err) == enabled
