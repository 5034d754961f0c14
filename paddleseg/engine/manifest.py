"""The list of a folder's files with their sizes and checksums, so that damage is found and named."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paddleseg.errors import CheckpointError
from paddleseg.models.download import file_sha256

__all__ = ["MANIFEST", "check_manifest", "time_written", "write_manifest"]

MANIFEST = "manifest.json"


def write_manifest(folder: Path) -> None:
    """Writes ``manifest.json`` for the files that are in a folder; to be called when they are all there.

    Args:
        folder: Holds files only.

    Raises:
        OSError: A file cannot be read or written.
    """
    files = {
        file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_bytes(_render(files, time.time()))


def check_manifest(folder: Path, *, listed: Iterable[str] = ()) -> None:
    """Compares a folder with its manifest.

    Args:
        folder: Has a ``manifest.json``.
        listed: Names of files that must be in it, for one that lists nothing agrees with any folder.

    Raises:
        CheckpointError: The manifest is damaged, or a file is missing, cut short or altered; the first one is
            named, without the folder.
        OSError: A file cannot be read.
    """
    files = _read(folder)["files"]
    for name in listed:
        if name not in files:
            raise CheckpointError(f"{MANIFEST} is damaged (it does not list {name})")
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"there is no {name}")
        if (size := file.stat().st_size) != expected["bytes"]:
            raise CheckpointError(f"{name} has {size} bytes, expected {expected['bytes']}")
        if file_sha256(file) != expected["sha256"]:
            raise CheckpointError(f"{name} was altered: its SHA-256 is not the one in {MANIFEST}")


def time_written(folder: Path) -> float:
    """Returns when a folder was written, in seconds since 1970; the disk's time where it does not tell."""
    try:
        written: float = _read(folder)["written"]
        return written
    except (OSError, CheckpointError):
        return folder.stat().st_mtime


def _render(files: dict[str, Any], written: float) -> bytes:
    content: dict[str, Any] = {"files": files, "written": written}
    content["sha256"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return (json.dumps(content, indent=2) + "\n").encode()


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():  # to read a pipe would never end
        raise CheckpointError(f"there is no {MANIFEST}")
    data = (folder / MANIFEST).read_bytes()
    try:
        content: dict[str, Any] = json.loads(data)
        whole = _render(content["files"], content["written"]) == data and _is_manifest(content)
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise CheckpointError(f"{MANIFEST} is damaged")
    return content


def _is_manifest(content: dict[str, Any]) -> bool:
    """Whether the values are what :func:`write_manifest` writes; anybody can work out the checksum."""
    files, written = content["files"], content["written"]
    return (
        type(written) is float
        and math.isfinite(written)
        and isinstance(files, dict)
        and all(
            Path(name).name == name
            and isinstance(entry, dict)
            and {key: type(value) for key, value in entry.items()} == {"bytes": int, "sha256": str}
            for name, entry in files.items()
        )
    )
