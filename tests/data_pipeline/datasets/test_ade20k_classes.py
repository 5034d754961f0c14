"""ADE20K's layout, classes and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import ADE20K, UnpairedError
from paddleseg.data.datasets.ade20k_classes import CLASS_NAMES, PALETTE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for kind, name in (("images", "ADE_train_00000001.jpg"), ("annotations", "ADE_train_00000001.png")):
        (tmp_path / kind / "training").mkdir(parents=True)
        pixels = np.zeros((2, 4, 3), np.uint8) if kind == "images" else np.uint8([[0, 1, 150, 12]] * 2)
        Image.fromarray(pixels).save(tmp_path / kind / "training" / name)
    (tmp_path / "objectInfo150.txt").write_text("Idx\tRatio\n")
    (tmp_path / "sceneCategories.txt").write_text("ADE_train_00000001 airport\n")
    return tmp_path


def test_zero_is_everything_else(root: Path) -> None:
    dataset = ADE20K([], str(root))
    assert dataset.load(0).label[0].tolist() == [255, 0, 149, 11]
    assert ADE20K([], str(root), reduce_zero_label=False, num_classes=151).load(0).label[0].tolist() == [
        0,
        1,
        150,
        12,
    ]


def test_keys_of_label_map_are_classes_not_the_files_ids(root: Path) -> None:
    dataset = ADE20K(
        [], str(root), label_map={0: 0, 11: 1, "other": "ignore"}, class_names=["wall", "sidewalk"]
    )
    assert dataset.load(0).label[0].tolist() == [255, 0, 255, 1]


def test_an_image_without_annotation(root: Path) -> None:
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(root / "images/training/ADE_train_00000002.jpg")
    with pytest.raises(
        UnpairedError, match=r"1 of 2 images of train have no label .*annotations/training"
    ) as caught:
        ADE20K([], str(root))
    assert len(caught.value.dataset) == 1


def test_classes_and_colours() -> None:
    """Lines 1, 12, 13, 21, 77, 150 of objectInfo150.txt, rows of color150.mat."""
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(PALETTE) == 150
    wanted = {0: "wall", 11: "sidewalk", 12: "person", 20: "car", 76: "boat", 149: "flag"}
    assert {index: CLASS_NAMES[index] for index in wanted} == wanted
    assert CLASS_NAMES[44] == "chest of drawers"
    colours = {0: (120, 120, 120), 2: (6, 230, 230), 12: (150, 5, 61), 20: (0, 102, 200), 149: (92, 0, 255)}
    assert {index: PALETTE[index] for index in colours} == colours
