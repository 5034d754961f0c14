"""Files and folders that are seen whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from paddleseg.errors import OutputError

__all__ = ["replace_folder", "write_whole"]


def write_whole(path: str | Path, data: bytes) -> None:
    """Writes beside the target, then renames, so that no half a file is ever seen under its name.

    Args:
        path: Where to; missing folders are made.
        data: All of the file.

    Raises:
        OutputError: The file cannot be written; an earlier one is untouched.
    """
    path = Path(path)
    part = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Fills a temporary sibling, then puts it in the place of ``target``, which is whole at any moment.

    Args:
        target: The folder; an earlier one goes when the new one is there.
        write: Fills the folder that it is given.

    Raises:
        OSError: A folder cannot be made or renamed; whatever ``write`` raises passes through too. An earlier
            folder is untouched.
    """
    new, old = (target.with_name(f".{target.name}.{word}") for word in ("new", "old"))
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        write(new)
        _swap(new, target, old)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, target: Path, old: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
