"""Checkpoints: what comes back, what is refused, and that nothing is lost when writing fails."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name
from small_task import TinySegmenter

from paddleseg.engine.checkpoint import (
    TrainState,
    load_checkpoint,
    run_checkpoints,
    save_best_model,
    save_checkpoint,
)
from paddleseg.errors import CheckpointError, OutputError

Parts = tuple[TinySegmenter, paddle.optimizer.Optimizer]
Optimizers = Callable[..., paddle.optimizer.Optimizer]


def make(steps: int = 0, *, seed: int = 0, optimizer: Optimizers = paddle.optimizer.Momentum) -> Parts:
    paddle.seed(seed)
    model = TinySegmenter(3)
    updates = optimizer(learning_rate=0.1, parameters=model.parameters())
    for _ in range(steps):
        sum(logits.mean() for logits in model(paddle.randn([2, 3, 8, 8]))).backward()
        updates.step()
        updates.clear_grad()
    return model, updates


def arrays(state: dict[str, paddle.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in state.items()}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.fixture(autouse=True)
def _fresh_names() -> object:
    with unique_name.guard():
        yield


@pytest.mark.parametrize("optimizer", [paddle.optimizer.Momentum, paddle.optimizer.AdamW])
def test_weights_buffers_and_counters_come_back(tmp_path: Path, optimizer: Optimizers) -> None:
    model, updates = make(2, optimizer=optimizer)
    written = TrainState(iteration=2, seed=5, best_miou=0.25, best_iteration=1, run="a")
    folder = save_checkpoint(tmp_path, model=model, optimizer=updates, state=written)
    assert folder == tmp_path / "iter_2"
    assert sorted(p.name for p in folder.iterdir()) == ["model.pdopt", "model.pdparams", "state.json"]

    with unique_name.guard():
        other, restored = make(seed=1, optimizer=optimizer)
        state = load_checkpoint(folder, model=other, optimizer=restored)
        assert state == written
        assert_same(arrays(model.state_dict()), arrays(other.state_dict()))
        for layer, steps in ((model, updates), (other, restored)):
            paddle.seed(9)
            sum(logits.mean() for logits in layer(paddle.randn([2, 3, 8, 8]))).backward()
            steps.step()
    kept = arrays(updates.state_dict())
    assert any(np.abs(value).max() > 0 for value in kept.values())
    assert_same(kept, arrays(restored.state_dict()))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"iteration": "two"}', '{"iterations": 2}', '{"best_miou": null}']
)
def test_damaged_counters_are_reported(tmp_path: Path, text: str) -> None:
    model, updates = make(1)
    folder = save_checkpoint(tmp_path, model=model, optimizer=updates, state=TrainState(iteration=1))
    (folder / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"state\.json is damaged"):
        load_checkpoint(folder, model=model, optimizer=updates)


@pytest.mark.parametrize("name", ["model.pdparams", "model.pdopt", "state.json"])
def test_a_missing_or_broken_file_is_reported(tmp_path: Path, name: str) -> None:
    model, updates = make(1)
    folder = save_checkpoint(tmp_path, model=model, optimizer=updates, state=TrainState(iteration=1))
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cannot resume from"):
        load_checkpoint(folder, model=model, optimizer=updates)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"there is no {name}"):
        load_checkpoint(folder, model=model, optimizer=updates)


def test_buffers_of_another_optimizer_are_refused(tmp_path: Path) -> None:
    model, updates = make(1, optimizer=paddle.optimizer.AdamW)
    folder = save_checkpoint(tmp_path, model=model, optimizer=updates, state=TrainState(iteration=1))
    with unique_name.guard():
        other, momentum = make()
        with pytest.raises(CheckpointError, match=r"moment1.*another config"):
            load_checkpoint(folder, model=other, optimizer=momentum)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("fails_at", ["model.pdopt", "rename"])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool, fails_at: str
) -> None:
    model, updates = make(1)
    state = TrainState(iteration=1)
    if earlier:
        save_checkpoint(tmp_path, model=model, optimizer=updates, state=state)
    before = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    real_save, real_rename = paddle.save, Path.rename

    def save(value: object, path: str) -> None:
        if path.endswith(fails_at):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real_save(value, path)

    def rename(self: Path, target: Path) -> Path:
        if fails_at == "rename" and self.name.endswith(".new"):
            raise OSError(errno.EIO, "Input/output error")
        return real_rename(self, target)

    monkeypatch.setattr(paddle, "save", save)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OutputError, match=r"iter_1: .*earlier checkpoints are untouched"):
        save_checkpoint(tmp_path, model=model, optimizer=updates, state=state)
    after = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == before
    assert sorted(p.name for p in tmp_path.iterdir()) == (["iter_1"] if earlier else [])


def test_the_old_checkpoint_is_there_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, updates = make(1)
    state = TrainState(iteration=1)
    save_checkpoint(tmp_path, model=model, optimizer=updates, state=state)
    real = shutil.rmtree

    def rmtree(path: Path, **options: bool) -> None:
        complete = [p.parent.name for p in tmp_path.glob("*/state.json") if p.parent != path]
        assert not path.exists() or "iter_1" in complete
        real(path, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    state.best_miou = 0.5
    folder = save_checkpoint(tmp_path, model=model, optimizer=updates, state=state)
    assert json.loads((folder / "state.json").read_text("utf-8"))["best_miou"] == 0.5
    assert [p.name for p in tmp_path.iterdir()] == ["iter_1"]


def test_the_best_model_is_replaced(tmp_path: Path) -> None:
    model, _ = make()
    for miou in (0.1, 0.2):
        folder = save_best_model(tmp_path, model=model, state=TrainState(best_miou=miou))
    assert sorted(p.name for p in folder.iterdir()) == ["model.pdparams", "state.json"]
    assert json.loads((folder / "state.json").read_text("utf-8"))["best_miou"] == 0.2


def test_only_the_runs_own_checkpoints_are_listed_by_number(tmp_path: Path) -> None:
    model, updates = make(1)
    for number, run in ((10, "a"), (9, "a"), (3, "b"), (4, "")):
        state = TrainState(iteration=number, run=run)
        save_checkpoint(tmp_path, model=model, optimizer=updates, state=state)
    (tmp_path / "iter_5").mkdir()
    (tmp_path / "iter_x").mkdir()
    assert list(run_checkpoints(tmp_path, "a").items()) == [
        (9, tmp_path / "iter_9"),
        (10, tmp_path / "iter_10"),
    ]
    assert run_checkpoints(tmp_path, "") == {}
