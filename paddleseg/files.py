"""Files and folders that are seen whole or not at all, whatever ends the process or the machine.

A file is written beside its name, brought to the disk (fsync) and renamed; a folder likewise. Several
processes may write the same file at once: one of them wins. What a killed process leaves behind begins with a
dot, and :func:`recover_folders` clears it away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from paddleseg.errors import OutputError

__all__ = ["bring_back", "recover_folders", "remove_folder", "replace_file", "replace_folder", "write_whole"]

_PART = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.part")
_NAME_IN_PART = 50  # with four bytes a character it leaves room for the rest in the 255 bytes of a name
_WORDS = ("unfinished", "replaced")
_ASIDE = re.compile(rf"\.(?P<target>.+)\.({'|'.join(_WORDS)})")


def write_whole(path: str | Path, data: bytes) -> None:
    """Writes beside the target, then renames, so that no half a file is ever seen under its name.

    Args:
        path: Where to; missing folders are made.
        data: All of the file.

    Raises:
        OutputError: The file cannot be written; an earlier one is untouched.
    """
    replace_file(Path(path), lambda part: part.write_bytes(data))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """As :func:`write_whole`, for what writes its file itself.

    Args:
        path: Where to; missing folders are made.
        write: Writes the file whose path it is given, in the same folder.

    Raises:
        OutputError: The file cannot be written; an earlier one is untouched.
    """
    # Numbers of processes repeat from machine to machine, so they do not keep two writers apart.
    part = path.with_name(f".{path.name[:_NAME_IN_PART]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            _sync(part)
            part.replace(path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def replace_folder(target: Path, write: Callable[[Path], None], *, resume: bool = False) -> None:
    """Fills a temporary sibling, brings it to the disk and puts it in the place of ``target``.

    A new ``target`` appears in one step. An earlier one steps aside first; a process that is killed in
    between leaves it under another name, from which the next call or :func:`recover_folders` brings it back.

    Args:
        target: The folder; an earlier one goes when the new one is there.
        write: Fills the folder that it is given; files only.
        resume: What an unfinished call wrote stays, and the next one gives ``write`` the same folder again.
            The caller keeps other processes out.

    Raises:
        OSError: A folder cannot be made or renamed; whatever ``write`` raises passes through too. An earlier
            folder is untouched.
    """
    new, old = _names_aside(target)
    _recover(target, keep_unfinished=resume)
    try:
        new.mkdir(parents=True, exist_ok=resume)
        write(new)
        for file in new.iterdir():
            _sync(file)
        _sync_folder(new)
        _swap(new, target, old)
    finally:
        if not resume:
            shutil.rmtree(new, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Takes a folder away in one step, so that a process that is killed leaves no half of it under its name.

    Args:
        folder: What cannot be removed of it stays, for :func:`recover_folders`.
    """
    aside, _ = _names_aside(folder)
    shutil.rmtree(aside, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def bring_back(target: Path) -> None:
    """Puts a folder back that stepped aside for a new one when its process was killed. Nothing else changes.

    Args:
        target: The folder; nothing happens where it is there, or where none stepped aside for it.
    """
    # There is none, the new one is there, or no folder can have such a name.
    with contextlib.suppress(OSError, ValueError):
        _, old = _names_aside(target)
        old.rename(target)


def recover_folders(parent: Path) -> None:
    """Clears up what killed processes left: an earlier folder goes back to its place, unfinished things go.

    Args:
        parent: The folder in which :func:`replace_folder` and :func:`replace_file` worked, and in which
            nothing is being written now; it may be missing.

    Raises:
        OutputError: The folder cannot be changed.
    """
    try:
        for entry in list(parent.iterdir()) if parent.is_dir() else []:
            if _PART.fullmatch(entry.name):
                entry.unlink(missing_ok=True)
            elif found := _ASIDE.fullmatch(entry.name):
                _recover(parent / found["target"])
    except OSError as error:
        raise OutputError(
            f"{parent}: what a killed process left cannot be cleared up: {error.strerror or error}"
        ) from error


def _names_aside(target: Path) -> list[Path]:
    """Where a folder is filled, and where the one waits that it will replace."""
    return [target.with_name(f".{target.name}.{word}") for word in _WORDS]


def _recover(target: Path, *, keep_unfinished: bool = False) -> None:
    new, old = _names_aside(target)
    if old.is_dir() and not target.exists():
        old.rename(target)
    for leftover in (old,) if keep_unfinished else (new, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _swap(new: Path, target: Path, old: Path) -> None:
    if not target.exists():
        new.rename(target)
        _sync_folder(target.parent)
        return
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    _sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    """Waits until the disk has what was written; without it, a power cut could leave an empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
            raise
