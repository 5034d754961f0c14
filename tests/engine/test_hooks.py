"""What happens around the steps, with a trainer that only counts."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.data.loader import TrainBatch
from paddleseg.engine import group as engine_group
from paddleseg.engine import hooks
from paddleseg.engine.checkpoint import TrainState, read_checkpoint, save_checkpoint
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.evaluator import Evaluation, EvaluationStopped
from paddleseg.engine.gradients import GradientSync
from paddleseg.engine.hooks import (
    CheckpointHook,
    EvaluationHook,
    LogHook,
    ProgressHook,
    SkippedSamplesHook,
    StartHook,
)
from paddleseg.engine.precision import LossScale, Precision
from paddleseg.engine.trainer import Hook, StepParts, Trainer
from paddleseg.losses.combine import CombinedLoss, LossValues
from paddleseg.losses.cross_entropy import CrossEntropyLoss
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


class Group(engine_group.Group):
    """As if there were another process that has exactly what this one has."""

    def __init__(self, rank: int = 0) -> None:
        super().__init__(rank, 2)
        self.waits: list[str] = []

    def wait(self, what: str) -> None:
        self.waits.append(what)

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array * 2


def make_trainer(iterations: int = 10, run: str = "mine", **parts: Any) -> Trainer:
    """A trainer that makes no step; :func:`step` only counts."""
    model = TinySegmenter(2)
    trainer = Trainer(
        model=model,
        loss=CombinedLoss([CrossEntropyLoss()], [1.0]),
        optimizer=paddle.optimizer.SGD(parameters=model.parameters()),
        schedule=lambda _: 0.0125,
        batches=[],
        iterations=iterations,
        state=TrainState(run=run),
        parts=StepParts(**({"group": engine_group.Group()} | parts)),
        sync=GradientSync(model, engine_group.Group(), overlap=False),
    )
    trainer.batch_size, trainer.learning_rate = 4, 0.0125
    trainer.reader_seconds, trainer.step_seconds = 0.25, 2.0
    return trainer


def step(trainer: Trainer, *hooks: Hook, loss: float = 1.0) -> None:
    trainer.state.iteration += 1
    value = paddle.to_tensor(loss)
    trainer.losses = LossValues(value, {"CE_0": value * 0.75, "CE_1": value * 0.25})
    for hook in hooks:
        hook.after_step(trainer)


def test_the_log_line_has_the_means_since_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    writer, trainer = Writer(), make_trainer(iterations=5)
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
    trainer = make_trainer()
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


def test_the_line_of_times_has_every_part(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    writer, trainer = Writer(), make_trainer()
    hook = LogHook(log_iters=2, iterations_per_epoch=3, writers=[writer])
    for _ in range(4):
        trainer.parts.timer.begin(measured=trainer.state.iteration == 1)
        with trainer.parts.timer.span("forward"):
            pass
        step(trainer, hook)
    (line,) = [message for message in caplog.messages if message.startswith("[TIME]")]
    assert re.fullmatch(
        r"\[TIME\] iter: 2, seconds: reader 0\.0000, forward 0\.00\d\d, loss 0\.0000, backward 0\.0000, "
        r"communication 0\.0000, optimizer 0\.0000",
        line,
    )
    times = {name: value for name, value in writer.rows[0][1].items() if name.startswith("Time/")}
    assert times["Time/forward"] > 0
    assert set(times) == {
        f"Time/{name}" for name in ("reader", "forward", "loss", "backward", "communication", "optimizer")
    }
    assert "Time/forward" not in writer.rows[1][1], "what was measured is told once"


def test_the_log_has_means_over_all_processes_and_comes_from_one(caplog: pytest.LogCaptureFixture) -> None:
    class Uneven(Group):
        """The other process has the losses 3, 2.25 and 0.75."""

        def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return array + np.array([3, 2.25, 0.75])

    caplog.set_level(logging.INFO, "paddleseg")
    for rank, said in ((0, True), (1, False)):
        writer, trainer = Writer(), make_trainer(group=Uneven(rank))
        step(trainer, LogHook(log_iters=1, iterations_per_epoch=1, writers=[writer]), loss=1.0)
        assert bool(writer.rows) == said
        if said:
            row = writer.rows[0][1]
            assert [row[f"Train/{n}"] for n in ("loss", "CE_0", "CE_1")] == [2.0, 1.5, 0.5]
            assert "ips: 4.0000 samples/sec" in caplog.text, "4 images each in 2 seconds"
    assert caplog.text.count("[TRAIN]") == 1


def test_a_mean_goes_on_where_the_run_was_saved(tmp_path: Path) -> None:
    losses, writer = (0.1, 0.7, 1.3, 2.9), Writer()
    whole = make_trainer()
    hook = LogHook(log_iters=4, iterations_per_epoch=3, writers=[writer])
    for loss in losses:
        step(whole, hook, loss=loss)

    def hooks() -> list[Hook]:
        log = LogHook(log_iters=4, iterations_per_epoch=3, writers=[writer])
        return [log, CheckpointHook(save_dir=tmp_path, interval=1, keep=0, facts={})]

    trainer = make_trainer()
    for loss in losses:  # saved, and resumed, after each step
        if trainer.state.iteration:
            trainer = resume(tmp_path / f"iter_{trainer.state.iteration}")
        trainer.hooks = hooks()
        for hook in trainer.hooks:
            hook.before_run(trainer)
        step(trainer, *trainer.hooks, loss=loss)
    first, second = writer.rows
    assert first == second, "bit by bit"
    assert first[1]["Train/loss"] == pytest.approx(1.25)
    assert trainer.state.loss_sums == []


def test_a_rejected_step_is_no_part_of_the_mean(tmp_path: Path) -> None:
    writer, trainer = Writer(), make_trainer()
    for loss in (1.0, float("nan"), 4.0, float("nan"), float("nan"), 8.0):
        if trainer.state.iteration:  # saved, and resumed, after each step
            trainer = resume(tmp_path / f"iter_{trainer.state.iteration}")
        trainer.rejected = loss != loss
        trainer.hooks = [
            LogHook(log_iters=3, iterations_per_epoch=3, writers=[writer]),
            CheckpointHook(save_dir=tmp_path, interval=1, keep=0, facts={}),
        ]
        for hook in trainer.hooks:
            hook.before_run(trainer)
        step(trainer, *trainer.hooks, loss=loss)
    assert [row["Train/loss"] for _, row in writer.rows] == [2.5, 8.0]
    assert [row["Train/CE_1"] for _, row in writer.rows] == [0.625, 2.0]


def test_the_pace_is_that_of_all_steps() -> None:
    writer, trainer = Writer(), make_trainer()
    hook = LogHook(log_iters=2, iterations_per_epoch=3, writers=[writer])
    trainer.rejected = True
    step(trainer, hook)
    trainer.rejected, trainer.step_seconds = False, 4.0
    step(trainer, hook)
    assert writer.rows[0][1]["Train/batch_cost"] == 3.0


def test_where_every_step_was_rejected_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    writer, trainer = Writer(), make_trainer()
    hook = LogHook(log_iters=2, iterations_per_epoch=3, writers=[writer])
    trainer.rejected = True
    for _ in range(2):
        step(trainer, hook, loss=3.0)
    assert math.isnan(writer.rows[0][1]["Train/loss"])
    line, reason = caplog.messages
    assert "loss: nan, lr: 0.012500" in line
    assert reason == "[TRAIN] iter: 2: no step of these changed a weight, so no loss"
    hook.before_save(trainer)
    assert trainer.state.loss_sums == []


def test_the_start_is_told_once_with_the_counters_before_it() -> None:
    told: list[TrainState] = []
    hook, trainer = StartHook(told.append), make_trainer()
    trainer.state.iteration = trainer.start.iteration = 4
    hook.before_run(trainer)
    assert told == []
    for _ in range(3):
        step(trainer, hook)
    assert [state.iteration for state in told] == [4]


def test_each_bad_sample_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    hook, trainer = SkippedSamplesHook(), make_trainer()
    empty = paddle.zeros([1])
    trainer._read = [
        TrainBatch(empty, empty, ["a"], ("a.png is bad", "b.png is bad")),
        TrainBatch(empty, empty, ["c"]),
        TrainBatch(empty, empty, ["d"], ("d.png is bad",)),
    ]
    hook.after_step(trainer)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", f"skipped: {name}.png is bad") for name in "abd"
    ]


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
    trainer, writer = make_trainer(iterations=7), Writer()
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
    trainer = make_trainer(iterations=100)
    hook, asked = evaluation_hook(tmp_path, [0.25, 0.6, 0.5, 0.5, 0.7], patience=2)
    checkpoints = CheckpointHook(save_dir=tmp_path, interval=50, keep=0, facts={})
    while trainer.stop_reason is None:
        step(trainer, hook, checkpoints)
    assert asked == [2, 4, 6, 8]
    assert "no better mIoU in the last 2 evaluations" in trainer.stop_reason
    assert (tmp_path / "iter_8").is_dir(), "the end of a stopped run is kept too"


def test_an_evaluation_without_labels_is_no_best_model(tmp_path: Path) -> None:
    trainer = make_trainer()
    hook, _ = evaluation_hook(tmp_path, [float("nan"), 0.25], interval=1)
    step(trainer, hook)
    assert not (tmp_path / "best_model").exists()
    step(trainer, hook)
    assert trainer.state.best_iteration == 2


def test_averages_are_evaluated_and_kept(tmp_path: Path) -> None:
    trainer = make_trainer(iterations=1)
    ema = trainer.parts.ema = ModelEma(trainer.model, decay=0.5)
    bias = trainer.model.conv.bias
    first = bias.numpy().copy()
    bias.set_value(bias + 1)
    ema.update(1)
    seen = []

    def run(_: int) -> Evaluation:
        seen.append(bias.numpy().copy())
        return evaluation(0.5)

    hook = EvaluationHook(save_dir=tmp_path, interval=1, run_evaluation=run, writers=[])
    step(trainer, hook, CheckpointHook(save_dir=tmp_path, interval=1, keep=0, facts={}))
    np.testing.assert_allclose(seen, [first + 0.5], rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), first + 1)
    best = paddle.load(str(tmp_path / "best_model/model.pdparams"))
    np.testing.assert_array_equal(best["conv.bias"].numpy(), seen[0])
    assert best.keys() == trainer.model.state_dict().keys()
    checkpoint = read_checkpoint(tmp_path / "iter_1")
    assert checkpoint.ema is not None
    np.testing.assert_array_equal(checkpoint.model["conv.bias"], first + 1)
    np.testing.assert_array_equal(checkpoint.ema["conv.bias"], seen[0])


def test_an_evaluation_that_a_signal_cut_short_is_made_up_for(tmp_path: Path) -> None:
    trainer, writer = make_trainer(), Writer()
    stop = [True]

    def run(_: int) -> Evaluation:
        if stop[0]:
            raise EvaluationStopped
        return evaluation(0.5)

    def hooks() -> tuple[EvaluationHook, CheckpointHook]:
        options = {"run_evaluation": run, "writers": [writer]}
        return (
            EvaluationHook(save_dir=tmp_path, interval=2, **options),
            CheckpointHook(save_dir=tmp_path, interval=2, keep=0, facts={}),
        )

    step(trainer, *hooks())
    step(trainer, *hooks())
    assert trainer.interrupted
    assert trainer.stop_reason is not None
    assert read_checkpoint(tmp_path / "iter_2").state.evaluated_at == 0
    assert not writer.rows

    stop[0] = False
    for _ in range(2):  # a second resumed run has nothing to make up for
        resumed = resume(tmp_path / "iter_2")
        for hook in hooks():
            hook.before_run(resumed)
        assert [iteration for iteration, _ in writer.rows] == [2]
        assert resumed.stop_reason is None
        assert read_checkpoint(tmp_path / "iter_2").state == resumed.state
        assert (resumed.state.evaluated_at, resumed.state.best_iteration) == (2, 2)


def resume(folder: Path) -> Trainer:
    trainer = make_trainer()
    trainer.state, trainer.start = read_checkpoint(folder).state, read_checkpoint(folder).state
    return trainer


def test_a_signal_before_an_evaluation_leaves_it_to_the_resumed_run(tmp_path: Path) -> None:
    hook, asked = evaluation_hook(tmp_path, [0.5], interval=1)
    trainer = make_trainer()
    trainer.interrupted = True
    step(trainer, hook)
    assert asked == []
    trainer.interrupted = False
    hook.before_run(trainer)
    assert asked == [1]


@pytest.mark.parametrize("iteration", [0, 3])
def test_a_run_that_goes_on_between_two_evaluations_has_none_first(tmp_path: Path, iteration: int) -> None:
    hook, asked = evaluation_hook(tmp_path, [])
    trainer = make_trainer()
    trainer.state.iteration = iteration
    hook.before_run(trainer)
    assert asked == []


def test_a_run_that_ended_early_stays_ended_when_it_is_resumed(tmp_path: Path) -> None:
    hook, asked = evaluation_hook(tmp_path, [], patience=2)
    trainer = make_trainer()
    trainer.state = TrainState(iteration=8, evaluated_at=8, best_miou=0.5, best_iteration=4)
    hook.before_run(trainer)
    assert asked == []
    assert trainer.stop_reason == "no better mIoU in the last 2 evaluations"


def test_only_the_main_process_saves_and_all_wait(tmp_path: Path) -> None:
    for rank in (1, 0):
        group = Group(rank)
        trainer = make_trainer(iterations=1, group=group)
        hook, _ = evaluation_hook(tmp_path, [0.5])
        checkpoints = CheckpointHook(save_dir=tmp_path, interval=1, keep=0, facts={})
        for one in (hook, checkpoints):
            one.before_run(trainer)
        step(trainer, hook, checkpoints)
        assert group.waits == ["saving the best model", "saving a checkpoint"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ([] if rank else ["best_model", "iter_1"])


def test_a_checkpoint_has_the_loss_scale_and_the_facts(tmp_path: Path) -> None:
    precision = Precision("fp16", loss_scale=LossScale(initial=2.0**12))
    trainer = make_trainer(iterations=1, precision=precision)
    precision.update(finite=True)
    step(trainer, CheckpointHook(save_dir=tmp_path, interval=1, keep=0, facts={"threads": 3}))
    checkpoint = read_checkpoint(tmp_path / "iter_1")
    assert checkpoint.state.loss_scale == {"loss_scale": 4096, "good_steps": 1}
    assert checkpoint.facts == {"threads": 3}
    assert trainer.last_checkpoint == tmp_path / "iter_1"


def test_a_run_that_stops_is_saved_between_two_intervals(tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer.stop_reason = "a signal asked for it"
    step(trainer, CheckpointHook(save_dir=tmp_path, interval=5, keep=0, facts={}))
    assert [path.name for path in tmp_path.iterdir()] == ["iter_1"]


def test_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    trainer = make_trainer(iterations=9)
    hook = CheckpointHook(save_dir=tmp_path, interval=2, keep=2, facts={})
    hook.before_run(trainer)
    for _ in range(9):
        step(trainer, hook)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iter_8", "iter_9"]


def test_another_runs_checkpoints_stay_and_those_of_a_resumed_run_do_not(tmp_path: Path) -> None:
    trainer = make_trainer(run="mine")
    for number, run in ((1, "other"), (2, "mine"), (3, "mine"), (8, "mine")):
        save_checkpoint(
            tmp_path,
            model=trainer.model,
            optimizer=trainer.optimizer,
            state=TrainState(iteration=number, run=run),
            facts={},
        )
    (tmp_path / "iter_of_my_own").mkdir()
    trainer.state.iteration = 3
    hook = CheckpointHook(save_dir=tmp_path, interval=1, keep=2, facts={})
    hook.before_run(trainer)
    for _ in range(2):
        step(trainer, hook)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"iter_1", "iter_4", "iter_5", "iter_8", "iter_of_my_own"}


def test_the_checkpoint_that_a_run_goes_on_from_is_its_last_one_until_it_saves(tmp_path: Path) -> None:
    """It may be in another folder, or of a run that this one differs from."""
    trainer = make_trainer()
    trainer.last_checkpoint = earlier = tmp_path / "other" / "iter_3"
    hook = CheckpointHook(save_dir=tmp_path / "run", interval=2, keep=0, facts={})
    hook.before_run(trainer)
    step(trainer, hook)
    assert trainer.last_checkpoint == earlier
    step(trainer, hook)
    assert trainer.last_checkpoint == tmp_path / "run" / "iter_2"


def test_the_progress_bar_counts_from_the_resumed_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer(iterations=4)
    trainer.state.iteration = 2
    for enabled in (False, True):
        hook = ProgressHook(enabled=enabled)
        hook.before_run(trainer)
        hook.after_step(trainer)
        hook.after_run(trainer)
        assert ("3/4" in capsys.readouterr().err) == enabled
