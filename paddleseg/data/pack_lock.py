"""One process at a time makes a pack."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from paddleseg.errors import OutputError, UsageError

__all__ = ["locked"]


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keeps a second process out, from the first look at the target to the end.

    The lock goes with the process, however it ends. It is on a file beside the target, opened for writing:
    network file systems lock no other ones.

    Args:
        target: The pack's folder.

    Raises:
        UsageError: Another process holds the lock.
        OutputError: The file cannot be made or locked.
    """
    path = target.with_name(f".{target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        if not _take(descriptor, path):
            raise UsageError(f"{target}: another process is making this pack; wait for it")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours now; not if its last owner has removed the file since we opened it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:  # ENOLCK, ENOTSUP: a file system without locks
        raise OutputError(
            f"{path}: cannot be locked: {error.strerror}; make the pack on another disk and copy it"
        ) from error
