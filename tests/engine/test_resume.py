"""Where a run begins: which checkpoint, for all processes, and what is told about it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.engine.checkpoint import Checkpoint, TrainState, save_best_model, save_checkpoint
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.group import Group
from paddleseg.engine.precision import LossScale, Precision
from paddleseg.engine.resume import AUTO, find_checkpoint, first_state, restore_run
from paddleseg.errors import CheckpointError

FACTS = {"world_size": 1, "platform": "x", "config": {"iters": 6, "optimizer": {"momentum": 0.9}}}


def make_parts(value: float) -> dict[str, Any]:
    """A model whose first bias and its average say which one it is."""
    model = TinySegmenter(2)
    ema = ModelEma(model)
    model.conv.bias.set_value(paddle.full([8], value))
    return {
        "model": model,
        "optimizer": paddle.optimizer.Momentum(parameters=model.parameters()),
        "ema": ema,
        "precision": Precision("fp16", loss_scale=LossScale(initial=2.0**8)),
    }


def save(folder: Path, iteration: int, *, facts: dict[str, Any] = FACTS, **state: Any) -> Path:
    parts = make_parts(float(iteration))
    parts["ema"].update(1)  # takes in half of it
    return save_checkpoint(
        folder,
        model=parts["model"],
        optimizer=parts["optimizer"],
        state=TrainState(iteration=iteration, seed=3, run="mine", **state),
        facts=facts,
        ema=parts["ema"].state_dict(),
    )


def find(wanted: str | None, folder: Path, **options: Any) -> Checkpoint | None:
    settings = {"facts": FACTS, "force": False, "group": Group()} | options
    return find_checkpoint(wanted, save_dir=folder, **settings)


@pytest.fixture(autouse=True)
def _hear(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")


def test_a_new_run_has_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 3)
    assert find(None, tmp_path) is None


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_auto_starts_anew_where_there_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert find(AUTO, tmp_path / name) is None
    assert caplog.messages == [f"[RESUME] {tmp_path / name} holds no checkpoint to go on from: starting anew"]


def test_auto_takes_the_newest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for iteration in (9, 10):
        save(tmp_path, iteration)
    found = find(AUTO, tmp_path)
    assert found is not None
    assert (found.folder, found.state.iteration) == (tmp_path / "iter_10", 10)
    assert caplog.messages == [f"[RESUME] {tmp_path / 'iter_10'}: going on after iteration 10, seed 3"]


def test_auto_passes_over_damaged_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for iteration in (3, 6, 9, 12):
        save(tmp_path, iteration)
    optimizer = tmp_path / "iter_12" / "model.pdopt"
    optimizer.write_bytes(optimizer.read_bytes()[:-9])
    (tmp_path / "iter_9" / "manifest.json").unlink()
    found = find(AUTO, tmp_path)
    assert found is not None
    assert found.folder == tmp_path / "iter_6"
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(":")[0] for message in warnings] == ["[RESUME] passed over"] * 2
    for message, parts in zip(
        warnings, (("iter_12", "model.pdopt"), ("iter_9", "manifest.json")), strict=True
    ):
        assert all(part in message for part in parts), message


def test_auto_starts_anew_where_all_are_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (save(tmp_path, 3) / "state.json").write_text("{")
    assert find(AUTO, tmp_path) is None
    assert "passed over" in caplog.messages[0]
    assert "starting anew" in caplog.messages[1]


def test_a_damaged_one_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, 3)
    folder = save(tmp_path, 6)
    (folder / "model.pdparams").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cannot resume from .*iter_6: .*model\.pdparams"):
        find(str(folder), tmp_path)


def test_a_run_that_differs_is_refused_with_the_list(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save(tmp_path, 3)
    other = {
        **FACTS,
        "world_size": 2,
        "platform": "y",
        "config": {"iters": 6, "optimizer": {"momentum": 0.5}},
    }
    for wanted in (str(folder), AUTO):
        with pytest.raises(CheckpointError) as caught:
            find(wanted, tmp_path, facts=other)
        lines = str(caught.value).splitlines()
        assert lines[1:3] == ["  config.optimizer.momentum: 0.9 → 0.5", "  world_size: 1 → 2"]
        assert len(lines) == 4, "the platform is no reason to refuse"
        assert "--force" in lines[-1]
    caplog.clear()
    found = find(str(folder), tmp_path, facts=other, force=True)
    assert found is not None
    assert "[RESUME] world_size: 1 → 2 (changes the result)" in caplog.messages
    assert '[RESUME] platform: "x" → "y" (may change low-order bits)' in caplog.messages


@pytest.mark.parametrize("wanted", [AUTO, "iter_3"])
def test_a_run_that_differs_goes_on_under_a_name_of_its_own(tmp_path: Path, wanted: str) -> None:
    folder, other = save(tmp_path, 3), {**FACTS, "world_size": 2}
    save(tmp_path / "elsewhere", 9)
    where = AUTO if wanted == AUTO else str(folder)
    names = []
    for facts, force in ((FACTS, False), (FACTS, True), ({**FACTS, "platform": "y"}, True), (other, True)):
        found = find(where, tmp_path, facts=facts, force=force)
        assert found is not None
        names.append(found.state.run)
    assert names[:3] == ["mine"] * 3, "the result is the same"
    assert names[3] not in ("", "mine")


def test_a_run_without_a_name_gets_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One of version 0.1: its checkpoints would never be cleared away."""
    folder = save(tmp_path, 3)
    for name in ("manifest.json", "run.json", "ema.pdparams"):
        (folder / name).unlink()
    (folder / "state.json").write_text('{"iteration": 3, "seed": 5}')
    names = {find(str(folder), tmp_path).state.run for _ in range(2)}  # type: ignore[union-attr]
    assert len(names) == 2
    assert "" not in names


