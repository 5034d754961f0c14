"""The lock beside a pack that is being made."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from packs import pack

from paddleseg import files
from paddleseg.data.pack import Pack
from paddleseg.data.pack_lock import locked
from paddleseg.errors import OutputError, UsageError


def test_the_second_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    target = tmp_path / "in" / "p"
    with locked(target):
        for _ in range(2):  # a refusal leaves the lock where it is
            with pytest.raises(UsageError, match="/p: another process is making this pack"), locked(target):
                pass
    with locked(target):
        pass
    assert list((tmp_path / "in").iterdir()) == []


def test_an_error_lets_go_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "p"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".p.lock").touch()
    with locked(tmp_path / "p"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_be_written_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS turns such a lock into one of a range of bytes, which needs a file opened for writing."""
    seen = []

    def note(descriptor: int, operation: int) -> None:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        seen.append((stat.S_ISREG(os.fstat(descriptor).st_mode), flags & os.O_ACCMODE))

    monkeypatch.setattr(fcntl, "flock", note)
    with locked(tmp_path / "p"):
        assert seen == [(True, os.O_RDWR)]


def test_a_lock_whose_file_its_last_owner_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_lock, path = fcntl.flock, tmp_path / ".p.lock"

    def late(descriptor: int, operation: int) -> None:
        path.unlink()
        path.touch()  # another process's
        really_lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UsageError, match="another process is making this pack"), locked(tmp_path / "p"):
        pass
    assert path.exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    message = rf"\.p\.lock: cannot be locked: {os.strerror(code)}; make the pack on another disk and copy it$"
    with pytest.raises(OutputError, match=message), locked(tmp_path / "p"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/\.p\.lock: cannot be written"), locked(tmp_path / "file/p"):
        pass


@pytest.mark.parametrize("step", ["_recover", "_swap"])
def test_a_second_process_is_kept_out_to_the_end(
    make_pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    root, other, really = make_pairs(2), make_pairs(3, name="other"), getattr(files, step)
    refused: list[str] = []

    def meanwhile(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(files, step, really)
        with pytest.raises(UsageError) as caught:
            pack(other, tmp_path / "p")
        refused.append(str(caught.value))
        really(*args, **options)

    monkeypatch.setattr(files, step, meanwhile)
    pack(root, tmp_path / "p")
    assert refused == [f"{tmp_path / 'p'}: another process is making this pack; wait for it"]
    assert len(Pack.open(tmp_path / "p")) == 2
