"""Metric files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paddleseg.engine.writers import JsonLinesWriter, VisualDLWriter
from paddleseg.errors import OutputError


def test_a_json_line_an_iteration(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for iteration in (1, 2):  # a second writer appends, as a resumed run does
        writer = JsonLinesWriter(path)
        writer.scalars({"Train/loss": 0.5, "Evaluate/mIoU": float("nan")}, iteration)
        assert len(path.read_text("utf-8").splitlines()) == iteration, "lines are there at once"
        writer.picture("x", np.zeros((2, 2, 3), dtype=np.uint8), iteration)
        writer.close()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert rows == [{"iter": i, "Train/loss": 0.5, "Evaluate/mIoU": None} for i in (1, 2)]


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
