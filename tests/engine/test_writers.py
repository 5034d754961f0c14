"""Metric files."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddleseg.engine.writers import JsonLinesWriter, VisualDLWriter
from paddleseg.errors import OutputError

KINDS = {"Train/loss": "scalar", "Train/lr": "scalar", "Evaluate/0": "image"}


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


@pytest.mark.parametrize(
    "damage",
    [b'{"iter": 1, "\xff": 0}', b"\xff\xfe", b"[1]", b'{"iter": 1e999}', b'"iter"', b"\x00", b"[" * 100_000],
)
def test_a_line_that_is_damaged_goes(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 1, 2)
    path.write_bytes(damage + b"\n" + path.read_bytes())
    write(path, 3, resumed_at=2)
    assert numbers(path) == [1, 2, 3]


@pytest.mark.parametrize("again", [False, True])
def test_an_evaluation_that_will_be_made_again_goes(tmp_path: Path, again: bool) -> None:
    """It was made after the checkpoint of its iteration, which does not know of it."""
    path, log = tmp_path / "metrics.jsonl", tmp_path / "log"
    log.mkdir()

    def write_both(*iterations: int, **place: Any) -> None:
        for writer in (JsonLinesWriter(path, **place), VisualDLWriter(log, **place)):
            for iteration in iterations:
                writer.scalars({"Train/loss": 0.5}, iteration)
                writer.scalars({"Evaluate/mIoU": 0.5, "Evaluate/Acc": 0.5}, iteration)
                if isinstance(writer, VisualDLWriter):
                    writer.picture("Evaluate/0", np.full((4, 6, 3), 9, dtype=np.uint8), iteration)
            writer.close()

    write_both(2, 4, 6)
    write_both(resumed_at=4, evaluates_again=again)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["iter"] for row in rows if "Train/loss" in row] == [2, 4]
    evaluated = [2] if again else [2, 4]
    assert [row["iter"] for row in rows if "Evaluate/mIoU" in row] == evaluated
    tags = {
        "Train/loss": "scalar",
        "Evaluate/mIoU": "scalar",
        "Evaluate/Acc": "scalar",
        "Evaluate/0": "image",
    }
    assert shown(log, tags) == {tag: [2, 4] if tag == "Train/loss" else evaluated for tag in tags}


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


def write_log(folder: Path, *iterations: int, resumed_at: int | None = None) -> None:
    writer = VisualDLWriter(folder, resumed_at=resumed_at)
    for iteration in iterations:
        writer.scalars({"Train/loss": float(iteration), "Train/lr": 0.5}, iteration)
        writer.picture("Evaluate/0", np.full((4, 6, 3), 9, dtype=np.uint8), iteration)
    writer.close()


def shown(folder: Path, kinds: dict[str, str] = KINDS) -> dict[str, list[int]]:
    """Steps by tag, in the file that VisualDL shows: the last one."""
    reader = pytest.importorskip("visualdl.reader.reader")
    log = reader.LogReader(file_path=str(max(folder.glob("vdlrecords.*"))))
    return {tag: [record.id for record in log.get_data(kind, tag)] for tag, kind in kinds.items()}


def test_a_resumed_run_goes_on_in_visualdls_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path, 1, 2, 3, 4)
    write_log(tmp_path, 3, 5, resumed_at=2)
    assert shown(tmp_path) == {tag: [1, 2, 3, 5] for tag in ("Train/loss", "Train/lr", "Evaluate/0")}
    assert len(list(tmp_path.iterdir())) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "damage",
    [b"\x07", b"\xff" * 7, b"\x09" + b"\x00" * 7 + b"12345678", b"\x01" + b"\x00" * 20, b"\x00" * 16],
)
def test_a_tail_that_a_crash_damaged_is_cut(tmp_path: Path, damage: bytes) -> None:
    write_log(tmp_path, 1, 2)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + damage)
    write_log(tmp_path, 3, resumed_at=2)
    assert shown(tmp_path)["Train/loss"] == [1, 2, 3]


def test_a_record_that_a_crash_cut_short_goes(tmp_path: Path) -> None:
    write_log(tmp_path, 1, 2)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])  # the picture of iteration 2
    write_log(tmp_path, 3, resumed_at=2)
    assert shown(tmp_path) == {"Train/loss": [1, 2, 3], "Train/lr": [1, 2, 3], "Evaluate/0": [1, 3]}


def test_a_record_of_another_length_than_it_says_goes(tmp_path: Path) -> None:
    write_log(tmp_path, 1, 2)
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    file.write_bytes(data + (length + 1).to_bytes(8, "little") + data[8 : 8 + length])
    write_log(tmp_path, 3, resumed_at=2)
    assert shown(tmp_path)["Train/loss"] == [1, 2, 3]


def test_a_resumed_run_goes_on_in_the_newest_file(tmp_path: Path) -> None:
    for _ in range(2):
        write_log(tmp_path, 1, 2)
    earlier = min(tmp_path.iterdir())
    before = earlier.read_bytes()
    write_log(tmp_path, 3, resumed_at=1)
    assert shown(tmp_path)["Train/loss"] == [1, 3]
    assert earlier.read_bytes() == before, "the file of another run stays"


def test_a_file_that_is_no_log_of_visualdl_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "paddleseg")
    file = tmp_path / "vdlrecords.0000000005.log"
    file.write_bytes(b"something else entirely")
    write_log(tmp_path, 3, resumed_at=2)
    assert file.read_bytes() == b"something else entirely"
    assert [str(file) in message for message in caplog.messages] == [True]
    assert shown(tmp_path)["Train/loss"] == [3]


def test_a_new_run_has_a_file_of_its_own_that_visualdl_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    for iteration in (1, 2, 3):
        write_log(tmp_path, iteration)
        assert shown(tmp_path)["Train/loss"] == [iteration]
    assert len(list(tmp_path.iterdir())) == 3, "though they begin in the same second"


def test_visualdls_rows_are_in_the_file_at_once(tmp_path: Path) -> None:
    writer = VisualDLWriter(tmp_path)
    writer.scalars({"Train/loss": 0.5, "Train/lr": 0.5}, 1)
    assert shown(tmp_path)["Train/lr"] == [1]
    writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_full_disk_is_told_once() -> None:
    writer = JsonLinesWriter(Path("/dev/full"))
    with pytest.raises(OutputError, match="/dev/full: cannot be written"):
        writer.scalars({"Train/loss": 1.0}, 1)
    writer.close()
