"""COCO-Stuff's layouts, ids and classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import CocoStuff
from paddleseg.data.datasets.coco_stuff import LABEL_ID_TO_CLASS
from paddleseg.data.datasets.coco_stuff_classes import CLASS_NAMES, LABEL_IDS
from paddleseg.errors import DataError

NAME = "000000000139"


def write(root: Path, folder: str, values: list[int]) -> Path:
    for path, pixels in (
        (root / f"images/val2017/{NAME}.jpg", np.zeros((2, len(values), 3), np.uint8)),
        (root / f"{folder}/val2017/{NAME}.png", np.uint8([values] * 2)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


def test_official_files_are_mapped(tmp_path: Path) -> None:
    write(tmp_path, "stuffthingmaps", [0, 12, 89, 91, 181, 255])
    assert CocoStuff([], str(tmp_path), mode="val").load(0).label[0].tolist() == [0, 11, 79, 80, 170, 255]
    assert CocoStuff([], str(tmp_path), mode="val", ignore_index=-1).load(0).label[0, 5] == -1


def test_converted_files_win_and_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, "stuffthingmaps", [181, 181])
    write(tmp_path, "annotations", [0, 170])
    assert CocoStuff([], str(tmp_path), mode="val").load(0).label[0].tolist() == [0, 170]
    write(tmp_path, "convert_annotations", [3, 4])  # the folder that convert_cocostuff.py makes by itself
    assert CocoStuff([], str(tmp_path), mode="val").load(0).label[0].tolist() == [3, 4]


def test_official_ids_among_the_converted_are_found(tmp_path: Path) -> None:
    write(tmp_path, "annotations", [0, 181])
    with pytest.raises(
        DataError, match=rf"{NAME}\.png: the label holds 181 .*own ids\? Name their folder stuff"
    ):
        CocoStuff([], str(tmp_path), mode="val").load(0)


def test_converted_files_among_the_official_are_found(tmp_path: Path) -> None:
    write(tmp_path, "stuffthingmaps", [0, 11, 170])
    with pytest.raises(DataError, match=rf"{NAME}\.png: holds 11, which COCO-Stuff does not use; files that"):
        CocoStuff([], str(tmp_path), mode="val").load(0)


def test_annotations_may_hold_json_files_alone(tmp_path: Path) -> None:
    write(tmp_path, "stuffthingmaps", [0, 181])
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val2017.json").touch()
    assert CocoStuff([], str(tmp_path), mode="val").load(0).label[0].tolist() == [0, 170]


def test_the_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"images/val2017: no such folder; dataset_root must hold images/ and"
    ):
        CocoStuff([], str(tmp_path), mode="val")


def test_classes() -> None:
    """From labels.txt of COCO-Stuff, whose numbers are one higher than the files' ids."""
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(LABEL_IDS) == CocoStuff.NUM_CLASSES == 171
    names = {0: "person", 9: "traffic light", 12: "stop sign", 89: "toothbrush", 91: "banner", 181: "wood"}
    assert {label: CLASS_NAMES[LABEL_ID_TO_CLASS[label]] for label in names} == names
    assert [label for label in range(182) if LABEL_ID_TO_CLASS[label] == 255] == [
        *(11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
    ]
    assert (LABEL_ID_TO_CLASS[182:] == 255).all()
