"""tools/convert_cocostuff.py on label pictures in the true layout."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import convert_cocostuff as tool
from tool_cases import contents, refusal, succeed, write_picture

# Value in the file, class. From COCO-Stuff's table: 11 ids (one more than the values: 12, 26, 29, 30, 45, 66,
# 68, 69, 71, 83, 91) are of things without annotations, so a class is its value less the gaps before it.
MAPPED = [(0, 0), (10, 10), (12, 11), (24, 23), (26, 24), (27, 25), (30, 26), (43, 39), (45, 40), (64, 59)]
MAPPED += [(66, 60), (69, 61), (71, 62), (81, 72), (83, 73), (89, 79), (91, 80), (181, 170), (255, 255)]


def make(root: Path) -> Path:
    values = np.array([[value for value, _ in MAPPED]], np.uint8)
    write_picture(root / "annotations/train2017/000000000009.png", values)
    write_picture(root / "annotations/val2017/000000000139.png", values[:, ::-1])
    return root / "annotations"


def test_classes_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "convert_annotations"
    succeed(tool.main, "--annotation_path", make(tmp_path), "--save_path", output)
    assert sorted(contents(output)) == ["train2017/000000000009.png", "val2017/000000000139.png"]
    train = cv2.imread(str(output / "train2017/000000000009.png"), cv2.IMREAD_UNCHANGED)
    val = cv2.imread(str(output / "val2017/000000000139.png"), cv2.IMREAD_UNCHANGED)
    assert train.tolist() == [[label for _, label in MAPPED]]
    assert val.tolist() == [[label for _, label in MAPPED[::-1]]]
    assert f"{output}: wrote 2 labels; train2017 1, val2017 1\n" in capsys.readouterr().out


def test_defaults_are_paddleseg_s_and_a_second_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    succeed(tool.main)
    (tmp_path / "convert_annotations/val2017/000000000139.png").unlink()
    capsys.readouterr()
    succeed(tool.main)
    assert "wrote 1 labels (1 were there already)" in capsys.readouterr().out


def test_palette_indices_are_the_values(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[12, 255]], np.uint8))
    picture.putpalette([1, 2, 3] * 256)
    picture.save(tmp_path / "a.png")
    assert tool.convert_label(tmp_path / "a.png").tolist() == [[11, 255]]


def test_a_converted_file_is_not_converted_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "annotations"
    write_picture(source / "train2017/a.png", np.array([[0, 11, 67]], np.uint8))
    message = refusal(tool.main, capsys, "--annotation_path", source, "--save_path", tmp_path / "out")
    assert "train2017/a.png: holds 11, 67, which COCO-Stuff does not use" in message


def test_the_originals_are_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path)
    before = contents(source)
    flags = ["--annotation_path", source, "--save_path", f"{source}/../annotations", "--overwrite"]
    assert "is the input folder" in refusal(tool.main, capsys, *flags)
    assert contents(source) == before


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no: no such folder" in refusal(tool.main, capsys, "--annotation_path", tmp_path / "no")
    assert "holds no train2017/*.png" in refusal(tool.main, capsys, "--annotation_path", tmp_path)
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017/a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    flags = ["--annotation_path", tmp_path, "--save_path", tmp_path / "out"]
    assert "val2017/a.png: " in refusal(tool.main, capsys, *flags)
    assert not (tmp_path / "out").exists()
