"""LIP as its archives unpack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import LIP


def write(root: Path, *, archives: bool) -> Path:
    images, labels = ("TrainVal_images/", "TrainVal_parsing_annotations/") if archives else ("", "")
    for part in ("train", "val"):
        for folder in (f"{images}{part}_images", f"{labels}{part}_segmentations"):
            (root / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(root / f"{images}{part}_images/1_2.jpg")
        Image.fromarray(np.full((4, 6), 19, np.uint8)).save(root / f"{labels}{part}_segmentations/1_2.png")
    # What else is in the archives.
    (root / images / "train_id.txt").write_text("1_2\n")
    (root / labels / "train_segmentations_reversed").mkdir()
    return root


@pytest.mark.parametrize("archives", [True, False])
@pytest.mark.parametrize("mode", ["train", "val"])
def test_both_layouts(tmp_path: Path, archives: bool, mode: str) -> None:
    dataset = LIP([], str(write(tmp_path, archives=archives)), mode=mode)
    assert len(dataset) == 1
    assert dataset.load(0).label.tolist() == [[19] * 6] * 4


def test_classes() -> None:
    assert LIP.CLASS_NAMES[0] == "Background"
    assert LIP.CLASS_NAMES[14:16] == ("Left-arm", "Right-arm")
    assert LIP.CLASS_NAMES[19] == "Right-shoe"
    assert len(LIP.CLASS_NAMES) == LIP.NUM_CLASSES == 20
