"""The description of a pack, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packs import pack

from paddleseg.data.pack_index import (
    PackedFiles,
    PackIndex,
    Record,
    label_start,
    next_page,
    read_index,
    read_records,
)
from paddleseg.errors import DataError


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    samples = (PackedFiles("a.png", "b.png", (1, 2), (3, 4)), PackedFiles("é\udce9.png", None, (5, 6), None))
    index = PackIndex({"type": "Dataset", "num_classes": 3}, "int32", 2, (5, 7), samples)
    (tmp_path / "index.json").write_bytes(index.to_bytes())
    assert read_index(tmp_path) == index
    assert read_index(tmp_path).digest == index.digest


def test_samples_go_round_the_shards() -> None:
    index = PackIndex({}, "uint8", 3, (1, 1), (PackedFiles("a", None, (0, 0), None),) * 8)
    assert [list(index.indices_of(shard)) for shard in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5]]


@pytest.mark.parametrize(("position", "expected"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_pages(position: int, expected: int) -> None:
    assert next_page(position) == expected


def test_labels_follow_their_image() -> None:
    assert label_start(Record(8192, 10, 100, 0, 0), 3) == 12288  # 3000 bytes: one page
    assert label_start(Record(8192, 64, 64, 0, 0), 1) == 12288  # 4096 bytes: exactly one


def edit(path: Path, change: Any) -> None:
    tree = json.loads(path.read_bytes())
    change(tree)
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(version=2), "version 2 of the format, expected 1; pack again"),
        (lambda tree: tree.pop("samples"), "damaged: no entry 'samples'"),
        (lambda tree: tree.update(samples=[]), "no samples, shards or label type"),
        (lambda tree: tree.pop("largest"), "damaged: no entry 'largest'"),
        (lambda tree: tree.update(shards=0), "no samples, shards or label type"),
        (lambda tree: tree.update(label_type="int64"), "no samples, shards or label type"),
        (lambda tree: tree["samples"][0].update(image_state=[1]), "damaged: not enough values"),
        (lambda tree: tree.update(samples=7), "damaged: 'int' object is not iterable"),
    ],
)
def test_a_damaged_index_is_refused(make_pairs, tmp_path: Path, change: Any, message: str) -> None:
    target = pack(make_pairs(2), tmp_path / "p")
    edit(target / "index.json", change)
    with pytest.raises(DataError, match=message):
        read_index(target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(pack="0"), "belongs to another pack"),
        (lambda tree: tree["records"].pop(), "its records do not fit the pack"),
        (lambda tree: tree["records"][1].pop(), "damaged: .* missing 1 required"),
        (lambda tree: tree["records"].reverse(), "a record at byte 8192, expected 0"),
        (lambda tree: tree["records"][0].__setitem__(1, 0), "a record at byte 0, expected 0"),
        (lambda tree: tree["records"][0].__setitem__(4, None), "its records do not fit the pack"),
        (lambda tree: tree.update(bytes=1), "its records do not fit the pack"),
        (lambda tree: tree.pop("bytes"), "damaged: no entry 'bytes'"),
    ],
)
def test_damaged_records_are_refused(make_pairs, tmp_path: Path, change: Any, message: str) -> None:
    target = pack(make_pairs(2), tmp_path / "p", shards=1)
    edit(target / "shard_00000.json", change)
    with pytest.raises(DataError, match=message):
        read_records(target, read_index(target), 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged: Expecting value"), (b"[]", "expected a JSON object"), (b"\xff", "damaged: ")],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_index(tmp_path)


@pytest.mark.parametrize("name", ["absent", "file"])
def test_what_is_no_pack_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"index\.json: no such file: this folder is no pack"):
        read_index(tmp_path / name)


def test_an_index_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "index.json").mkdir()
    with pytest.raises(DataError, match=r"index\.json: cannot be read: Is a directory"):
        read_index(tmp_path)
