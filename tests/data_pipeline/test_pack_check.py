"""When a pack is stale."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packs import open_files, pack
from PIL import Image

from paddleseg.data.datasets import SegmentationDataset
from paddleseg.data.datasets.cityscapes import Cityscapes
from paddleseg.data.pack import Pack
from paddleseg.data.pack_check import describe_changed_fact, describe_dataset, find_staleness, pairs_of
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.errors import DataError


def test_an_unchanged_data_set_has_its_pack(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(3)
    opened = Pack.open(pack(root, tmp_path / "p"))
    assert find_staleness(opened, open_files(root)) is None


def test_the_whole_data_set_may_move(make_pairs, tmp_path: Path) -> None:
    opened = Pack.open(pack(make_pairs(3), tmp_path / "p"))
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(tmp_path / "pairs", moved)  # with its times
    assert find_staleness(opened, open_files(moved)) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 4}, "num_classes is 4, it was 3"),
        ({"ignore_index": 254}, "ignore_index is 254, it was 255"),
        ({"mode": "val"}, "mode is val, it was train"),
        ({"img_channels": 1}, "img_channels is 1, it was 3"),
    ],
)
def test_other_parameters(make_pairs, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    root = make_pairs(1)
    assert find_staleness(Pack.open(pack(root, tmp_path / "p")), open_files(root, **options)) == message


def test_names_and_colours_of_classes_do_not_count(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(1)
    opened = Pack.open(pack(root, tmp_path / "p"))
    assert find_staleness(opened, open_files(root, class_names=["a", "b", "c"])) is None


def test_another_class_of_data_set(make_pairs, tmp_path: Path) -> None:
    class Mine(SegmentationDataset):
        pass

    root = make_pairs(1)
    opened = Pack.open(pack(root, tmp_path / "p"))
    mine = Mine(open_files(root).files, mode="train", transforms=[], num_classes=3)
    assert "Mine, it was SegmentationDataset" in str(find_staleness(opened, mine))


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(1, 1))


def touch(path: Path) -> None:
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [rewrite, touch])
@pytest.mark.parametrize("name", ["images/001.png", "labels/001.png"])
def test_a_changed_file(make_pairs, tmp_path: Path, change: Callable[[Path], None], name: str) -> None:
    root = make_pairs(3)
    opened = Pack.open(pack(root, tmp_path / "p"))
    change(root / name)
    expected = "the files of sample images/001.png have changed (size or time)"
    assert find_staleness(opened, open_files(root)) == expected
    change(root / "images/002.png")
    assert "images/001.png and 1 more have changed" in str(find_staleness(opened, open_files(root)))


def test_another_list_of_files(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(3)
    opened = Pack.open(pack(root, tmp_path / "p"))
    lines = (root / "list.txt").read_text("utf-8").splitlines()
    (root / "list.txt").write_text("\n".join(lines[:2]) + "\n")
    assert find_staleness(opened, open_files(root)) == "the data set has 2 samples, it had 3"
    (root / "list.txt").write_text("\n".join([lines[0], lines[2], lines[1]]) + "\n")
    assert find_staleness(opened, open_files(root)) == (
        "sample 1 is images/002.png with labels/002.png, it was images/001.png with labels/001.png"
    )


def test_a_missing_file_is_named(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(1)
    dataset = open_files(root)
    (root / "labels/000.png").unlink()
    with pytest.raises(DataError, match=r"labels/000\.png: No such file"):
        describe_dataset(dataset, shards=1)


def test_another_mapping_of_class_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, name in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        path = tmp_path / f"{folder}/train/ulm/ulm_000000_000019_{name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((8, 8) + (3,) * (folder != "gtFine"), 26, np.uint8)).save(path)
    dataset = Cityscapes([], str(tmp_path))
    build_pack(dataset, tmp_path / "p", PackOptions())
    opened = Pack.open(tmp_path / "p")
    assert (opened.sample(0)[1] == 13).all()  # label id 26, car, is train id 13
    assert find_staleness(opened, dataset) is None
    table = np.arange(256, dtype=np.uint8)
    table[26] = 5
    monkeypatch.setattr("paddleseg.data.datasets.cityscapes.LABEL_ID_TO_TRAIN_ID", table)
    assert "gtFine_labelIds.png is decoded to other class ids" in str(find_staleness(opened, dataset))


def test_facts_are_compared_both_ways() -> None:
    assert describe_changed_fact({"a": 1}, {"a": 1}) is None
    assert describe_changed_fact({"a": 1}, {}) == "a is None, it was 1"
    assert describe_changed_fact({}, {"b": 2}) == "b is 2, it was None"


def test_names_of_files_that_are_not_there(make_pairs, tmp_path: Path) -> None:
    opened = Pack.open(pack(make_pairs(2), tmp_path / "p"))
    assert pairs_of(opened, "/data/x") == [
        open_pair("/data/x/images/000.png", "/data/x/labels/000.png"),
        open_pair("/data/x/images/001.png", "/data/x/labels/001.png"),
    ]


def test_names_start_at_the_root_of_the_data_set(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2)
    build_pack(open_files(root), tmp_path / "p", PackOptions(root=str(tmp_path)))
    opened = Pack.open(tmp_path / "p")
    assert pairs_of(opened, "/data")[1] == open_pair(
        "/data/pairs/images/001.png", "/data/pairs/labels/001.png"
    )
    assert find_staleness(opened, open_files(root), root=str(tmp_path)) is None
    assert "sample 0 is images/000.png" in str(find_staleness(opened, open_files(root)))
    outside = describe_dataset(open_files(root), shards=1, root=str(root / "images")).samples[0]
    assert (outside.image, outside.label) == ("000.png", "../labels/000.png")


def test_the_highest_and_the_widest_image_are_noted(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(3, size=(12, 16))
    Image.new("RGB", (7, 30)).save(root / "images/001.png")
    Image.new("RGB", (40, 5)).save(root / "images/002.png")
    assert describe_dataset(open_files(root), shards=1).largest == (30, 40)


def open_pair(image: str, label: str) -> Any:
    from paddleseg.data.datasets import Pair

    return Pair(image, label)