@pytest.mark.parametrize(
    ("seed", "force", "expected"),
    [(None, False, 3), (3, False, 3), (None, True, 3), (8, True, 8), (0, True, 0)],
)
def test_a_seed_that_is_forced_counts(tmp_path: Path, seed: int | None, force: bool, expected: int) -> None:
    def with_seed(value: int | None) -> dict[str, Any]:
        return {**FACTS, "config": {**FACTS["config"], "seed": value}}  # type: ignore[dict-item]

    folder = save(tmp_path, 6, facts=with_seed(3))
    found = find(str(folder), tmp_path, facts=with_seed(seed), force=force)
    assert found is not None
    assert found.state.seed == expected
    assert (found.state.run == "mine") == (expected == 3)
    if force and expected != 3:
        with pytest.raises(CheckpointError, match=rf"config\.seed: 3 → {expected}\n"):
            find(str(folder), tmp_path, facts=with_seed(seed))


def test_one_that_was_asked_for_is_brought_back(tmp_path: Path) -> None:
    """What the killed process left beside it goes, but not what a run at work in another folder has there."""
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        save(folder, 3).rename(folder / ".iter_3.replaced")
        (folder / ".iter_3.unfinished").mkdir()
        (folder / ".iter_6.unfinished").mkdir()
        found = find(str(folder / "iter_3"), own)
        assert found is not None
        assert found.state.iteration == 3
    assert {p.name for p in own.iterdir()} == {"iter_3"}
    assert {p.name for p in other.iterdir()} == {"iter_3", ".iter_3.unfinished", ".iter_6.unfinished"}


def test_a_best_model_that_stepped_aside_counts(tmp_path: Path) -> None:
    folder = save(tmp_path, 6, best_miou=0.5, best_iteration=3, evaluated_at=6)
    (tmp_path / ".best_model.replaced").mkdir()
    for wanted in (str(folder), AUTO):
        found = find(wanted, tmp_path)
        assert found is not None
        assert (found.state.best_iteration, found.state.evaluated_at) == (3, 6)


