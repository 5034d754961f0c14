"""Whole training runs of a tiny model: files, determinism, resuming."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from small_task import TinySegmenter, write_dataset

from paddleseg.build import build_model, build_schedule, load_config
from paddleseg.config.config import Config
from paddleseg.engine import hooks, training, validation
from paddleseg.engine.checkpoint import TrainState, read_checkpoint
from paddleseg.engine.group import Group
from paddleseg.engine.interrupts import Interrupts
from paddleseg.engine.trainer import Trainer
from paddleseg.engine.training import TrainOptions, run_training
from paddleseg.engine.validation import Validation
from paddleseg.engine.writers import VisualDLWriter
from paddleseg.errors import CheckpointError, ConfigError, DataError

MakeConfig = Callable[..., Config]


def train(config: Config, folder: Path, **options: Any) -> TrainState:
    folder.mkdir(exist_ok=True)
    settings = {"seed": 3, "log_iters": 1, "save_interval": 3} | options
    return run_training(config, TrainOptions(save_dir=folder, **settings)).state


def rows(folder: Path, key: str) -> list[tuple[int, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [(row["iter"], row[key]) for row in map(json.loads, lines) if key in row]


def tensors(folder: Path) -> dict[str, np.ndarray]:
    checkpoint = read_checkpoint(folder)
    averages = {f"ema.{name}": array for name, array in (checkpoint.ema or {}).items()}
    return {
        key: np.asarray(value) for key, value in (checkpoint.model | checkpoint.optimizer | averages).items()
    }


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def assert_same(first: Path, second: Path) -> None:
    one, other = tensors(first), tensors(second)
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_a_run_leaves_checkpoints_the_best_model_and_metrics(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    config, folder = make_config(), tmp_path / "run"
    state = train(config, folder, do_eval=True, use_vdl=True, num_workers=0)
    assert state.iteration == 6
    names = sorted(p.name for p in folder.iterdir())
    assert names[:4] == ["best_model", "iter_3", "iter_6", "metrics.jsonl"]
    assert [name.startswith("vdlrecords.") for name in names[4:]] == [True]
    schedule = build_schedule(config)
    assert rows(folder, "Train/lr") == [(i, pytest.approx(schedule(i - 1))) for i in range(1, 7)]
    parts = (rows(folder, f"Train/CrossEntropyLoss_{i}") for i in (0, 1))
    for (_, total), (_, main), (_, auxiliary) in zip(rows(folder, "Train/loss"), *parts, strict=True):
        assert total == pytest.approx(main + auxiliary, rel=1e-5)
    scores = rows(folder, "Evaluate/mIoU")
    assert [iteration for iteration, _ in scores] == [3, 6]
    assert state.best_miou == max(score for _, score in scores)
    kept = json.loads((folder / "best_model" / "state.json").read_text("utf-8"))
    assert kept["best_miou"] == state.best_miou
    best = paddle.load(str(folder / "best_model" / "model.pdparams"))
    same = paddle.load(str(folder / f"iter_{state.best_iteration}" / "model.pdparams"))
    for key in best:
        np.testing.assert_array_equal(best[key].numpy(), same[key].numpy())
    assert sum("[EVAL] #Images: 8 mIoU" in message for message in caplog.messages) == 2


def test_the_seed_fixes_the_run(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    paddle.rand([3])  # what happened before in the process does not count
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(config, tmp_path / name, seed=seed)
    assert rows(tmp_path / "a", "Train/loss") == rows(tmp_path / "b", "Train/loss")
    assert_same(tmp_path / "a" / "iter_6", tmp_path / "b" / "iter_6")
    assert rows(tmp_path / "a", "Train/loss") != rows(tmp_path / "c", "Train/loss")


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    for workers in (0, 2):
        train(config, tmp_path / str(workers), num_workers=workers, do_eval=True)
    for key in ("Train/loss", "Evaluate/mIoU"):
        assert rows(tmp_path / "0", key) == rows(tmp_path / "2", key)
    assert_same(tmp_path / "0" / "iter_6", tmp_path / "2" / "iter_6")


def interrupt_before(monkeypatch: pytest.MonkeyPatch, iteration: int) -> None:
    real = Trainer.step

    def step(self: Trainer, batches: Any) -> None:
        if self.state.iteration == iteration - 1:
            raise KeyboardInterrupt
        real(self, batches)

    monkeypatch.setattr(Trainer, "step", step)


AVERAGED = {"use_ema": True, "batch_size": 1, "accumulate": 2, "optimizer": {"type": "AdamW"}}


@pytest.mark.parametrize("blocks", [{}, AVERAGED])
@pytest.mark.parametrize("target", ["first", "second"])
def test_resuming_equals_running_on(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: dict[str, Any],
    target: str,
) -> None:
    config = make_config(**blocks)
    whole = train(config, tmp_path / "whole", do_eval=True)
    first, second = tmp_path / "first", tmp_path / target
    with monkeypatch.context() as patch:
        interrupt_before(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            train(config, first, do_eval=True)
    assert [i for i, _ in rows(first, "Train/loss")] == [1, 2, 3, 4]
    assert sorted(p.name for p in first.glob("iter_*")) == ["iter_3"]
    paddle.rand([5])
    state = train(config, second, seed=99, resume_model=str(first / "iter_3"), do_eval=True)
    losses = dict(rows(first, "Train/loss")) | dict(rows(second, "Train/loss"))
    assert losses == dict(rows(tmp_path / "whole", "Train/loss"))
    assert_same(tmp_path / "whole" / "iter_6", second / "iter_6")
    assert state.seed == 3, "the checkpoint's seed goes on"
    if target == "first":
        assert replace(state, run="") == replace(whole, run="")
    assert (second / "best_model" / "model.pdparams").is_file()


def send_at(monkeypatch: pytest.MonkeyPatch, where: type, method: str, iteration: int) -> None:
    """Sends SIGTERM to this process at the start of a step, or of the evaluation after it."""
    real = getattr(where, method)

    def call(self: Any, argument: Any) -> Any:
        interrupts = self.parts.interrupts if where is Trainer else self._interrupts
        if (self.state.iteration + 1 if where is Trainer else argument) == iteration:
            os.kill(os.getpid(), signal.SIGTERM)
            while interrupts.signal is None:
                time.sleep(0.001)
        return real(self, argument)

    monkeypatch.setattr(where, method, call)


@pytest.mark.parametrize(
    ("where", "iteration", "blocks"),
    [
        ("step", 2, {}),
        ("step", 4, AVERAGED),
        ("step", 6, {}),
        ("evaluation", 3, AVERAGED),
        ("evaluation", 6, {}),
    ],
)
def test_a_signal_costs_nothing(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    iteration: int,
    blocks: dict[str, Any],
) -> None:
    config, options = make_config(**blocks), {"do_eval": True, "log_iters": 4}
    whole, folder = train(config, tmp_path / "whole", **options), tmp_path / "run"
    folder.mkdir()
    run = TrainOptions(save_dir=folder, seed=3, save_interval=3, resume_model="auto", **options)
    with monkeypatch.context() as patch:
        send_at(patch, *((Trainer, "step") if where == "step" else (Validation, "__call__")), iteration)
        with Interrupts() as interrupts:
            first = run_training(config, run, interrupts=interrupts)
    assert (first.signal, first.state.iteration) == (signal.SIGTERM, iteration)
    assert (folder / f"iter_{iteration}").is_dir()
    assert iteration not in dict(rows(folder, "Evaluate/mIoU")), "left to the resumed run"
    second = run_training(config, run)
    assert second.signal is None
    assert replace(second.state, run="") == replace(whole, run="")
    for key in ("Train/loss", "Evaluate/mIoU"):
        assert rows(folder, key) == rows(tmp_path / "whole", key)
    assert_same(tmp_path / "whole" / "iter_6", folder / "iter_6")
    assert read_checkpoint(folder / "iter_6").state == second.state
    best, expected = (
        paddle.load(str(one / "best_model" / "model.pdparams")) for one in (folder, tmp_path / "whole")
    )
    for name, value in expected.items():
        np.testing.assert_array_equal(best[name].numpy(), value.numpy())


@pytest.mark.parametrize("use_vdl", [False, True])
def test_an_evaluation_that_the_checkpoint_does_not_know_leaves_no_rows_twice(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_vdl: bool
) -> None:
    """A signal, then kill −9 between the evaluation that a resumed run makes up for and its save."""
    config, folder = make_config("iters=4"), tmp_path / "run"
    options = {"do_eval": True, "save_interval": 2, "log_iters": 2, "use_vdl": use_vdl}
    whole = train(config, tmp_path / "whole", **options)
    folder.mkdir()
    run = TrainOptions(save_dir=folder, seed=3, resume_model="auto", **options)  # type: ignore[arg-type]
    with monkeypatch.context() as patch, Interrupts() as interrupts:
        send_at(patch, Validation, "__call__", 2)
        run_training(config, run, interrupts=interrupts)
    with monkeypatch.context() as patch:
        patch.setattr(hooks, "save_checkpoint", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_training(config, run)
    assert [iteration for iteration, _ in rows(folder, "Evaluate/mIoU")] == [2]
    assert replace(run_training(config, run).state, run="") == replace(whole, run="")
    for key in ("Train/loss", "Evaluate/mIoU"):
        assert rows(folder, key) == rows(tmp_path / "whole", key)
    if use_vdl:
        reader = pytest.importorskip("visualdl.reader.reader")
        (log,) = folder.glob("vdlrecords.*")
        shown = reader.LogReader(file_path=str(log)).get_data("scalar", "Evaluate/mIoU")
        assert [record.id for record in shown] == [2, 4]


def test_what_a_checkpoint_says_of_its_seed_agrees(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for last, (overrides, expected) in enumerate((([], 3), ([], 3), (["seed=8"], 8), ([], 8)), start=1):
        config = make_config(f"iters={last}", *overrides)
        state = train(config, folder, save_interval=1, resume_model="auto", force=True)
        checkpoint = read_checkpoint(folder / f"iter_{last}")
        assert (state.seed, checkpoint.state.seed, checkpoint.facts["config"]["seed"]) == (expected,) * 3


def test_early_stopping_begins_anew_in_another_folder(make_config: MakeConfig, tmp_path: Path) -> None:
    options = {"do_eval": True, "save_interval": 1, "early_stop_intervals": 2}
    still = make_config("lr_scheduler.learning_rate=0", "lr_scheduler.end_lr=0", "iters=50")
    stopped = train(still, tmp_path / "first", **options)
    first = tmp_path / "first" / f"iter_{stopped.iteration}"
    train(still, tmp_path / "second", resume_model=str(first), **options)
    evaluated = [iteration for iteration, _ in rows(tmp_path / "second", "Evaluate/mIoU")]
    assert evaluated[:2] == [stopped.iteration, stopped.iteration + 1]
    assert (tmp_path / "second" / "best_model").is_dir()


def test_auto_passes_over_a_damaged_checkpoint(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, folder = make_config(), tmp_path / "run"
    train(config, folder, resume_model="auto", save_interval=2)
    expected = tensors(folder / "iter_6")
    for name in ("iter_4", "iter_6"):
        (folder / name / "model.pdparams").write_bytes(b"cut")
    losses = rows(folder, "Train/loss")
    train(config, folder, resume_model="auto", save_interval=2)
    assert caplog.text.count("passed over") == 2
    for name, value in tensors(folder / "iter_6").items():
        np.testing.assert_array_equal(value, expected[name])
    assert rows(folder, "Train/loss") == losses


def test_another_config_is_refused_unless_forced(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    train(make_config("iters=2"), folder)
    other = make_config("iters=3", "batch_size=4", "worker_timeout=7")
    with pytest.raises(CheckpointError, match=r"config\.batch_size: 2 → 4\n  config\.iters: 2 → 3\nput"):
        train(other, folder, resume_model="auto")
    assert train(other, folder, resume_model="auto", force=True).iteration == 3
    assert "config.worker_timeout: 300.0 → 7 (does not change the result)" in caplog.text


def test_the_best_model_has_averaged_weights(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    state = train(make_config(use_ema=True, ema_decay=0.5), folder, do_eval=True)
    checkpoint = read_checkpoint(folder / f"iter_{state.best_iteration}")
    assert checkpoint.ema is not None
    best = paddle.load(str(folder / "best_model" / "model.pdparams"))
    assert best.keys() == checkpoint.ema.keys() == checkpoint.model.keys()
    for name, value in checkpoint.ema.items():
        np.testing.assert_array_equal(best[name].numpy(), value)
    assert (checkpoint.ema["conv.weight"] != checkpoint.model["conv.weight"]).any()


def test_averages_are_evaluated_and_training_goes_on_without_them(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    evaluated = []
    real = Validation.__call__

    def call(self: Validation, iteration: int) -> Any:
        evaluated.append(self._model.conv.weight.numpy().copy())
        return real(self, iteration)

    monkeypatch.setattr(Validation, "__call__", call)
    for folder, use_ema in ((plain, False), (averaged, True)):
        train(make_config(use_ema=use_ema), folder, do_eval=True)
    assert rows(plain, "Train/loss") == rows(averaged, "Train/loss")
    ema = read_checkpoint(averaged / "iter_6").ema
    assert ema is not None
    np.testing.assert_array_equal(evaluated[3], ema["conv.weight"])
    assert (evaluated[3] != evaluated[1]).any()


def test_an_epoch_has_fewer_iterations_that_take_more_images(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    train(make_config("batch_size=1", "accumulate=4", "iters=5"), tmp_path / "run")
    lines = [message for message in caplog.messages if message.startswith("[TRAIN]")]
    epochs = [re.match(r"\[TRAIN\] epoch: (\d), iter: (\d)/5,", line) for line in lines]
    # Eight images: two iterations an epoch.
    assert [one and one.groups() for one in epochs] == [*zip("11223", "12345", strict=True)]
    assert "[RUN] 4 images an iteration: batch_size 1 × processes 1 × accumulate 4" in caplog.messages


def test_the_learning_rate_to_scale_is_the_one_after_warm_up(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = {"warmup_iters": 4, "warmup_start_lr": 1e-5, "learning_rate": 0.05}
    config = make_config(global_batch_size=8, iters=1, lr_scheduler={"type": "PolynomialDecay", **schedule})
    train(config, tmp_path / "run")
    assert "from 0.05 to 0.0125" in warnings(caplog)[0]


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "OneCycleLR", "max_learning_rate": 0.05},
        {"type": "PiecewiseDecay", "boundaries": [3], "values": [0.05, 0.01], "warmup_iters": 2},
    ],
)
def test_several_learning_rates_to_scale_are_said_with_their_factor(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, schedule: dict[str, Any]
) -> None:
    """The first would be 0.002 and 0, and --learning_rate is not for these."""
    train(make_config(global_batch_size=8, iters=1, lr_scheduler=schedule), tmp_path / "run")
    (warning,) = warnings(caplog)
    assert "linear scaling would multiply every learning rate of the schedule by 0.25;" in warning
    assert "--learning_rate" not in warning


def test_another_global_batch_is_said_with_its_learning_rate(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(global_batch_size=8, iters=1)
    train(config, tmp_path / "run")
    (warning,) = warnings(caplog)
    assert "recipe has a global batch of 8" in warning
    assert "from 0.05 to 0.0125 (--learning_rate 0.0125); --accumulate auto keeps the batch" in warning
    caplog.clear()
    caplog.set_level(logging.INFO, "paddleseg")
    train(make_config(global_batch_size=8, iters=1, accumulate="auto"), tmp_path / "auto")
    assert "[RUN] 8 images an iteration: batch_size 2 × processes 1 × accumulate 4" in caplog.messages
    assert warnings(caplog) == []


def test_the_checkpoint_of_another_model_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    train(make_config("iters=1"), tmp_path / "first")
    other = make_config("train_dataset.num_classes=5", "val_dataset.num_classes=5")
    with pytest.raises(CheckpointError, match="cannot resume from"):
        train(other, tmp_path / "second", resume_model=str(tmp_path / "first" / "iter_1"))
    assert not list((tmp_path / "second").iterdir())


def test_a_new_run_leaves_the_checkpoints_of_an_old_one(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    train(make_config("iters=2"), folder, save_interval=1)
    assert "earlier run" not in caplog.text
    train(make_config("iters=5"), folder, save_interval=4, keep_checkpoint_max=1)
    assert "holds checkpoints of an earlier run" in caplog.text
    assert sorted(p.name for p in folder.glob("iter_*")) == ["iter_1", "iter_2", "iter_5"]


def test_a_run_whose_loss_overflows_stops_and_keeps_its_checkpoints(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config, folder = (
        make_config("lr_scheduler.learning_rate=1e30", "lr_scheduler.end_lr=1e30"),
        tmp_path / "run",
    )
    with pytest.raises(DataError, match=r"iteration 2: the loss is not finite \(loss: .*run.iter_1$"):
        train(config, folder, save_interval=1, log_iters=10)
    assert [p.name for p in folder.glob("iter_*")] == ["iter_1"]
    report = json.loads((folder / "non_finite" / "iter_2_rank_0.json").read_text("utf-8"))
    assert report["learning_rate"] == 1e30
    assert report["last_checkpoint"] == str(folder / "iter_1")
    assert [Path(name).suffix for name in report["files"]] == [".png"] * 2
    assert report["label_range"] == [0, 2]
    assert load_config(folder / "non_finite" / "config.yml").tree == config.tree


def test_steps_that_are_not_finite_can_be_left_out(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []

    def spoil(model: nn.Layer, inputs: Any, outputs: list[paddle.Tensor]) -> list[paddle.Tensor]:
        calls.append(1)
        return [output * (float("nan") if len(calls) in (2, 5) else 1.0) for output in outputs]

    def build(*args: Any, **named: Any) -> Any:
        model = build_model(*args, **named)
        model.register_forward_post_hook(spoil)
        return model

    monkeypatch.setattr(training, "build_model", build)
    folder = tmp_path / "run"
    state = train(make_config(on_non_finite="skip"), folder)
    assert (state.iteration, state.skipped_steps) == (6, 2)
    assert warnings(caplog)[-1] == "steps without finite numbers left out since the start of the run: 2"
    assert sorted(p.name for p in (folder / "non_finite").iterdir()) == [
        "config.yml",
        "iter_2_rank_0.json",
        "iter_5_rank_0.json",
    ]
    assert all(np.isfinite(value).all() for value in tensors(folder / "iter_6").values())


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_bad_samples_can_be_left_out(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    data = write_dataset(tmp_path / "data")
    (data / "images" / "3.png").write_bytes(b"no picture")
    config = make_config(
        *(
            f"train_dataset.{key}={data}{rest}"
            for key, rest in (("dataset_root", ""), ("train_path", "/list.txt"))
        ),
        "on_bad_sample=skip",
        "iters=8",
    )
    state = train(config, tmp_path / "run", num_workers=workers)
    assert state.skipped_samples == 2, "once in each of two epochs"
    skipped = [message for message in caplog.messages if message.startswith("skipped: ")]
    assert len(skipped) == 2
    assert str(data / "images" / "3.png") in skipped[0]
    assert warnings(caplog)[-1] == "bad samples left out since the start of the run: 2"


def test_recomputation_needs_a_model_that_can(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("recompute=True")
    with pytest.raises(
        ConfigError, match="recompute: TinySegmenter has no method enable_recompute; set it to"
    ):
        train(config, tmp_path / "run")


def test_recomputation_is_switched_on(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(TinySegmenter, "enable_recompute", lambda _: asked.append(1), raising=False)
    train(make_config("iters=1"), tmp_path / "without")
    assert asked == []
    train(make_config("iters=1", "recompute=True"), tmp_path / "with")
    assert asked == [1]


def test_a_resumed_run_needs_no_pretrained_weights(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def build(*args: Any, pretrained: bool, **named: Any) -> Any:
        asked.append(pretrained)
        return build_model(*args, pretrained=pretrained, **named)

    monkeypatch.setattr(training, "build_model", build)
    for _ in range(2):
        train(make_config("iters=1"), tmp_path / "run", resume_model="auto")
    assert asked == [True, False]


def test_the_start_is_told_after_the_first_step(make_config: MakeConfig, tmp_path: Path) -> None:
    told: list[int] = []
    folder = tmp_path / "run"
    folder.mkdir()

    def note(state: TrainState) -> None:
        assert [i for i, _ in rows(folder, "Train/loss")] == list(range(1, state.iteration + 1))
        told.append(state.iteration)

    for last in (3, 6, 6):
        options = TrainOptions(save_dir=folder, save_interval=3, log_iters=1, resume_model="auto", force=True)
        run_training(make_config(f"iters={last}"), options, on_start=note)
    assert told == [0, 3], "a run that has nothing left to do does not begin"


def test_a_run_without_gain_stops_early(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    still = make_config("lr_scheduler.learning_rate=0", "lr_scheduler.end_lr=0", "iters=50")
    state = train(still, tmp_path / "run", do_eval=True, save_interval=1, early_stop_intervals=3)
    assert 4 <= state.iteration < 50
    assert state.iteration - state.best_iteration == 3
    assert "[STOP]" in caplog.messages[-1]


@pytest.mark.parametrize("use_vdl", [False, True])
def test_a_grey_data_set_is_evaluated_and_drawn(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_vdl: bool
) -> None:
    drawn = []
    monkeypatch.setattr(VisualDLWriter, "picture", lambda self, name, picture, _: drawn.append(picture.shape))
    if not use_vdl:
        monkeypatch.setattr(validation, "side_by_side", None)  # nobody takes pictures: none is drawn
    normalize = "{type: Normalize, mean: [0.5], std: [0.5]}"
    config = make_config(
        "train_dataset.img_channels=1",
        "val_dataset.img_channels=1",
        "model.in_channels=1",
        f"train_dataset.transforms=[{{type: RandomPaddingCrop, crop_size: [48, 32]}}, {normalize}]",
        f"val_dataset.transforms=[{normalize}]",
        "iters=1",
    )
    state = train(config, tmp_path / "run", do_eval=True, use_vdl=use_vdl)
    assert state.best_iteration == 1
    assert drawn == ([(48, 3 * 64 + 2 * 2, 3)] * 4 if use_vdl else [])


def test_metrics_of_an_earlier_run_are_kept_apart(make_config: MakeConfig, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second, first):
        train(make_config("iters=2"), folder, save_interval=1)
    assert [i for i, _ in rows(first, "Train/loss")] == [1, 2]
    assert (first / "metrics.jsonl.1").is_file()
    train(make_config("iters=3"), first, save_interval=1, resume_model=str(first / "iter_1"), force=True)
    assert [i for i, _ in rows(first, "Train/loss")] == [1, 2, 3]
    train(make_config("iters=3"), second, save_interval=1, resume_model=str(first / "iter_2"))
    assert [i for i, _ in rows(second, "Train/loss")] == [3]


@pytest.mark.slow
def test_the_compiled_graph_trains_to_the_same_losses(make_config: MakeConfig, tmp_path: Path) -> None:
    # Dropout draws other numbers in a static graph.
    for name in ("False", "True"):
        config = make_config(f"to_static_training={name}", "model.dropout_prob=0.0")
        train(config, tmp_path / name, do_eval=True)
    for key in ("Train/loss", "Evaluate/mIoU"):
        expected, got = (np.array(rows(tmp_path / name, key)) for name in ("False", "True"))
        np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_compiled_graph_of_criss_cross_attention_takes_every_size(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    backbone = {"type": "ResNet18_vd", "output_stride": 32}
    config = make_config("to_static_training=True", model={"type": "CCNet", "backbone": backbone})
    network = training._make_network(config, TrainOptions(save_dir=tmp_path), Group(), None)
    network.model.train()
    for size in (65, 81):
        network.model.clear_gradients()
        outputs = network.sync.model(paddle.ones([1, 3, size, size]))
        assert [logits.shape for logits in outputs] == [[1, 4, size, size]] * 2
        (outputs[0].sum() + outputs[1].sum()).backward()
        trained = [value for value in network.model.parameters() if not value.stop_gradient]
        assert all(np.isfinite(value.grad.numpy()).all() for value in trained)
