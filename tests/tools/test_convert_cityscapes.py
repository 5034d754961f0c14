"""tools/convert_cityscapes.py on polygons in the true layout, and against cityscapesScripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import convert_cityscapes as tool
from tool_cases import contents, refusal, succeed, write_text

from paddleseg.data.datasets.cityscapes import Cityscapes

NAME = "gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json"


def box(label: str, left: int, top: int, right: int, bottom: int, **more: Any) -> dict[str, Any]:
    polygon = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "polygon": polygon, **more}


def frame(*objects: dict[str, Any], size: tuple[int, int] = (6, 4)) -> str:
    return json.dumps({"imgWidth": size[0], "imgHeight": size[1], "objects": list(objects)})


def label_of(root: Path) -> list[list[int]]:
    path = root / NAME.replace("_polygons.json", "_labelTrainIds.png")
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tolist()


def test_train_ids_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects = [
        box("road", 0, 2, 5, 3),
        box("cargroup", 1, 1, 2, 2),  # drawn as car, 13
        box("sky", 0, 0, 5, 1, deleted=1),
        box("license plate", 1, 2, 1, 2),  # leaves what is below it
        box("ego vehicle", 4, 3, 5, 3),
        box("polegroup", 4, 0, 4, 1),  # a class of its own, which is not evaluated
        box("pole", 5, 0, 5, 2),
    ]
    write_text(tmp_path / NAME, frame(*objects))
    succeed(tool.main, "--cityscapes_path", tmp_path, "--num_workers", "2")
    assert label_of(tmp_path) == [
        [255, 255, 255, 255, 255, 5],
        [255, 13, 13, 255, 255, 5],
        [0, 13, 13, 0, 0, 5],
        [0, 0, 0, 0, 255, 255],
    ]
    assert f"{tmp_path}/gtFine: wrote 1 label pictures\n" in capsys.readouterr().out


def test_names_and_drawing_are_the_official_ones(tmp_path: Path, rng: np.random.Generator) -> None:
    official = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    by_name = official.name2label
    assert {name: label.trainId for name, label in by_name.items() if label.id >= 0} == tool.TRAIN_IDS
    names = [*by_name, *(f"{name}group" for name in by_name)]
    for _ in range(20):
        objects = [
            {
                "label": str(rng.choice(names)),
                "polygon": rng.integers(-9, 70, (rng.integers(2, 9), 2)).tolist(),
                "deleted": int(rng.random() < 0.2),
            }
            for _ in range(10)
        ]
        source = write_text(tmp_path / "x_polygons.json", frame(*objects, size=(61, 37)))
        official.json2labelImg(str(source), str(tmp_path / "x.png"), "trainIds")
        expected = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)
        assert (tool.draw_train_ids(source) == expected).all()


def test_the_data_set_reads_what_is_made(tmp_path: Path) -> None:
    write_text(tmp_path / NAME, frame(box("train", 0, 0, 5, 3)))
    image = (tmp_path / NAME.replace("gtFine", "leftImg8bit", 1)).with_name(
        "aachen_000000_000019_leftImg8bit.png"
    )
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.zeros((4, 6, 3), np.uint8))
    succeed(tool.main, "--cityscapes_path", tmp_path)
    assert (Cityscapes([], str(tmp_path)).load(0).label == 16).all()


def test_the_same_pixels_are_no_other_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """tools/prepare_cityscapes.py, or the official script, may have written the file."""
    target = tmp_path / NAME.replace("_polygons.json", "_labelTrainIds.png")
    write_text(tmp_path / NAME, frame(box("road", 0, 0, 5, 3)))
    cv2.imwrite(str(target), np.zeros((4, 6), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    before = contents(tmp_path)
    succeed(tool.main, "--cityscapes_path", tmp_path)
    assert contents(tmp_path) == before
    write_text(tmp_path / NAME, frame(box("car", 0, 0, 5, 3)))
    assert "--overwrite" in refusal(tool.main, capsys, "--cityscapes_path", tmp_path)
    succeed(tool.main, "--cityscapes_path", tmp_path, "--overwrite")
    assert label_of(tmp_path)[0][0] == 13


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not valid JSON"),
        ("{}", "expected an entry 'imgWidth'"),
        ('{"imgWidth": 10, "imgHeight": 0, "objects": []}', "10×0 is no size of a picture"),
        ('{"imgWidth": 99999, "imgHeight": 99999, "objects": []}', "is no size of a picture"),
        (frame(box("rode", 0, 0, 1, 1)), "objects[0]: unknown label 'rode'; did you mean 'road'?"),
        (frame({"label": "road"}), "objects[0]: expected an entry 'polygon'"),
        (frame({"label": "road", "polygon": [[1, 1]]}), "the polygon has 1 point(s)"),
        (frame({"label": "road", "polygon": [[1, 1], [2]]}), "polygon holds [2], expected [x, y] in pixels"),
    ],
)
def test_bad_files(text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(tmp_path / NAME, text)
    message = refusal(tool.main, capsys, "--cityscapes_path", tmp_path)
    assert expected in message
    assert NAME in message
    assert list(contents(tmp_path)) == [NAME]


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "gtFine: no such folder" in refusal(tool.main, capsys, "--cityscapes_path", tmp_path)
    (tmp_path / "gtFine").mkdir()
    assert "unpack gtFine_trainvaltest.zip" in refusal(tool.main, capsys, "--cityscapes_path", tmp_path)
