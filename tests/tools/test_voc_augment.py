"""tools/voc_augment.py on a small SBD and a small VOC 2012 in their true layouts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import voc_augment as tool
from tool_cases import contents, refusal, succeed, write_picture, write_text

from paddleseg.data.datasets.pascal_voc import PascalVOC

LABEL = np.array([[0, 1, 20], [5, 0, 0]], np.uint8)


def write_mat(path: Path, segmentation: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = {"Boundaries": np.zeros((20, 1)), "Segmentation": segmentation, "CategoriesPresent": [1, 5, 20]}
    savemat(path, {"GTcls": classes}, do_compression=True)
    return path


def make(root: Path) -> list[str]:
    """SBD: a, b (in VOC already) and mat_3 for training, d for validation, and a file that no list names."""
    sbd, voc = root / "benchmark_RELEASE/dataset", root / "VOCdevkit/VOC2012"
    for index, name in enumerate(["a", "b", "mat_3", "d", "extra"]):
        write_mat(sbd / f"cls/{name}.mat", (LABEL + index) % 21)
        write_picture(voc / f"JPEGImages/{name}.jpg", np.zeros((2, 3, 3), np.uint8))
    write_text(sbd / "train.txt", "mat_3\nb\na\n")
    write_text(sbd / "val.txt", "d\n")
    write_text(voc / "ImageSets/Segmentation/trainval.txt", "v\nb\n")
    write_text(voc / "ImageSets/Segmentation/train.txt", "b\n")
    write_picture(voc / "SegmentationClass/b.png", LABEL)
    return ["--voc_path", str(root / "VOCdevkit"), "--sbd_path", str(root / "benchmark_RELEASE")]


def test_labels_and_list_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = make(tmp_path)
    succeed(tool.main, *flags, "--num_workers", "2")
    voc = tmp_path / "VOCdevkit/VOC2012"
    assert (voc / "ImageSets/Segmentation/aug.txt").read_text() == "a\nd\nmat_3\n"
    # As PaddleSeg does, every file becomes a label; the list says which count.
    names = ["a.png", "b.png", "d.png", "extra.png", "mat_3.png"]
    assert sorted(contents(voc / "SegmentationClassAug")) == names
    label = cv2.imread(str(voc / "SegmentationClassAug/a.png"), cv2.IMREAD_UNCHANGED)
    assert label.tolist() == LABEL.tolist()
    label = cv2.imread(str(voc / "SegmentationClassAug/d.png"), cv2.IMREAD_UNCHANGED)
    assert label.tolist() == [[3, 4, 2], [8, 3, 3]]
    assert "wrote 5 labels" in (out := capsys.readouterr().out)
    assert "aug.txt: 3 images" in out
    succeed(tool.main, "--voc_path", voc, *flags[2:])  # VOC2012 itself will do
    assert "wrote 0 labels (5 were there already)" in capsys.readouterr().out
    dataset = PascalVOC([], dataset_root=str(tmp_path / "VOCdevkit"), mode="trainaug")
    assert [Path(pair.image).stem for pair in dataset.files] == ["b", "a", "d", "mat_3"]
    assert dataset.load(1).label.tolist() == LABEL.tolist()


@pytest.mark.parametrize(
    "data",
    [b"", b"MATLAB 5.0", b"\x89HDF\r\n\x1a\n" + b"\0" * 600, np.ones((2, 3)), np.full((2, 3), 21, np.uint8)],
)
def test_damaged_files(data: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = make(tmp_path)
    path = tmp_path / "benchmark_RELEASE/dataset/cls/a.mat"
    path.write_bytes(data) if isinstance(data, bytes) else write_mat(path, data)
    assert f"error: {path}: " in f"error: {refusal(tool.main, capsys, *flags)}"
    assert not (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt").exists()


def test_a_file_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = make(tmp_path)
    path = tmp_path / "benchmark_RELEASE/dataset/cls/a.mat"
    path.write_bytes(path.read_bytes()[:200])
    assert "cls/a.mat: is no file of SBD's dataset/cls, or damaged" in refusal(tool.main, capsys, *flags)


def test_missing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = make(tmp_path)
    (tmp_path / "VOCdevkit/VOC2012/JPEGImages/d.jpg").unlink()
    message = refusal(tool.main, capsys, *flags)
    assert "JPEGImages: lacks 1 of 3 listed files:\n  d.jpg" in message
    (tmp_path / "benchmark_RELEASE/dataset/cls/mat_3.mat").unlink()
    assert "cls: lacks 1 of 4 listed files:\n  mat_3.mat" in refusal(tool.main, capsys, *flags)
    (tmp_path / "benchmark_RELEASE/dataset/val.txt").unlink()
    assert "val.txt: cannot be read" in refusal(tool.main, capsys, *flags)
    assert "--sbd_path" in refusal(tool.main, capsys, *flags[:2], "--sbd_path", tmp_path)
    assert "VOC2012: no such folder" in refusal(tool.main, capsys, "--voc_path", tmp_path, *flags[2:])
    assert not (tmp_path / "VOCdevkit/VOC2012/SegmentationClassAug").exists()
