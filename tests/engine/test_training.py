"""Whole training runs of a tiny model: files, determinism, resuming."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddleseg.build import build_schedule
from paddleseg.config.config import Config
from paddleseg.engine import training
from paddleseg.engine.checkpoint import TrainState
from paddleseg.engine.trainer import Trainer
from paddleseg.engine.training import TrainOptions, run_training
from paddleseg.engine.writers import VisualDLWriter
from paddleseg.errors import CheckpointError, DataError

MakeConfig = Callable[..., Config]


def train(config: Config, folder: Path, **options: Any) -> TrainState:
    folder.mkdir(exist_ok=True)
    settings = {"seed": 3, "log_iters": 1, "save_interval": 3} | options
    return run_training(config, TrainOptions(save_dir=folder, **settings))


def rows(folder: Path, key: str) -> list[tuple[int, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [(row["iter"], row[key]) for row in map(json.loads, lines) if key in row]


def tensors(folder: Path) -> dict[str, np.ndarray]:
    names = ("model.pdparams", "model.pdopt")
    state = {key: value for name in names for key, value in paddle.load(str(folder / name)).items()}
    return {key: np.asarray(value) for key, value in state.items()}


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

    def step(self: Trainer, batch: Any) -> None:
        if self.state.iteration == iteration - 1:
            raise KeyboardInterrupt
        real(self, batch)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize("optimizer", [{"type": "sgd", "momentum": 0.9}, {"type": "AdamW"}])
@pytest.mark.parametrize("target", ["first", "second"])
def test_resuming_equals_running_on(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: dict[str, Any],
    target: str,
) -> None:
    config = make_config(optimizer=optimizer)
    whole = train(config, tmp_path / "whole", do_eval=True)
    first, second = tmp_path / "first", tmp_path / target
    with monkeypatch.context() as patch:
        interrupt_before(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            train(config, first, do_eval=True)
    assert [i for i, _ in rows(first, "Train/loss")] == [1, 2, 3, 4]
    assert sorted(p.name for p in first.glob("iter_*")) == ["iter_3"]
    paddle.rand([5])
    state = train(config, second, seed=99, resume_model=first / "iter_3", do_eval=True)
    losses = dict(rows(first, "Train/loss")) | dict(rows(second, "Train/loss"))
    assert losses == dict(rows(tmp_path / "whole", "Train/loss"))
    assert_same(tmp_path / "whole" / "iter_6", second / "iter_6")
    assert state.seed == 3, "the checkpoint's seed goes on"
    assert state.best_miou == whole.best_miou
    assert (second / "best_model" / "model.pdparams").is_file()


def test_the_checkpoint_of_another_model_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    train(make_config("iters=1"), tmp_path / "first")
    other = make_config("train_dataset.num_classes=5", "val_dataset.num_classes=5")
    with pytest.raises(CheckpointError, match="cannot resume from"):
        train(other, tmp_path / "second", resume_model=tmp_path / "first" / "iter_1")
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
    config = make_config("lr_scheduler.learning_rate=1e30", "lr_scheduler.end_lr=1e30")
    with pytest.raises(DataError, match=r"iteration [23]: the loss is (nan|inf).*lower the learning"):
        train(config, tmp_path / "run", save_interval=1, log_iters=10)
    assert min(p.name for p in (tmp_path / "run").glob("iter_*")) == "iter_1"


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
        monkeypatch.setattr(training, "side_by_side", None)  # nobody takes pictures: none is drawn
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
    train(make_config("iters=3"), first, save_interval=1, resume_model=first / "iter_1")
    assert [i for i, _ in rows(first, "Train/loss")] == [1, 2, 3]
    train(make_config("iters=3"), second, save_interval=1, resume_model=first / "iter_2")
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
