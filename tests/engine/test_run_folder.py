"""Which checkpoint a run goes on from, and which are its own."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.engine import manifest
from paddleseg.engine.checkpoint import TrainState, save_checkpoint
from paddleseg.engine.run_folder import newest_good_checkpoint, run_checkpoints

WRITTEN = 1e9


@pytest.fixture(autouse=True)
def _a_second_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes on by a second whenever somebody looks at it."""
    ticks = iter(range(1, 1000))
    monkeypatch.setattr(manifest.time, "time", lambda: WRITTEN + next(ticks))


def save(folder: Path, *checkpoints: tuple[int, str]) -> None:
    model = TinySegmenter(2)
    optimizer = paddle.optimizer.SGD(parameters=model.parameters())
    for number, run in checkpoints:
        state = TrainState(iteration=number, run=run)
        save_checkpoint(folder, model=model, optimizer=optimizer, state=state, facts={"x": 1})


def found(folder: Path) -> tuple[str | None, list[str]]:
    """Names of the checkpoint that is taken, and of those that are damaged."""
    checkpoint, damaged = newest_good_checkpoint(folder)
    starts = [line.split(": ")[0].removeprefix(f"cannot resume from {folder}/") for line in damaged]
    return None if checkpoint is None else checkpoint.folder.name, starts


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def test_only_the_runs_own_checkpoints_are_listed_by_number(tmp_path: Path) -> None:
    save(tmp_path, (10, "a"), (9, "a"), (3, "b"), (4, ""))
    for name in ("iter_5", "iter_x", "iter_²"):
        (tmp_path / name).mkdir()
    assert list(run_checkpoints(tmp_path, "a").items()) == [
        (9, tmp_path / "iter_9"),
        (10, tmp_path / "iter_10"),
    ]
    assert run_checkpoints(tmp_path, "") == {}


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert found(tmp_path / "missing") == found(tmp_path) == (None, [])


def test_what_is_found_has_been_read(tmp_path: Path) -> None:
    save(tmp_path, (3, "a"))
    checkpoint, _ = newest_good_checkpoint(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.state.iteration, checkpoint.facts) == (3, {"x": 1})
    assert checkpoint.model.keys() == TinySegmenter(2).state_dict().keys()


def test_the_newest_good_one_of_the_run_that_wrote_last_is_taken(tmp_path: Path) -> None:
    save(tmp_path, (90, "old"), (100, "old"), (9, "new"), (10, "new"))
    assert found(tmp_path) == ("iter_10", [])
    cut(tmp_path / "iter_10/model.pdopt")
    assert found(tmp_path) == ("iter_9", ["iter_10"])
    # Counters that cannot be read do not tell the run: the folder is named all the same.
    (tmp_path / "iter_10/state.json").write_bytes(b"")
    assert found(tmp_path) == ("iter_9", ["iter_10"])


def test_the_run_before_counts_where_all_of_the_last_one_are_damaged(tmp_path: Path) -> None:
    save(tmp_path, (2, "oldest"), (90, "old"), (100, "old"), (9, "new"), (10, "new"))
    for number, expected in ((10, "iter_9"), (9, "iter_100"), (100, "iter_90"), (90, "iter_2"), (2, None)):
        cut(tmp_path / f"iter_{number}/model.pdparams")
        assert found(tmp_path)[0] == expected
    assert found(tmp_path)[1] == ["iter_10", "iter_9", "iter_100", "iter_90", "iter_2"]


def test_a_branch_is_followed_though_the_run_it_left_is_further(tmp_path: Path) -> None:
    save(tmp_path, (3, "a"), (6, "a"), (9, "a"), (6, "branch"))
    assert found(tmp_path) == ("iter_6", [])


def test_what_a_killed_process_had_moved_aside_is_brought_back(tmp_path: Path) -> None:
    save(tmp_path, (1, "a"))
    (tmp_path / "iter_1").rename(tmp_path / ".iter_1.replaced")
    (tmp_path / ".iter_1.unfinished").mkdir()
    assert found(tmp_path) == ("iter_1", [])
    assert [p.name for p in tmp_path.iterdir()] == ["iter_1"]


def test_names_that_lead_nowhere_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path, (1, "a"))
    (tmp_path / "iter_2").symlink_to("missing")
    (tmp_path / "iter_3").write_text("a file")
    (tmp_path / "iter_4").mkdir()
    assert found(tmp_path) == ("iter_1", ["iter_4", "iter_3", "iter_2"])
