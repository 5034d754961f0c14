"""Whole or not at all, also when the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddleseg.errors import OutputError
from paddleseg.files import replace_folder, write_whole


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_missing_folders_are_made_and_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.bin"
    for data in (b"longer than the next", b"\x00\xff"):
        write_whole(str(path), data)
        assert path.read_bytes() == data
    assert names_in(path.parent) == ["a.bin"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), b"x")
    assert names_in(tmp_path) == ["n" * 255]


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"taken/a\.bin: cannot be written"):
        write_whole(tmp_path / "taken" / "a.bin", b"x")


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def half_written(part: Path, data: bytes) -> int:
        with part.open("wb") as file:
            file.write(data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_written)
    with pytest.raises(OutputError, match=r"a\.bin: cannot be written: No space left on device"):
        write_whole(path, b"new data")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_a_folder_replaces_all_of_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "in" / "folder"
    for name in ("first", "second"):
        replace_folder(target, lambda folder, name=name: (folder / name).touch())
        assert names_in(target) == [name]
    assert names_in(tmp_path / "in") == ["folder"]


def test_a_folder_that_cannot_be_filled_leaves_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    replace_folder(target, lambda folder: (folder / "first").touch())

    def fail(folder: Path) -> None:
        (folder / "second").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_folder(target, fail)
    assert names_in(target) == ["first"]
    assert names_in(tmp_path) == ["folder"]
