"""The list of files: whatever is altered is noticed and named."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

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


def sign(folder: Path, content: dict[str, Any]) -> None:
    """Writes a manifest as anybody can: with a checksum that fits, and in our own layout."""
    content["sha256"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")


GOOD = {"bytes": 60, "sha256": hashlib.sha256(FILES["a.bin"]).hexdigest()}


def test_a_manifest_that_was_signed_by_hand_is_read(folder: Path) -> None:
    """Or the next test would show nothing."""
    sign(folder, {"files": {"a.bin": GOOD}, "written": 1e9})
    check_manifest(folder)
    assert time_written(folder) == 1e9


@pytest.mark.parametrize(
    ("files", "written"),
    [
        *((files, 1e9) for files in ([], None, "x", 1, ["a.bin"], {"a.bin": None}, {"a.bin": [60, "x"]})),
        *(
            ({"a.bin": GOOD | change}, 1e9)
            for change in ({"bytes": "60"}, {"bytes": 60.0}, {"bytes": True}, {"sha256": None}, {"more": 1})
        ),
        *(({name: GOOD}, 1e9) for name in ("../a.bin", "/etc/passwd", "in/a.bin")),
        ({"a.bin": {"bytes": 60}}, 1e9),
        *(({"a.bin": GOOD}, written) for written in ("x", None, True, 1, 10**400, 1e999, float("nan"), [])),
    ],
)
def test_a_manifest_of_another_shape_is_damaged_though_its_checksum_fits(
    folder: Path, files: Any, written: Any
) -> None:
    sign(folder, {"files": files, "written": written})
    with pytest.raises(CheckpointError, match=r"^manifest\.json is damaged$"):
        check_manifest(folder)
    os.utime(folder, (1000, 1000))
    assert time_written(folder) == 1000


def test_a_manifest_must_list_what_it_vouches_for(folder: Path) -> None:
    check_manifest(folder, listed=list(FILES))
    (folder / "b.bin").touch()
    check_manifest(folder)
    with pytest.raises(CheckpointError, match=r"^manifest\.json is damaged \(it does not list b\.bin\)$"):
        check_manifest(folder, listed=["a.bin", "b.bin"])


def test_the_time_survives_a_copy_and_has_a_substitute(folder: Path) -> None:
    assert abs(time_written(folder) - time.time()) < 60
    os.utime(folder, (1000, 1000))
    assert time_written(folder) > 1e9
    (folder / MANIFEST).unlink()
    os.utime(folder, (1000, 1000))
    assert time_written(folder) == 1000
