"""The list of files: whatever is altered is noticed and named."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from paddleseg.engine.manifest import MANIFEST, check_manifest, time_written, write_manifest
from paddleseg.errors import CheckpointError

FILES = {"a.bin": bytes(range(60)), "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    write_manifest(tmp_path)
    return tmp_path


def test_it_has_sizes_and_checksums(folder: Path) -> None:
    check_manifest(folder)
    entries = json.loads((folder / MANIFEST).read_text())["files"]
    assert entries == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in FILES.items()
    }


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_every_cut_is_noticed(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for length in range(len(data)):
        (folder / name).write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=f"^{name} "):
            check_manifest(folder)


@pytest.mark.parametrize("name", ["a.bin", MANIFEST])
def test_every_altered_byte_is_noticed(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    rng = np.random.default_rng(0)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= int(rng.integers(1, 256))
        (folder / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"^{name} "):
            check_manifest(folder)


def test_longer_and_missing_files_are_noticed(folder: Path) -> None:
    (folder / "empty").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="empty has 1 bytes, expected 0"):
        check_manifest(folder)
    (folder / "a.bin").unlink()
    with pytest.raises(CheckpointError, match=r"there is no a\.bin"):
        check_manifest(folder)


@pytest.mark.parametrize("text", ["[]", '{"files": {}}', '{"files": 1, "written": 2}', "[" * 100_000])
def test_another_json_file_is_no_manifest(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        check_manifest(folder)


def test_the_time_survives_a_copy_and_has_a_substitute(folder: Path) -> None:
    assert abs(time_written(folder) - time.time()) < 60
    os.utime(folder, (1000, 1000))
    assert time_written(folder) > 1e9
    (folder / MANIFEST).unlink()
    os.utime(folder, (1000, 1000))
    assert time_written(folder) == 1000
