"""Checkpoints: what comes back, what is refused, and that nothing is lost when writing fails."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name
from small_task import TinySegmenter

import paddleseg.optim  # noqa: F401 - registers
from paddleseg.engine.checkpoint import (
    Checkpoint,
    TrainState,
    read_checkpoint,
    restore,
    save_best_model,
    save_checkpoint,
)
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.run_folder import newest_good_checkpoint, run_checkpoints
from paddleseg.errors import CheckpointError, OutputError
from paddleseg.registry import OPTIMIZERS

FILES = ["manifest.json", "model.pdopt", "model.pdparams", "run.json", "state.json"]
FACTS = {"config": {"iters": 6}, "world_size": 1}
OPTIONS = {"sgd": {"momentum": 0.9}, "SGD": {}, "Momentum": {"use_nesterov": True}, "AdamW": {}}

Parts = tuple[TinySegmenter, paddle.optimizer.Optimizer]


def make(steps: int = 0, *, seed: int = 0, optimizer: str = "sgd") -> Parts:
    paddle.seed(seed)
    model = TinySegmenter(3)
    updates = OPTIMIZERS.get(optimizer)(model, 0.1, weight_decay=0.01, **OPTIONS[optimizer])
    for _ in range(steps):
        train(model, updates)
    return model, updates


def train(model: TinySegmenter, updates: paddle.optimizer.Optimizer) -> None:
    sum(logits.mean() for logits in model(paddle.randn([2, 3, 8, 8]))).backward()
    updates.step()
    updates.clear_grad()


def save(folder: Path, number: int = 1, *, parts: Parts | None = None, **options: Any) -> Path:
    model, updates = parts or make(1)
    state = TrainState(iteration=number, run=options.pop("run", "a"))
    return save_checkpoint(folder, model=model, optimizer=updates, state=state, facts=FACTS, **options)


def bits(state: dict[str, paddle.Tensor]) -> dict[str, tuple[str, bytes]]:
    return {name: (str(value.dtype), value.numpy().tobytes()) for name, value in state.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(autouse=True)
def _fresh_names() -> object:
    with unique_name.guard():
        yield


# --- what comes back ---


@pytest.mark.parametrize("optimizer", sorted(OPTIONS))
def test_everything_comes_back_bit_by_bit_and_goes_on_alike(tmp_path: Path, optimizer: str) -> None:
    model, updates = make(2, optimizer=optimizer)
    ema = ModelEma(model)
    train(model, updates)
    ema.update(2)
    written = TrainState(
        iteration=2,
        seed=5,
        best_miou=0.1 + 0.2,
        best_iteration=1,
        run="a",
        evaluated_at=2,
        skipped_steps=3,
        skipped_samples=4,
        loss_scale={"scale": 32768.0, "good_steps": 7},
        schedule={"reductions": 1, "best_loss": 0.1 + 0.2},
    )
    folder = save_checkpoint(
        tmp_path, model=model, optimizer=updates, state=written, facts=FACTS, ema=ema.state_dict()
    )
    assert folder == tmp_path / "iter_2"
    assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, "ema.pdparams"])

    with unique_name.guard():
        other, restored = make(seed=1, optimizer=optimizer)
        averages = ModelEma(other)
        checkpoint = read_checkpoint(folder)
        restore(checkpoint, model=other, optimizer=restored, ema=averages)
    assert (checkpoint.state, checkpoint.facts) == (written, FACTS)
    assert bits(other.state_dict()) == bits(model.state_dict())
    assert bits(averages.state_dict()) == bits(ema.state_dict()) != bits(model.state_dict())
    # An optimiser takes its buffers at its first step, so their bits are compared after one.
    for layer, steps in ((model, updates), (other, restored)):
        paddle.seed(9)
        train(layer, steps)
    slots = {"SGD": 0, "sgd": 1, "Momentum": 1, "AdamW": 4}[optimizer]
    kept = bits(updates.state_dict())
    assert len(kept) == slots * sum(not p.stop_gradient for p in model.parameters())
    assert bits(restored.state_dict()) == kept
    assert bits(other.state_dict()) == bits(model.state_dict())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights_and_their_master_weights_keep_their_bits(tmp_path: Path, dtype: str) -> None:
    """The state that O2 leaves: narrow weights, float32 copies and buffers named after the copies."""

    def parts(seed: int) -> tuple[Parts, paddle.Tensor]:
        (model, updates), generator = make(seed=seed), np.random.default_rng(seed)
        model.to(dtype=dtype)
        weight = model.conv.weight
        weight.set_value(paddle.to_tensor(generator.normal(size=weight.shape)).astype(dtype))
        updates._multi_precision = True
        master = updates._create_master_weight(weight)
        velocity = updates._add_accumulator(updates._velocity_acc_str, master)
        for tensor in (master, velocity):
            tensor.set_value(generator.normal(size=weight.shape).astype("float32"))
        return (model, updates), velocity

    (model, updates), velocity = parts(0)
    folder = save(tmp_path, parts=(model, updates))
    with unique_name.guard():
        (other, restored), other_velocity = parts(1)
        restore(read_checkpoint(folder), model=other, optimizer=restored)
    assert str(other.conv.weight.dtype) == f"paddle.{dtype}"
    assert bits(other.state_dict()) == bits(model.state_dict())
    first, second = updates._master_weights, restored._master_weights
    assert bits(second) == bits(first)
    assert [tensor.name for tensor in second.values()] == [tensor.name for tensor in first.values()]
    assert bits({"v": other_velocity}) == bits({"v": velocity})


def test_what_is_written_is_what_paddle_loads(tmp_path: Path) -> None:
    """As PaddleSeg does: its resume() calls paddle.load for both files."""
    model, updates = make(2)
    folder = save(tmp_path, parts=(model, updates))
    assert bits(paddle.load(str(folder / "model.pdparams"))) == bits(model.state_dict())
    assert bits(paddle.load(str(folder / "model.pdopt"))) == bits(updates.state_dict())


def test_a_checkpoint_of_version_0_1_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, updates = make(1)
    paddle.save(model.state_dict(), str(tmp_path / "iter_7/model.pdparams"))
    paddle.save(updates.state_dict(), str(tmp_path / "iter_7/model.pdopt"))
    old = {"iteration": 7, "seed": 1, "best_miou": 0.5, "best_iteration": 7, "run": "a"}
    (tmp_path / "iter_7/state.json").write_text(json.dumps(old))
    checkpoint = read_checkpoint(tmp_path / "iter_7")
    assert (checkpoint.facts, checkpoint.ema) == ({}, None)
    assert checkpoint.state == TrainState(iteration=7, seed=1, best_miou=0.5, best_iteration=7, run="a")
    restore(checkpoint, model=model, optimizer=updates)
    assert "without checksums" in caplog.text
    found, damaged = newest_good_checkpoint(tmp_path)
    assert found is not None
    assert (found.folder, damaged) == (tmp_path / "iter_7", [])


# --- what is refused ---


def assert_damage_is_named(folder: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    message = str(caught.value)
    assert message.startswith(f"cannot resume from {folder}: ")
    assert name in message
    assert newest_good_checkpoint(folder.parent) == (None, [message])


@pytest.mark.parametrize("name", FILES)
def test_cut_and_missing_files_are_named(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path)
    data = (folder / name).read_bytes()
    for length in sorted({0, 1, 2, 7, 50, len(data) // 2, len(data) - 2, len(data) - 1}):
        (folder / name).write_bytes(data[:length])
        assert_damage_is_named(folder, name)
    (folder / name).unlink()
    assert_damage_is_named(folder, f"there is no {name}")


def test_random_corruption_is_always_detected_and_named(tmp_path: Path) -> None:
    folder = save(tmp_path)
    rng = np.random.default_rng(0)
    for index in range(60):
        name = FILES[index % len(FILES)]
        data = (folder / name).read_bytes()
        damaged = bytearray(data)
        first = int(rng.integers(len(data)))
        for position in range(first, min(len(data), first + int(rng.integers(1, 40)))):
            damaged[position] ^= int(rng.integers(1, 256))
        (folder / name).write_bytes(damaged)
        assert_damage_is_named(folder, name)
        (folder / name).write_bytes(data)
    read_checkpoint(folder)


def test_a_checkpoint_with_code_in_it_runs_nothing(tmp_path: Path) -> None:
    """Also where its author has made the manifest fit."""
    folder = save(tmp_path)
    canary = tmp_path / "canary"
    (folder / "model.pdopt").write_bytes(b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    for name in ("manifest.json", "run.json"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"model\.pdopt: refused.*'os\.system'"):
        read_checkpoint(folder)
    assert not canary.exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"iteration": "two"}',
        '{"iterations": 2}',
        '{"best_miou": null}',
        '{"loss_scale": {"scale": "x"}}',
        '{"schedule": {"best_loss": "x"}}',
        '{"seed": true}',
        "[]",
        "[" * 100_000,
    ],
)
def test_counters_of_another_kind_are_refused(tmp_path: Path, text: str) -> None:
    folder = save(tmp_path)
    for name in ("manifest.json", "run.json"):
        (folder / name).unlink()
    (folder / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"state\.json is damaged"):
        read_checkpoint(folder)


def changed(checkpoint: Checkpoint, **values: Any) -> Checkpoint:
    return Checkpoint(**{**vars(checkpoint), **values})


def test_another_model_or_optimizer_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    folder = save(tmp_path, parts=make(1, optimizer="AdamW"))
    checkpoint = read_checkpoint(folder)
    with unique_name.guard():
        model, adam = make(seed=3, optimizer="AdamW")
        before = bits(model.state_dict())
        for wrong, expected in (
            ({"model": {}}, "model.pdparams lacks 'conv.weight'"),
            ({"optimizer": {"x_moment1_0": np.zeros(1)}}, "model.pdopt holds 'x_moment1_0'"),
            (
                {"ema": checkpoint.model},
                "the checkpoint has averaged weights (use_ema) and this run has none",
            ),
        ):
            with pytest.raises(CheckpointError) as caught:
                restore(changed(checkpoint, **wrong), model=model, optimizer=adam)
            assert f"cannot resume from {folder}: {expected}" in str(caught.value)
        with pytest.raises(CheckpointError, match="this run has averaged weights"):
            restore(checkpoint, model=model, optimizer=adam, ema=ModelEma(model))
        with pytest.raises(CheckpointError, match=r"ema\.pdparams lacks"):
            restore(changed(checkpoint, ema={}), model=model, optimizer=adam, ema=ModelEma(model))
    with unique_name.guard():
        _, momentum = make()
        with pytest.raises(CheckpointError, match=r"moment.*another config"):
            restore(checkpoint, model=model, optimizer=momentum)
    assert bits(model.state_dict()) == before


# --- writing fails ---


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("limit", [0, 1000, 4000], ids=["at once", "parameters", "buffers"])
def test_a_full_disk_loses_nothing(tmp_path: Path, earlier: bool, limit: int) -> None:
    """The system refuses what goes over a file's limit, as it does when the disk is full."""
    parts = make(1, optimizer="AdamW")
    if earlier:
        save(tmp_path, parts=parts)
    before = contents(tmp_path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        with pytest.raises(OutputError, match=r"iter_1: .*File too large.*earlier checkpoints are untouched"):
            save(tmp_path, parts=parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == (["iter_1"] if earlier else [])


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(paddle, "save", fail)
    with pytest.raises(OutputError, match=r"iter_1: .*No space left on device.*untouched"):
        save(tmp_path, parts=make())


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        save_best_model(tmp_path / "taken", weights=make()[0].state_dict(), state=TrainState())


@pytest.mark.slow
def test_a_process_killed_while_it_saves_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = make(1)
    interrupted = 0
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        pid = os.fork()
        if pid == 0:
            _save_forever(folder, parts)
        while not (folder / "best_model").exists():
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0, 0.1)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        interrupted += any(p.name.startswith(".") for p in folder.iterdir())
        newest, damaged = newest_good_checkpoint(folder)
        assert newest is not None
        assert damaged == []
        assert newest.state.iteration == max(run_checkpoints(folder, "a"))
        assert all(p.name == "best_model" or p.name.startswith("iter_") for p in folder.iterdir())
        assert (folder / "best_model" / "manifest.json").is_file()
    assert interrupted > 10


def _save_forever(folder: Path, parts: Parts) -> NoReturn:
    """In a child process, until it is killed; every second save replaces an earlier folder."""
    try:
        for number in itertools.count(1):
            for target in (number, max(1, number - 1)):
                save(folder, target, parts=parts)
            save_best_model(folder, weights=parts[0].state_dict(), state=TrainState())
    finally:
        os._exit(1)


def test_the_best_model_is_replaced(tmp_path: Path) -> None:
    model, _ = make()
    for miou in (0.1, 0.2):
        weights = {name: value * miou for name, value in model.state_dict().items()}
        folder = save_best_model(tmp_path, weights=weights, state=TrainState(best_miou=miou))
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.pdparams", "state.json"]
    assert json.loads((folder / "state.json").read_text("utf-8")) == asdict(TrainState(best_miou=0.2))
    assert bits(paddle.load(str(folder / "model.pdparams"))) == bits(weights)
