"""The folder that a program writes into."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path

from paddleseg.errors import OutputError

__all__ = ["output_folder"]


@contextlib.contextmanager
def output_folder(path: str, *, preliminary: Sequence[str] = ()) -> Iterator[Path]:
    """Makes the output folder, and finds out now rather than hours later that it cannot be written.

    When the program fails before it has written any result, the folders that were made for it go again.

    Args:
        path: Value of ``--save_dir``.
        preliminary: Patterns of the names of files that alone are no result (the log).

    Raises:
        OutputError: It is a file, or cannot be made or written.
    """
    folder = Path(path)
    made = [one for one in (folder, *folder.parents) if not _exists(one, path)]
    try:
        _make_writable(folder, path)
        yield folder
    except BaseException:
        _remove(made, preliminary)
        raise


def _remove(made: Sequence[Path], preliminary: Sequence[str]) -> None:
    """Removes folders that hold no result, the innermost first."""
    for folder in made:
        with contextlib.suppress(OSError):  # it holds results, or was not made after all
            files = list(folder.iterdir())
            if all(any(fnmatch.fnmatch(file.name, one) for one in preliminary) for file in files):
                for file in files:
                    file.unlink()
            folder.rmdir()


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
