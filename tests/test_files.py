"""Whole or not at all, also when the disk is full or the process is killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from paddleseg.errors import OutputError
from paddleseg.files import (
    bring_back,
    recover_folders,
    remove_folder,
    replace_file,
    replace_folder,
    write_whole,
)

ROOT = Path(__file__).resolve().parents[1]


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_missing_folders_are_made_and_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.bin"
    for data in (b"longer than the next", b"\x00\xff"):
        write_whole(str(path), data)
        assert path.read_bytes() == data
    assert names_in(path.parent) == ["a.bin"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    names = ["n" * 255, "\N{PILE OF POO}" * 63]  # four bytes each
    for name in names:
        write_whole(tmp_path / name, b"x")
    assert names_in(tmp_path) == sorted(names)


@pytest.mark.parametrize("other", ["a.bin", "b.bin"])
def test_writers_with_the_same_process_number_do_not_share_a_part(tmp_path: Path, other: str) -> None:
    """As on two machines, or in two containers, that write into one folder."""

    def write(part: Path) -> None:
        part.write_bytes(b"first")
        write_whole(tmp_path / other, b"of another machine")
        assert part.read_bytes() == b"first"

    replace_file(tmp_path / "a.bin", write)
    assert (tmp_path / "a.bin").read_bytes() == b"first"
    assert names_in(tmp_path) == sorted({"a.bin", other})


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


def test_what_an_unfinished_call_wrote_is_there_for_one_that_resumes(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    replace_folder(target, lambda folder: (folder / "earlier").touch())

    def fail(folder: Path) -> None:
        (folder / "first").touch()
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            replace_folder(target, fail, resume=True)
        assert names_in(target) == ["earlier"]
    replace_folder(target, lambda folder: (folder / "second").touch(), resume=True)
    assert names_in(target) == ["first", "second"]
    assert names_in(tmp_path) == ["folder"]
    with pytest.raises(KeyboardInterrupt):
        replace_folder(target, fail, resume=True)
    replace_folder(target, lambda folder: (folder / "third").touch())
    assert names_in(target) == ["third"]


def test_files_reach_the_disk_before_their_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power cut needs: contents, folder, rename, parent folder."""
    done: list[str] = []
    paths: dict[int, str] = {}
    real_open, real_rename, real_replace = os.open, Path.rename, Path.replace

    def opened(path: str | Path, *args: int) -> int:
        descriptor = real_open(path, *args)
        paths[descriptor] = Path(path).name
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(f"sync {paths[descriptor]}"))
    for name, real in (("rename", real_rename), ("replace", real_replace)):

        def moved(self: Path, target: Path, real: object = real) -> Path:
            done.append(f"{self.name} → {Path(target).name}")
            return real(self, target)  # type: ignore[operator]

        monkeypatch.setattr(Path, name, moved)
    parent = tmp_path.name
    replace_folder(tmp_path / "f", lambda folder: (folder / "a").touch())
    assert done == ["sync a", "sync .f.unfinished", ".f.unfinished → f", f"sync {parent}"]
    done.clear()
    replace_folder(tmp_path / "f", lambda folder: (folder / "b").touch())
    assert done == [
        "sync b",
        "sync .f.unfinished",
        "f → .f.replaced",
        ".f.unfinished → f",
        f"sync {parent}",
    ]
    done.clear()
    replace_file(tmp_path / "c", lambda part: part.touch())
    part = re.escape(f".c.{os.getpid()}-") + "[0-9a-f]{8}.part"
    assert [
        bool(re.fullmatch(one, line))
        for one, line in zip((f"sync {part}", f"{part} → c", f"sync {parent}"), done, strict=True)
    ] == [True] * 3


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([".f.replaced/old", ".f.unfinished/half"], {"f": ["old"]}),
        (["f/new", ".f.replaced/old"], {"f": ["new"]}),
        ([".f.unfinished/half"], {}),
        (["f/new", ".f.unfinished/half"], {"f": ["new"]}),
        ([".mine/x", ".f.old/x", "f.replaced/x"], {".mine": ["x"], ".f.old": ["x"], "f.replaced": ["x"]}),
    ],
)
def test_what_a_killed_process_left_is_cleared_up(
    tmp_path: Path, left: list[str], expected: dict[str, list[str]]
) -> None:
    for name in left:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in (".a.bin.123-0123abcd.part", ".n.part.1-ffffffff.part"):
        (tmp_path / name).touch()
    recover_folders(tmp_path)
    assert {name: names_in(tmp_path / name) for name in names_in(tmp_path)} == expected
    recover_folders(tmp_path / "missing")


@pytest.mark.parametrize("left", [(".f.replaced/old",), (".f.replaced/old", "f/new"), ("f/new",), ()])
def test_bringing_back_touches_nothing_else(tmp_path: Path, left: tuple[str, ...]) -> None:
    work = (".f.unfinished/a", ".g.replaced/a", ".c.12-0123abcd.part/a")  # of a run at work
    for name in (*left, *work):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    bring_back(tmp_path / "f")
    expected = ("f/old",) if left == (".f.replaced/old",) else left
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")} == {*expected, *work}


@pytest.mark.parametrize("name", ["/", ".", "n" * 250, "a\0b"])
def test_a_name_that_no_folder_has_brings_nothing_back(name: str) -> None:
    bring_back(Path(name))


def test_a_folder_that_cannot_be_cleared_up_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / ".f.replaced").mkdir()
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match=f"{tmp_path}: .*cannot be cleared up: Permission denied"):
        recover_folders(tmp_path)


def test_the_next_write_clears_up_too(tmp_path: Path) -> None:
    (tmp_path / ".f.replaced").mkdir()
    (tmp_path / ".f.replaced" / "old").touch()

    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_folder(tmp_path / "f", fail)
    assert names_in(tmp_path) == ["f"]
    assert names_in(tmp_path / "f") == ["old"]


def test_a_folder_that_goes_is_never_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("f/a", "f/b", ".f.unfinished/of_an_earlier_try"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove = shutil.rmtree

    def remove_unless_killed(folder: Path, ignore_errors: bool) -> None:
        if not (folder / "a").exists():
            remove(folder, ignore_errors=ignore_errors)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", remove_unless_killed)
        remove_folder(tmp_path / "f")
    assert names_in(tmp_path) == [".f.unfinished"]
    assert names_in(tmp_path / ".f.unfinished") == ["a", "b"]
    recover_folders(tmp_path)
    remove_folder(tmp_path / "missing")
    assert names_in(tmp_path) == []


KILLED = """
import itertools, sys
from pathlib import Path
from paddleseg.files import replace_folder

def fill(folder):
    for name in "abc":
        (folder / name).write_text(str(number) * 1000)

for number in itertools.count():
    replace_folder(Path(sys.argv[1]) / "f", fill)
    if number == 0:
        print(flush=True)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_replaces_a_folder_leaves_a_whole_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for attempt in range(25):
        parent = tmp_path / str(attempt)
        parent.mkdir()
        command = [sys.executable, "-c", KILLED, str(parent)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(rng.uniform(0, 0.02)))
            process.send_signal(signal.SIGKILL)
        recover_folders(parent)
        assert names_in(parent) == ["f"]
        assert names_in(parent / "f") == ["a", "b", "c"]
        (content,) = {(parent / "f" / name).read_text() for name in "abc"}
        assert len(content) % 1000 == 0
