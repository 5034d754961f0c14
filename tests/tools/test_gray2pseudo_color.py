"""tools/gray2pseudo_color.py: ids stay, colours are PaddleSeg's, and nothing is passed over in silence."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import gray2pseudo_color as tool
from tool_cases import contents, refusal, succeed, write_picture, write_text

IDS = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)
# PaddleSeg's get_color_map_list by hand: the bits of id + 1 go to red, green, blue in turn, highest first.
COLOURS = {
    0: (128, 0, 0),
    1: (0, 128, 0),
    2: (128, 128, 0),
    7: (64, 0, 0),
    254: (224, 224, 192),
    255: (0, 0, 32),
}


def check(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert (np.asarray(picture) == IDS).all()
        colours = np.asarray(picture.convert("RGB"))
    assert {
        int(i): tuple(map(int, c)) for i, c in zip(IDS.ravel(), colours.reshape(-1, 3), strict=True)
    } == COLOURS


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, output = tmp_path / "labels", tmp_path / "labels" / "colour"
    write_picture(labels / "a.png", IDS)
    write_picture(labels / "x/b.bmp", IDS)
    write_text(labels / "notes.txt", "no picture")
    succeed(tool.main, labels, output)
    assert sorted(contents(output)) == ["a.png", "x/b.png"]
    check(output / "a.png")
    check(output / "x/b.png")
    assert capsys.readouterr().out == f"{output}: wrote 2 pictures\n"
    succeed(tool.main, labels, output)  # the output folder is no input
    assert sorted(contents(output)) == ["a.png", "x/b.png"]
    assert "wrote 0 pictures (2 were there already)" in capsys.readouterr().out


def test_a_list(tmp_path: Path) -> None:
    write_picture(tmp_path / "data/labels/my a.png", IDS)
    write_picture(tmp_path / "data/labels/other.png", IDS)
    listed = write_text(tmp_path / "list.txt", "images/my a.jpg;labels/my a.png\n\n")
    output = tmp_path / "out"
    succeed(tool.main, listed, output, "--dataset_dir", tmp_path / "data", "--file_separator", ";")
    assert list(contents(output)) == ["labels/my a.png"]
    check(output / "labels/my a.png")


def test_absolute_names_do_not_lead_out_of_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PaddleSeg joins the output folder with the name, so that an absolute one replaces the label itself."""
    label = write_picture(tmp_path / "data/labels/a.png", IDS)
    before, flags = label.read_bytes(), ["--dataset_dir", tmp_path / "data", "--file_separator", " "]
    listed = write_text(tmp_path / "list.txt", f"a.jpg {label}\n")
    succeed(tool.main, listed, tmp_path / "out", *flags)
    assert label.read_bytes() == before
    check(tmp_path / "out/labels/a.png")
    listed = write_text(tmp_path / "list.txt", "a.jpg ../secret.png\n")
    assert "list.txt:1: ../secret.png is not in --dataset_dir" in refusal(
        tool.main, capsys, listed, tmp_path / "out", *flags
    )


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        (
            "a.png",
            np.array([[0, 300]], np.uint16),
            "a.png: holds 0 to 300; a palette has colours for 0 to 255",
        ),
        ("a.png", np.array([[[1, 2, 3]]], np.uint8), "a.png: the label is a colour mask"),
        ("a.jpg", np.zeros((8, 8), np.uint8), "holds no label picture"),
    ],
)
def test_unfit_labels(
    name: str, pixels: np.ndarray, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "in" / name, pixels)
    assert expected in refusal(tool.main, capsys, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_label_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = cv2.imencode(".png", np.arange(4096, dtype=np.uint8).reshape(64, 64))[1].tobytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(data[: len(data) // 2])
    assert f"{tmp_path}/in/a.png" in refusal(tool.main, capsys, tmp_path / "in", tmp_path / "out")


def test_other_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = write_picture(tmp_path / "in/a.png", IDS)
    before = label.read_bytes()
    assert "no such folder or list file" in refusal(tool.main, capsys, tmp_path / "no", tmp_path / "out")
    assert "is the input folder" in refusal(
        tool.main, capsys, tmp_path / "in", tmp_path / "in", "--overwrite"
    )
    assert label.read_bytes() == before
    listed = write_text(tmp_path / "list.txt", "a.jpg\n")
    assert "needs --dataset_dir" in refusal(tool.main, capsys, listed, tmp_path / "out")
    flags = ["--dataset_dir", tmp_path / "in", "--file_separator", " "]
    assert "list.txt:1: expected 'image label'" in refusal(
        tool.main, capsys, listed, tmp_path / "out", *flags
    )
    write_picture(tmp_path / "in/a.bmp", IDS)
    assert "a.bmp and a.png would both become a.png" in refusal(
        tool.main, capsys, tmp_path / "in", tmp_path / "out"
    )
