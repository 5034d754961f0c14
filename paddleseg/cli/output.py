"""The folder that a program writes into."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from paddleseg.errors import OutputError

__all__ = ["output_folder"]


@contextlib.contextmanager
def output_folder(path: str, *, preliminary: str | None = None) -> Iterator[Path]:
    """Makes the output folder, and finds out now rather than hours later that it cannot be written.

    When the program fails before it has written any result, the folders that were made for it go again.

    Args:
        path: Value of ``--save_dir``.
        preliminary: Name of a file that is no result (the log).

    Raises:
        OutputError: It is a file, or cannot be made or written.
    """
    folder = Path(path)
    made = [one for one in (folder, *folder.parents) if not _exists(one, path)]
    _make_writable(folder, path)
    try:
        yield folder
    except BaseException:
        if made and {entry.name for entry in folder.iterdir()} <= {preliminary}:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # somebody else uses a parent by now
                for parent in made[1:]:
                    parent.rmdir()
        raise


def _make_writable(folder: Path, path: str) -> None:
    if _exists(folder, path) and not folder.is_dir():
        raise OutputError(f"--save_dir {path}: this is a file; name a folder (nothing was changed)")
    probe = folder / ".write_test"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _exists(folder: Path, path: str) -> bool:
    try:
        return folder.exists()
    except OSError as error:  # too long a name
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError) -> OutputError:
    return OutputError(f"--save_dir {path}: cannot be written ({error.strerror or error}); choose another")
