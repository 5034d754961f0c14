"""PASCAL VOC 2012 as its archive unpacks, with what voc_augment.py adds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import PascalVOC, UnpairedError
from paddleseg.errors import DataError

LISTS = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"], "aug": ["2008_000002"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """VOCdevkit/ with files that are none of ours: detection's lists and boxes, instances, other images."""
    folder = tmp_path / "VOCdevkit/VOC2012"
    lists = folder / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for name, names in {**LISTS, "trainval": LISTS["train"] + LISTS["val"]}.items():
        (lists / f"{name}.txt").write_text("\n".join(names) + "\n")
    for name in (
        "JPEGImages",
        "SegmentationClass",
        "SegmentationClassAug",
        "SegmentationObject",
        "Annotations",
    ):
        (folder / name).mkdir()
    for name in [*(name for names in LISTS.values() for name in names), "2012_004331"]:
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / f"JPEGImages/{name}.jpg")
        (folder / f"Annotations/{name}.xml").write_text("<annotation/>")
    for name in LISTS["train"] + LISTS["val"]:
        palette = Image.fromarray(np.uint8([[0, 15, 15, 255, 0, 20]] * 4))
        palette.putpalette([channel for colour in np.zeros((256, 3), int).tolist() for channel in colour])
        palette.save(folder / f"SegmentationClass/{name}.png")
        palette.save(folder / f"SegmentationObject/{name}.png")
    for name in LISTS["train"] + LISTS["aug"]:
        Image.fromarray(np.full((4, 6), 7, np.uint8)).save(folder / f"SegmentationClassAug/{name}.png")
    return tmp_path / "VOCdevkit"


def labels_of(dataset: PascalVOC) -> list[str]:
    return ["/".join(Path(pair.label).parts[-2:]) for pair in dataset.files if pair.label]


@pytest.mark.parametrize("inside", ["", "VOC2012"])
def test_modes(root: Path, inside: str) -> None:
    where = str(root / inside)
    train = [f"SegmentationClass/{name}.png" for name in LISTS["train"]]
    val = [f"SegmentationClass/{name}.png" for name in LISTS["val"]]
    assert labels_of(PascalVOC([], where)) == train
    assert labels_of(PascalVOC([], where, mode="val")) == val
    assert sorted(labels_of(PascalVOC([], where, mode="trainval"))) == sorted(train + val)
    augmented = PascalVOC([], where, mode="trainaug")
    assert labels_of(augmented) == [*train, "SegmentationClassAug/2008_000002.png"]
    assert (augmented.mode, augmented.subset) == ("train", "trainaug")


def test_palette_indices_are_the_classes(root: Path) -> None:
    assert PascalVOC([], str(root)).load(0).label[0].tolist() == [0, 15, 15, 255, 0, 20]


def test_trainaug_by_a_list_of_its_own(root: Path) -> None:
    lists = root / "VOC2012/ImageSets/Segmentation"
    (lists / "aug.txt").unlink()
    with pytest.raises(
        DataError, match=r"aug\.txt: no such list; mode trainaug needs what tools/voc_augment"
    ):
        PascalVOC([], str(root), mode="trainaug")
    (lists / "trainaug.txt").write_text("\n".join(LISTS["train"] + LISTS["aug"]) + "\n")
    names = [f"SegmentationClassAug/{name}.png" for name in LISTS["train"] + LISTS["aug"]]
    assert labels_of(PascalVOC([], str(root), mode="trainaug")) == names


def test_the_test_part(root: Path) -> None:
    (root / "VOC2012/ImageSets/Segmentation/test.txt").write_text("2012_004331\n")
    assert [pair.label for pair in PascalVOC([], str(root), mode="test").files] == [None]


def test_a_listed_file_that_is_missing(root: Path) -> None:
    (root / "VOC2012/SegmentationClass/2007_000032.png").unlink()
    with pytest.raises(UnpairedError, match=r"1 of 4 files do not exist:\n.*2007_000032\.png"):
        PascalVOC([], str(root))


def test_the_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt: no such list; dataset_root must be VOCdevkit/"):
        PascalVOC([], str(tmp_path))
    with pytest.raises(ValueError, match="mode: expected one of train, trainaug, trainval, val, test"):
        PascalVOC([], str(tmp_path), mode="training")


def test_classes() -> None:
    assert PascalVOC.CLASS_NAMES[15] == "person"
    assert PascalVOC.PALETTE[15] == (192, 128, 128)
    assert len(PascalVOC.CLASS_NAMES) == len(PascalVOC.PALETTE) == PascalVOC.NUM_CLASSES == 21
