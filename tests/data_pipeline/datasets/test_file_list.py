"""``type: Dataset``: lists, pairs and the errors of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import Dataset, Pair
from paddleseg.data.datasets.file_list import read_list
from paddleseg.data.transforms import LimitLong, Normalize
from paddleseg.errors import DataError


def open_list(root: Path, **options: Any) -> Dataset:
    settings = {
        "mode": "train",
        "dataset_root": str(root),
        "transforms": [],
        "num_classes": 3,
        "train_path": str(root / "list.txt"),
    }
    return Dataset(**{**settings, **options})


def write_list(root: Path, text: str, encoding: str = "utf-8") -> None:
    (root / "list.txt").write_bytes(text.encode(encoding))


def test_pairs_and_order(make_pairs) -> None:
    root = make_pairs(3)
    dataset = open_list(root)
    assert len(dataset) == 3
    assert dataset.files[1] == Pair(str(root / "images/001.png"), str(root / "labels/001.png"))
    assert (dataset.num_classes, dataset.ignore_index, dataset.img_channels) == (3, 255, 3)
    sample = dataset.load(2)
    assert sample.image.tolist() == np.asarray(Image.open(root / "images/002.png")).tolist()
    assert sample.label.tolist() == np.asarray(Image.open(root / "labels/002.png")).tolist()


def test_byte_order_mark_crlf_empty_lines_and_absolute_names(make_pairs) -> None:
    root = make_pairs(2)
    absolute = f"{root}/images/001.png {root}/labels/001.png"
    write_list(root, f"images/000.png labels/000.png\r\n\r\n{absolute}\r\n   \r\n", "utf-8-sig")
    assert [pair.image for pair in open_list(root).files] == [
        str(root / "images/000.png"),
        str(root / "images/001.png"),
    ]


def test_names_with_spaces_need_another_separator(make_pairs) -> None:
    root = make_pairs(1)
    (root / "images/000.png").rename(root / "images/a b.png")
    write_list(root, "images/a b.png, labels/000.png\n")
    assert open_list(root, separator=",").files[0].image == str(root / "images/a b.png")
    with pytest.raises(DataError, match=r"list\.txt:1: .*3 column"):
        open_list(root)


def test_test_list_with_one_or_two_columns(make_pairs) -> None:
    root = make_pairs(2)
    write_list(root, "images/000.png\nimages/001.png labels/001.png\n")
    dataset = open_list(root, mode="test", test_path=str(root / "list.txt"))
    assert [pair.label for pair in dataset.files] == [None, None]
    assert dataset[0].label is None


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("images/000.png", "list.txt:2: expected 'image label', got 1 column"),
        ("a b c", "list.txt:2: expected 'image label', got 3 column"),
        ("images/000.png  labels/000.png", "list.txt:2: expected 'image label', got 3 column"),
    ],
)
def test_malformed_line_is_named(make_pairs, line: str, where: str) -> None:
    root = make_pairs(1)
    write_list(root, f"images/000.png labels/000.png\n{line}\n")
    with pytest.raises(DataError) as caught:
        open_list(root)
    assert where in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_empty_list(make_pairs, text: str) -> None:
    root = make_pairs(1)
    write_list(root, text)
    with pytest.raises(DataError, match=r"list\.txt: the list is empty"):
        open_list(root)


def test_list_that_is_no_text_or_not_there(make_pairs) -> None:
    root = make_pairs(1)
    with pytest.raises(DataError, match="no such list file"):
        read_list(str(root / "nothing.txt"), str(root), separator=" ", labelled=True)
    with pytest.raises(DataError, match="UTF-8"):
        read_list(str(root / "images/000.png"), str(root), separator=" ", labelled=True)


def test_missing_files_are_counted_and_named(make_pairs) -> None:
    root = make_pairs(8)
    for index in range(1, 8):
        (root / f"labels/{index:03d}.png").unlink()
    with pytest.raises(DataError) as caught:
        open_list(root)
    message = str(caught.value)
    assert "7 of 16 files do not exist" in message
    assert "labels/001.png" in message
    assert "… and 2 more" in message


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset_root: no such folder: .*nowhere"):
        open_list(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mode": "training"}, "mode: expected one of train, val, test"),
        ({"mode": "val"}, "val_path: mode val needs it"),
        ({"num_classes": 0}, "num_classes"),
        ({"img_channels": 4}, "img_channels"),
        ({"separator": ""}, "separator"),
        ({"edge": True}, "edge"),
        ({"class_names": ["a", "b"]}, "class_names: expected 3 entries"),
        ({"palette": [[0, 0, 0]]}, "palette: expected 3 entries"),
    ],
)
def test_bad_parameters_are_named(make_pairs, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        open_list(make_pairs(1), **options)


def test_val_transforms_the_image_alone(make_pairs) -> None:
    root = make_pairs(1, size=(12, 16))
    dataset = open_list(
        root, mode="VAL", val_path=str(root / "list.txt"), transforms=[LimitLong(8), Normalize()]
    )
    sample = dataset[0]
    assert sample.image.shape == (6, 8, 3)
    assert sample.label.shape == (12, 16)
    assert [(step.kind, step.size) for step in sample.undo] == [("resize", (12, 16))]


def test_real_camvid(shared_dir: Path) -> None:
    root = shared_dir / "data/camvid"
    if not root.is_dir():
        pytest.skip("needs ../shared/data/camvid")
    names = (root / "labels.txt").read_text(encoding="utf-8").split()
    options = {"num_classes": 11, "class_names": names, "train_path": str(root / "train.txt")}
    dataset = open_list(root, **options, val_path=str(root / "val.txt"))
    # Counts and sizes as the data's README gives them.
    assert len(dataset) == 367
    assert len(open_list(root, **options, mode="val", val_path=str(root / "val.txt"))) == 101
    sample = dataset.load(0)
    assert sample.image.shape == (360, 480, 3)
    assert set(np.unique(sample.label)) <= {*range(11), 255}
    assert dataset.class_names[3] == "Road"
