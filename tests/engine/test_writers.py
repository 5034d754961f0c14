"""Metric files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paddleseg.engine.writers import JsonLinesWriter, VisualDLWriter
from paddleseg.errors import OutputError


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["iter"] for line in path.read_text("utf-8").splitlines()]


def write(path: Path, *iterations: int, resumed_at: int | None = None) -> None:
    writer = JsonLinesWriter(path, resumed_at=resumed_at)
    for iteration in iterations:
        writer.scalars({"Train/loss": 0.5}, iteration)
    writer.close()


def test_a_json_line_an_iteration(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = JsonLinesWriter(path)
    for iteration in (1, 2):
        writer.scalars({"Train/loss": 0.5, "Evaluate/mIoU": float("nan")}, iteration)
        assert len(path.read_text("utf-8").splitlines()) == iteration, "lines are there at once"
    writer.close()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert rows == [{"iter": i, "Train/loss": 0.5, "Evaluate/mIoU": None} for i in (1, 2)]


def test_a_new_run_leaves_the_rows_of_earlier_ones_aside(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for iteration in (1, 2, 3):
        write(path, iteration)
    contents = {p.name: numbers(p) for p in tmp_path.iterdir()}
    assert contents == {"metrics.jsonl": [3], "metrics.jsonl.1": [1], "metrics.jsonl.2": [2]}


def test_a_resumed_run_goes_on_after_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 1, 2, 3, 4)
    with path.open("a") as file:
        file.write('{"iter": 2, "Train/lo')  # cut short by a crash
    write(path, 3, resumed_at=2)
    assert numbers(path) == [1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        JsonLinesWriter(tmp_path / "missing" / "metrics.jsonl")
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OutputError, match="No space left"):
        JsonLinesWriter(full).scalars({"a": 1.0}, 1)


def test_visualdl_takes_numbers_pictures_and_odd_names(tmp_path: Path) -> None:
    reader = pytest.importorskip("visualdl.reader.reader")
    writer = VisualDLWriter(tmp_path)
    writer.scalars({"Train/loss": 0.25, "Evaluate/IoU/100% wool": 0.5, "Evaluate/Kappa": float("nan")}, 3)
    writer.picture("Evaluate/0", np.full((4, 6, 3), 9, dtype=np.uint8), 3)
    writer.close()
    (file,) = tmp_path.glob("vdlrecords.*.log")
    log = reader.LogReader(file_path=str(file))
    kinds = {Path(tag).name.replace("%", "/"): kind for tag, kind in log.tags().items()}
    kinds.pop("meta_data_tag")
    assert kinds == {"Train/loss": "scalar", "Evaluate/IoU/100_ wool": "scalar", "Evaluate/0": "image"}
    (loss,) = log.get_data("scalar", "Train/loss")
    assert (loss.id, loss.value) == (3, 0.25)
