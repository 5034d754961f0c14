"""tools/convert_voc2010.py on an annotation file like Pascal Context's, with masks made by the COCO tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import convert_voc2010 as tool
from run_lengths import decode_mask
from tool_cases import contents, refusal, succeed, write_picture, write_text

from paddleseg.data.datasets.pascal_context import PascalContext
from paddleseg.data.datasets.pascal_voc import PascalVOC

# pycocotools 2.0 wrote this for [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]].
TEXT = {"size": [3, 4], "counts": "412010"}
CORNER = {"size": [3, 4], "counts": [0, 1, 11]}  # the pixel at the top left
ALL = {"size": [3, 4], "counts": "0<"}


def annotation(number: int, image: int, category: int, mask: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "segmentation": mask, "parts": []}


def image(number: int, name: str, phase: str) -> dict[str, Any]:
    return {"image_id": number, "file_name": name, "phase": phase, "width": 4, "height": 3}


def make(root: Path, **changes: Any) -> Path:
    """VOC2010 with three images; the test image is not annotated."""
    tree = {
        "images": [
            image(2008000002, "2008_000002.jpg", "val"),
            image(2008000001, "2008_000001.jpg", "train"),
            image(2008000003, "2008_000003.jpg", "test"),
        ],
        "annos_segmentation": [
            annotation(1, 2008000001, 2, ALL),
            annotation(2, 2008000002, 458, CORNER),
            annotation(3, 2008000001, 415, TEXT),
        ],
        "categories": [],
        **changes,
    }
    for number in (1, 2, 3):
        write_picture(root / f"JPEGImages/2008_00000{number}.jpg", np.zeros((3, 4, 3), np.uint8))
    write_text(root / "ImageSets/Segmentation/train.txt", "2007_000032\n")
    write_text(root / "trainval_merged.json", json.dumps(tree))
    return root


def test_labels_and_lists_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voc = make(tmp_path / "VOC2010")
    succeed(tool.main, "--voc_path", voc, "--annotation_path", voc)
    assert sorted(contents(voc / "Context")) == ["2008_000001.png", "2008_000002.png"]
    train = cv2.imread(str(voc / "Context/2008_000001.png"), cv2.IMREAD_UNCHANGED)
    # Places among the sorted 60 ids, background first: 2 is aeroplane, 1; 415 track, 51; 458 wood, 59.
    assert train.tolist() == [[1, 1, 1, 1], [1, 51, 51, 1], [1, 1, 1, 51]]
    val = cv2.imread(str(voc / "Context/2008_000002.png"), cv2.IMREAD_UNCHANGED)
    assert val.tolist() == [[59, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    lists = voc / "ImageSets/Segmentation"
    assert (lists / "train_context.txt").read_text() == "2008_000001\n"
    assert (lists / "val_context.txt").read_text() == "2008_000002\n"
    assert (lists / "trainval_context.txt").read_text() == "2008_000001\n2008_000002\n"
    assert "wrote 2 labels; lists: train 1, val 1, trainval 2" in capsys.readouterr().out


def test_the_classes_are_those_of_the_data_set(tmp_path: Path) -> None:
    voc = make(tmp_path)
    succeed(tool.main, "--voc_path", voc)
    assert len(tool.CATEGORIES) == len(set(tool.CATEGORIES)) == 60 == PascalContext.NUM_CLASSES
    assert list(tool.CATEGORIES) == sorted(tool.CATEGORIES)
    names = PascalContext.CLASS_NAMES
    assert names is not None
    # Ids of PASCAL VOC's classes, in VOC's order, as detail's eval_orders has them first.
    ids = [2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368, 416, 427]
    found = [names[tool.CATEGORIES.index(number)] for number in ids]
    assert found == ["table" if name == "diningtable" else name for name in PascalVOC.CLASS_NAMES[1:]]
    sample = PascalContext([], dataset_root=str(voc), mode="train").load(0)
    assert sample.label is not None
    assert np.unique(sample.label).tolist() == [1, 51]


def test_run_lengths_of_the_coco_tools() -> None:
    # pycocotools 2.0 wrote this for rows 5 to 19 of columns 3 to 29, and two corners, of 40 × 50 pixels.
    text = "01l3>mL000000000000000000000000000000000000000000000000000jh0B"
    expected = np.zeros((40, 50), bool)
    expected[5:20, 3:30] = expected[0, 0] = expected[39, 49] = True
    assert (decode_mask({"size": [40, 50], "counts": text}, "x") == expected).all()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ({"size": [3, 4], "counts": "41201"}, "do not fill 4×3 pixels"),
        ({"size": [3, 4], "counts": "41201P"}, "ends in the middle of a number"),
        ({"size": [3, 4], "counts": "4!"}, "no run-length text"),
        ({"size": [3, 4], "counts": "o" * 50}, "no run-length text"),
        ({"size": [3, 4], "counts": [13, -1]}, "do not fill"),
        ({"size": [3, 4], "counts": [6.0, 6.0]}, "do not fill"),
        ({"size": [3], "counts": ""}, "expected [height, width]"),
        ({"size": [4, 3], "counts": "0<"}, "a mask of 3×4, the image 4×3"),
        ({"counts": "0<"}, "expected an entry 'size'"),
    ],
)
def test_bad_masks(
    mask: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voc = make(tmp_path, annos_segmentation=[annotation(7, 2008000001, 2, mask)])
    message = refusal(tool.main, capsys, "--voc_path", voc)
    assert expected in message
    assert "trainval_merged.json: 2008_000001.jpg: annotation 7" in message
    assert not (voc / "Context").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"images": []}, "names no images of phase train"),
        ({"images": 3}, "images is '3'"),
        ({"images": [image(1, "../../x.jpg", "train")]}, "file_name '../../x.jpg'"),
        ({"images": [image(1, "a.jpg", "train"), image(2, "b.jpg", "val")]}, "JPEGImages: lacks 2 images"),
        (
            {"images": [image(1, "a.jpg", "train"), image(1, "b.jpg", "val")]},
            "images[1]: image_id 1 is another image's, too",
        ),
        ({"annos_segmentation": [annotation(1, 2008000001, 3, ALL)]}, "category 3 is none of Pascal Context"),
        ({"annos_segmentation": [5]}, "annos_segmentation[0]: expected an entry 'image_id'"),
    ],
)
def test_bad_annotations(
    changes: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voc = make(tmp_path, **changes)
    before = contents(voc)
    assert expected in refusal(tool.main, capsys, "--voc_path", voc)
    assert contents(voc) == before


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "JPEGImages: no such folder" in refusal(tool.main, capsys, "--voc_path", tmp_path)
    (tmp_path / "JPEGImages").mkdir()
    assert "trainval_merged.json: no such file" in refusal(tool.main, capsys, "--voc_path", tmp_path)
