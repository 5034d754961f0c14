"""tools/split_dataset_list.py: parts that add up, the same everywhere, and pairs by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import split_dataset_list as tool
from tool_cases import refusal, succeed, touch


def make(root: Path, count: int) -> None:
    for index in range(count):
        touch(root, f"images/{index:03}.jpg", f"annotations/{index:03}.png")


def lines(root: Path) -> dict[str, list[str]]:
    return {part: (root / f"{part}.txt").read_text().splitlines() for part in ("train", "val", "test")}


def test_shares_of_paddleseg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, 10)
    succeed(tool.main, tmp_path, "images", "annotations")
    found = lines(tmp_path)
    assert {part: len(rows) for part, rows in found.items()} == {"train": 7, "val": 3, "test": 0}
    rows = sorted(row for part in found.values() for row in part)
    assert rows == [f"images/{index:03}.jpg annotations/{index:03}.png" for index in range(10)]
    assert f"{tmp_path}/val.txt: 3 pairs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "shares", "sizes"),
    [
        # PaddleSeg rounds each part: 4 + 2 of 5, and ends with an IndexError.
        (5, (0.7, 0.3, 0.0), [4, 1, 0]),
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (7, (0.5, 0.25, 0.25), [4, 1, 2]),  # 3.5 → 4, 5.25 → 5
        (3, (0.0, 0.0, 1.0), [0, 0, 3]),
    ],
)
def test_parts_add_up(count: int, shares: tuple[float, ...], sizes: list[int]) -> None:
    names = [str(index) for index in range(count)]
    parts = tool.divide(names, shares, seed=0)
    assert [len(part) for part in parts] == sizes
    assert sorted(name for part in parts for name in part) == sorted(names)


def test_the_seed_decides() -> None:
    # `printf 0/a | sha256sum` begins with d3, 0/b with 7d, 0/c with 28, 0/d with 9d.
    assert tool.divide(list("abcd"), (0.5, 0.25, 0.25), seed=0) == [["b", "c"], ["d"], ["a"]]
    assert tool.divide(list("dcba"), (0.5, 0.25, 0.25), seed=0) == [["b", "c"], ["d"], ["a"]]
    names = [f"{index}" for index in range(50)]
    first, other = (tool.divide(names, (0.5, 0.5, 0.0), seed) for seed in (0, 1))
    assert first != other


def test_added_files_move_few_others() -> None:
    names = [f"{index}" for index in range(200)]
    before = set(tool.divide(names, (0.7, 0.3, 0.0), 0)[0])
    after = set(tool.divide([*names, *(f"new{index}" for index in range(20))], (0.7, 0.3, 0.0), 0)[0])
    assert len(before - after) <= 10


def test_spaces_and_sub_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a b/x/1.jpg", "a b/x/2.jpg", "m/x/1_L.png", "m/x/2_L.png")
    flags = ["--separator", "|", "--postfix", "", "_L", "--split", "0.5", "0.5", "0"]
    succeed(tool.main, tmp_path, "a b/", "m", *flags)
    found = lines(tmp_path)
    assert sorted(found["train"] + found["val"]) == ["a b/x/1.jpg|m/x/1_L.png", "a b/x/2.jpg|m/x/2_L.png"]


def test_labels_within_the_image_folder(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "masks/1.png", "masks/2.png")
    succeed(tool.main, tmp_path, ".", "masks", "--format", "png", "png", "--split", "0.5", "0", "0.5")
    found = lines(tmp_path)
    assert sorted(found["train"] + found["test"]) == ["1.png masks/1.png", "2.png masks/2.png"]


@pytest.mark.parametrize(
    ("files", "flags", "expected"),
    [
        (["images/a.jpg", "images/b.jpg", "annotations/a.png", "annotations/c.png"], [], "images/b.jpg"),
        (["images/a.jpg", "annotations/a.bmp"], [], "annotations: no file ends in .png"),
        (["images/a.jpg"], [], "annotations: no such folder"),
        (["images/a.jpg", "annotations/a.png"], [], "1 images are too few: val would get none"),
        (["images/a.jpg", "annotations/a.png"], ["--split", "0.5", "0.6", "0"], "1 together"),
        (["images/a.jpg", "annotations/a.png"], ["--split", "1.5", "-0.5", "0"], "1 together"),
        (["images/a.jpg", "annotations/a.png"], ["--split", "nan", "0", "0"], "1 together"),
    ],
)
def test_bad_input(
    files: list[str], flags: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *files)
    assert expected in refusal(tool.main, capsys, tmp_path, "images", "annotations", *flags)
    assert not list(tmp_path.glob("*.txt"))


def test_no_list_is_written_where_one_may_not_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, 4)
    (tmp_path / "test.txt").write_text("mine\n")
    assert "test.txt: is there already" in refusal(tool.main, capsys, tmp_path, "images", "annotations")
    assert [path.name for path in tmp_path.glob("*.txt")] == ["test.txt"]
