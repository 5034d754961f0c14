"""What the public data sets share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import CamVid, Pair
from paddleseg.data.datasets.standard import bit_palette, pair_folders, pair_listed, read_names, words
from paddleseg.errors import DataError


def write_camvid(root: Path, ids: np.ndarray) -> Path:
    for folder, pixels in (("train", np.zeros((*ids.shape, 3), np.uint8)), ("trainannot", ids)):
        (root / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(root / folder / "a.png")
    return root


def test_the_palette_of_bits() -> None:
    # From the VOC development kit's VOClabelcolormap.
    wanted = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        4: (0, 0, 128),
        7: (128, 128, 128),
    }
    wanted |= {8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 64: (32, 0, 0), 255: (224, 224, 192)}
    palette = bit_palette(256)
    assert {index: palette[index] for index in wanted} == wanted
    assert len(set(palette)) == 256


def test_words() -> None:
    assert words("a pool_table c") == ("a", "pool table", "c")


def test_pairs_of_two_folders(tmp_path: Path) -> None:
    for name in ("images/b.jpg", "images/a.jpg", "images/c.jpg", "images/._a.jpg", "images/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("labels/a.png", "labels/b.png", "labels/d.png", "labels/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images, labels = tmp_path / "images", tmp_path / "labels"
    found = pair_folders(images, labels, advice="see the manual")
    assert found.pairs == tuple(Pair(str(images / f"{one}.jpg"), str(labels / f"{one}.png")) for one in "ab")
    assert found.without_label == (str(images / "c.jpg"),)
    assert found.without_image == (str(labels / "d.png"),)
    assert [pair.label for pair in pair_folders(images, None, advice="").pairs] == [None] * 3
    with pytest.raises(DataError, match=r"nowhere: no such folder; see the manual"):
        pair_folders(images, tmp_path / "nowhere", advice="see the manual")


def test_lists_of_names(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf2007_000032\r\n\r\n2007_000039  1\r\n")
    names = read_names(path, "")
    assert names == ["2007_000032", "2007_000039"]
    assert pair_listed(names[:1], Path("i"), Path("l")).pairs == (
        Pair(str(Path("i/2007_000032.jpg")), str(Path("l/2007_000032.png"))),
    )
    path.write_text("a\nb\na\n")
    with pytest.raises(DataError, match=r"list\.txt: names 'a' more than once"):
        read_names(path, "")
    path.write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match=r"list\.txt: the list cannot be read as UTF-8"):
        read_names(path, "")
    with pytest.raises(DataError, match=r"no\.txt: no such list; advice"):
        read_names(tmp_path / "no.txt", "advice")


@pytest.mark.parametrize("ignore_index", [255, -1, 254, 300])
def test_the_value_of_pixels_without_a_class(tmp_path: Path, ignore_index: int) -> None:
    root = write_camvid(tmp_path, np.uint8([[0, 10, 11, 255]]))
    dataset = CamVid([], str(root), ignore_index=ignore_index)
    assert dataset.load(0).label.tolist() == [[0, 10, ignore_index, ignore_index]]


def test_files_of_sixteen_bits(tmp_path: Path) -> None:
    root = write_camvid(tmp_path, np.uint16([[0, 10, 11, 300]]))
    dataset = CamVid([], str(root))
    assert dataset.decode_label(0).tolist() == [[0, 10, 255, 300]]
    with pytest.raises(DataError, match="the label holds 300"):
        dataset.load(0)


@pytest.mark.parametrize(
    ("options", "count", "is_named"),
    [
        ({}, 11, True),
        ({"num_classes": 11}, 11, True),
        ({"num_classes": 12}, 12, False),
        ({"label_map": {0: 0, 1: 1, "other": "ignore"}}, 2, False),
        ({"label_map": {0: 0, 1: 1, "other": "ignore"}, "num_classes": 11}, 11, False),
        ({"label_map": {0: 0, 1: 1}, "class_names": ["a", "b", "c"]}, 3, True),
        ({"reduce_zero_label": True, "num_classes": 10}, 10, False),
    ],
)
def test_names_belong_to_the_classes_as_they_are(
    tmp_path: Path, options: dict[str, Any], count: int, is_named: bool
) -> None:
    dataset = CamVid([], str(write_camvid(tmp_path, np.zeros((2, 2), np.uint8))), **options)
    assert dataset.num_classes == count
    assert (dataset.class_names is not None) == is_named


@pytest.mark.parametrize("options", [{}, {"num_classes": 11}])
def test_names_do_not_shift_when_zero_is_left_out(tmp_path: Path, options: dict[str, Any]) -> None:
    root = write_camvid(tmp_path, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="num_classes: reduce_zero_label leaves 10 of 11 classes; set"):
        CamVid([], str(root), reduce_zero_label=True, **options)


@pytest.mark.parametrize("options", [{"num_classes": 3}, {"class_names": ["a", "b"]}])
def test_fewer_classes_need_a_map(tmp_path: Path, options: dict[str, Any]) -> None:
    root = write_camvid(tmp_path, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"num_classes: CamVid has 11, got \d; merge or drop classes"):
        CamVid([], str(root), **options)