def test_the_best_model_counts_where_it_is(tmp_path: Path) -> None:
    folder = save(tmp_path, 6, best_miou=0.5, best_iteration=3, evaluated_at=6)
    save_best_model(tmp_path, weights=TinySegmenter(2).state_dict(), state=TrainState())
    here, elsewhere = find(str(folder), tmp_path), find(str(folder), tmp_path / "other")
    assert here is not None
    assert elsewhere is not None
    assert (here.state.best_miou, here.state.best_iteration, here.state.evaluated_at) == (0.5, 3, 6)
    # As if it had never been evaluated, or early stopping would end it at once.
    state = elsewhere.state
    assert (state.best_miou, state.best_iteration, state.evaluated_at) == (-1.0, 0, 0)


def test_evaluations_without_a_best_model_are_not_repeated(tmp_path: Path) -> None:
    """Where no label counted, there is no best model."""
    found = find(str(save(tmp_path, 6, evaluated_at=6)), tmp_path)
    assert found is not None
    assert found.state.evaluated_at == 6


class Wire(Group):
    """Hands what the first process broadcasts to the second."""

    sent: Any = None

    def __init__(self, rank: int) -> None:
        super().__init__(rank, 2)

    def broadcast(self, value: Any = None) -> Any:
        if self.is_main:
            Wire.sent = value
        return Wire.sent


def test_the_other_processes_need_no_folder(tmp_path: Path) -> None:
    folder = save(tmp_path, 6, loss_scale={"loss_scale": 2.0, "good_steps": 1})
    main = find(str(folder), tmp_path, group=Wire(0))
    other = find("/on/another/machine/iter_6", tmp_path / "missing", group=Wire(1))
    assert main is not None
    assert other is not None
    assert other.state == main.state
    parts = make_parts(0.0)
    restore_run(other, **parts)
    assert parts["model"].conv.bias.numpy().tolist() == [6.0] * 8
    assert find(None, tmp_path, group=Wire(0)) is None
    assert find(None, tmp_path, group=Wire(1)) is None


def test_everything_that_has_a_state_is_filled(tmp_path: Path) -> None:
    found = find(str(save(tmp_path, 6, loss_scale={"loss_scale": 2.0, "good_steps": 1})), tmp_path)
    assert found is not None
    parts = make_parts(0.0)
    before = parts["ema"].state_dict()["conv.bias"].numpy()
    restore_run(found, **parts)
    np.testing.assert_array_equal(parts["model"].conv.bias.numpy(), [6.0] * 8)
    assert (parts["ema"].state_dict()["conv.bias"].numpy() != before).all()
    assert (parts["ema"].state_dict()["conv.bias"].numpy() > 2).all()
    assert parts["precision"].loss_scale == 2.0


def test_averages_on_one_side_only_are_refused(tmp_path: Path) -> None:
    found = find(str(save(tmp_path, 6)), tmp_path)
    assert found is not None
    with pytest.raises(CheckpointError, match=r"iter_6: the checkpoint has averaged weights \(use_ema\) and"):
        restore_run(found, **(make_parts(0.0) | {"ema": None}))


def test_another_precision_has_its_own_loss_scale(tmp_path: Path) -> None:
    scaled = {"loss_scale": 2.0, "good_steps": 1}
    for saved, precision in (({}, "fp16"), (scaled, "bf16"), (scaled, "fp32")):
        found = find(str(save(tmp_path, 6, loss_scale=saved)), tmp_path)
        assert found is not None
        parts = make_parts(0.0) | {"precision": Precision(precision)}
        restore_run(found, **parts)
        assert parts["precision"].state_dict() == Precision(precision).state_dict()


def test_a_new_run_has_a_name_and_its_seed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = first_state(7, tmp_path), first_state(7, tmp_path)
    assert (one.iteration, one.seed, one.best_miou) == (0, 7, -1)
    assert one.run != other.run
    assert one.run
    assert not caplog.messages
    save(tmp_path, 3)
    first_state(7, tmp_path)
    assert "holds checkpoints of an earlier run" in caplog.text
    assert "--resume_model auto" in caplog.text
