"""test_tipc/compare_results.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tipc_workspace import ROOT

sys.path.insert(0, str(ROOT / "test_tipc"))

import compare_results
from compare_results import Summary, differences, summarise


def write_labels(folder: Path, **labels: np.ndarray) -> None:
    for name, label in labels.items():
        file = folder / "label" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), label)


@pytest.fixture
def label() -> np.ndarray:
    """64×48: 2 left of the middle, 7 right of it."""
    pixels = np.full((48, 64), 2, np.uint8)
    pixels[:, 32:] = 7
    return pixels


@pytest.fixture
def stored(tmp_path: Path, label: np.ndarray) -> Path:
    """The file of results, as --save writes it, of two pictures."""
    folder = tmp_path / "reference"
    write_labels(folder, one=label, two=label.T.copy())
    file = tmp_path / "net_fp32.json"
    assert compare_results.main(["--save", str(file), "--predict_dir", str(folder)]) == 0
    return file


def compare(stored: Path, folder: Path, *flags: str) -> int:
    return compare_results.main(["--metric_file", str(stored), "--predict_dir", str(folder), *flags])


def test_a_summary_by_hand(label: np.ndarray) -> None:
    summary = summarise(label)
    assert summary.size == [48, 64]
    assert summary.shares == {"2": 0.5, "7": 0.5}
    assert summary.grid == [" ".join(["2"] * 8 + ["7"] * 8)] * 16


def test_the_grid_takes_the_middles_of_cells() -> None:
    """Naive: pixel ⌊(i + ½)·n/16⌋ of each axis."""
    label = np.random.default_rng(0).integers(0, 300, (50, 37)).astype(np.uint16)
    rows = [
        " ".join(str(label[int((i + 0.5) * 50 / 16), int((j + 0.5) * 37 / 16)]) for j in range(16))
        for i in range(16)
    ]
    assert summarise(label).grid == rows


def test_differences_by_hand(label: np.ndarray) -> None:
    other = label.copy()
    other[:12, :32] = 7  # a quarter of the rows, half of the columns: an eighth
    assert differences(summarise(label), summarise(other)) == (0.125, 0.125)
    assert differences(summarise(label), summarise(label[:, ::-1])) == (1.0, 0.0)
    assert differences(summarise(label), summarise(label)) == (0.0, 0.0)


def test_equal_results_pass(stored: Path, tmp_path: Path, label: np.ndarray) -> None:
    folder = tmp_path / "python_infer_precision_fp32_results"
    write_labels(folder, one=label, two=label.T.copy())
    assert compare(stored, folder, "--atol", "0") == 0


@pytest.mark.parametrize(("atol", "status"), [("0.13", 0), ("0.12", 1)])
def test_the_tolerance_decides(
    stored: Path, tmp_path: Path, label: np.ndarray, atol: str, status: int
) -> None:
    folder = tmp_path / "precision_fp32_results"
    changed = label.copy()
    changed[:12, :32] = 7  # 12.5 %
    write_labels(folder, one=changed, two=label.T.copy())
    assert compare(stored, folder, "--atol", atol) == status


def test_what_differs_is_named(
    stored: Path, tmp_path: Path, label: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "precision_fp32_results"
    write_labels(folder, one=label[:, ::-1].copy(), three=label)
    assert compare(stored, folder) == 1
    said = "".join(capfd.readouterr())
    assert "one.png: 100.00% of the cells and 0.00% of the class shares differ" in said
    assert "two.png: not predicted" in said
    assert "three.png: not among the stored results" in said
    assert f"Assert allclose failed! The results of {folder.name} and {stored} are inconsistent!" in said


def test_another_size_is_a_difference(stored: Path, tmp_path: Path, label: np.ndarray) -> None:
    folder = tmp_path / "precision_fp32_results"
    write_labels(folder, one=np.repeat(label, 2, axis=0), two=label.T.copy())
    assert compare(stored, folder) == 1


def test_one_failure_among_several_folders_counts(stored: Path, tmp_path: Path, label: np.ndarray) -> None:
    write_labels(tmp_path / "a_fp32_results", one=label, two=label.T.copy())
    write_labels(tmp_path / "b_fp32_results", one=label, two=label)
    assert compare(stored, tmp_path / "*_fp32_results") == 1


def test_precisions_are_kept_apart(stored: Path, tmp_path: Path, label: np.ndarray) -> None:
    write_labels(tmp_path / "a_int8_results", one=label)
    write_labels(tmp_path / "b_fp32_results", one=label, two=label.T.copy())
    assert compare(stored, tmp_path / "*_results") == 0
    assert compare(stored, tmp_path / "a_int8_results") == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"images": {}}',
        '{"images": {"a": 1}}',
        '{"images": {"a": {"size": [1, 1]}}}',
        '{"images": {"a": {"size": [1, 1], "shares": {}, "grid": []}}}',
        '{"images": {"a": {"size": [1, 1], "shares": {"1": "x"}, "grid": ["1"]}}}',
    ],
)
def test_a_damaged_stored_result_gets_one_message(
    tmp_path: Path, label: np.ndarray, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad_fp32.json"
    file.write_text(content)
    write_labels(tmp_path / "a_fp32_results", one=label)
    assert compare(file, tmp_path / "a_fp32_results") == 2
    assert str(file) in capfd.readouterr().err


def test_bad_requests_get_one_message(
    stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty_fp32_results"
    empty.mkdir()
    assert compare(stored, empty) == 2
    assert "no label pictures" in capfd.readouterr().err
    assert compare(stored, tmp_path / "nowhere*") == 2
    assert "nowhere*: no such folder" in capfd.readouterr().err
    assert compare(tmp_path / "nothing*.json", empty) == 2
    assert "nothing*.json: no such file" in capfd.readouterr().err
    assert compare(stored, empty, "--atol", "5") == 2
    assert "--atol 5.0: expected" in capfd.readouterr().err
    assert compare(stored, empty, "--gt_dir", "x") == 2
    assert "--gt_dir: labels are compared" in capfd.readouterr().err
    (empty / "label").mkdir()
    (empty / "label/one.png").write_bytes(b"no picture")
    assert compare(stored, empty) == 2
    assert "one.png: not a picture of class ids" in capfd.readouterr().err


def test_the_stored_results_of_the_project_can_be_read_and_are_small() -> None:
    files = sorted((ROOT / "test_tipc/results").glob("*.json"))
    assert files
    for file in files:
        assert file.stat().st_size < 100_000
        images = compare_results.read_stored(file)
        assert all(isinstance(image, Summary) and len(image.grid) == 16 for image in images.values())
        # A constant picture would agree with many a broken model.
        assert all(len(image.shares) >= 5 for image in images.values())
        assert json.loads(file.read_text())
