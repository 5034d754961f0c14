"""PASCAL-Context as convert_voc2010.py leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import PascalContext
from paddleseg.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "VOC2010"
    for name in ("ImageSets/Segmentation", "JPEGImages", "Context", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    for name in ("2008_000002", "2008_000003"):
        Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(folder / f"JPEGImages/{name}.jpg")
        Image.fromarray(np.uint8([[0, 1, 59, 0]] * 2)).save(folder / f"Context/{name}.png")
    lists = folder / "ImageSets/Segmentation"
    (lists / "train_context.txt").write_text("2008_000002\n")
    (lists / "val_context.txt").write_text("2008_000003\n")
    (lists / "trainval_context.txt").write_text("2008_000003\n2008_000002\n")
    (lists / "train.txt").write_text("2007_000032\n")  # VOC's own list
    return tmp_path


@pytest.mark.parametrize("inside", ["", "VOC2010"])
@pytest.mark.parametrize(("mode", "numbers"), [("train", "2"), ("val", "3"), ("trainval", "32")])
def test_modes(root: Path, inside: str, mode: str, numbers: str) -> None:
    dataset = PascalContext(transforms=[], dataset_root=str(root / inside), mode=mode)
    assert "".join(Path(pair.image).stem[-1] for pair in dataset.files) == numbers
    assert {Path(pair.label).parent.name for pair in dataset.files} == {"Context"}


def test_background_may_be_left_out(root: Path) -> None:
    assert PascalContext([], str(root)).load(0).label[0].tolist() == [0, 1, 59, 0]
    without = PascalContext([], str(root), reduce_zero_label=True, num_classes=59)
    assert without.load(0).label[0].tolist() == [255, 0, 58, 255]
    assert without.class_names is None


def test_what_has_to_be_run_first_is_named(root: Path) -> None:
    (root / "VOC2010/ImageSets/Segmentation/val_context.txt").unlink()
    with pytest.raises(DataError, match=r"val_context\.txt: no such list; .*tools/convert_voc2010\.py"):
        PascalContext([], str(root), mode="val")


def test_classes() -> None:
    """In the order of their ids among the 459; these are from the authors' list."""
    names = PascalContext.CLASS_NAMES
    assert len(names) == PascalContext.NUM_CLASSES == 60
    assert (names[0], names[1], names[14], names[37], names[59]) == (
        "background",
        "aeroplane",
        "car",
        "person",
        "wood",
    )
    assert list(names[1:]) == sorted(names[1:])
