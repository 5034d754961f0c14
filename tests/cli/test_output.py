"""The output folder: made, found writable, and removed again where nothing was written into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddleseg.cli.output import output_folder
from paddleseg.errors import DataError, OutputError


def fail_in(path: Path, *names: str) -> None:
    with output_folder(str(path), preliminary=("run.log",)) as folder:
        for name in names:
            (folder / name).write_text("x")
        raise DataError("stop")


def test_stays_after_success(tmp_path: Path) -> None:
    with output_folder(str(tmp_path / "a" / "b")) as folder:
        assert folder.is_dir()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("names", [(), ("run.log",)])
def test_goes_with_its_parents_when_nothing_came_of_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        fail_in(tmp_path / "a" / "b", *names)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("result",), ("run.log", "result")])
def test_stays_with_results(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        fail_in(tmp_path / "a", *names)
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(names)


def test_a_folder_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("old")
    with pytest.raises(DataError):
        fail_in(tmp_path)
    assert (tmp_path / "run.log").read_text() == "old"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        fail_in(tmp_path / "empty")
    assert (tmp_path / "empty").is_dir()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    for path in (file, file / "below"):
        with pytest.raises(OutputError, match="--save_dir"):
            fail_in(path)
    assert file.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [file]
