"""The Cityscapes layout and its ids; oracle: cityscapesScripts' table of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import Cityscapes
from paddleseg.data.datasets.cityscapes import LABEL_ID_TO_TRAIN_ID
from paddleseg.errors import DataError

FRAMES = ("aachen/aachen_000000_000019", "aachen/aachen_000001_000019", "ulm/ulm_000000_000019")


def write_frame(
    root: Path, frame: str, split: str = "train", ids: np.ndarray | None = None, kind: str = "labelIds"
) -> None:
    image = root / f"leftImg8bit/{split}/{frame}_leftImg8bit.png"
    label = root / f"gtFine/{split}/{frame}_gtFine_{kind}.png"
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((4, 6), 7, np.uint8) if ids is None else ids.astype(np.uint8)
    Image.fromarray(values).save(label)
    Image.fromarray(np.zeros((*values.shape, 3), np.uint8)).save(image)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for frame in FRAMES:
        write_frame(tmp_path, frame)
    return tmp_path


def test_table_names_and_colours_equal_cityscapes_scripts(root: Path) -> None:
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    official = {label.id: label.trainId for label in labels if label.id >= 0}
    wanted = [official.get(value, 255) for value in range(256)]
    assert LABEL_ID_TO_TRAIN_ID.dtype == np.uint8
    assert LABEL_ID_TO_TRAIN_ID.tolist() == wanted
    evaluated = sorted((label for label in labels if 0 <= label.trainId < 255), key=lambda x: x.trainId)
    dataset = Cityscapes(transforms=[], dataset_root=str(root))
    assert list(dataset.class_names) == [label.name for label in evaluated]
    assert dataset.palette == [label.color for label in evaluated]


def test_facts_of_the_class() -> None:
    assert (Cityscapes.NUM_CLASSES, Cityscapes.IGNORE_INDEX, Cityscapes.IMG_CHANNELS) == (19, 255, 3)


def test_pairs_by_name(root: Path) -> None:
    dataset = Cityscapes(transforms=[], dataset_root=str(root), mode="train")
    names = [(Path(pair.image).name, Path(pair.label).name) for pair in dataset.files]
    assert names == [
        (f"{Path(frame).name}_leftImg8bit.png", f"{Path(frame).name}_gtFine_labelIds.png") for frame in FRAMES
    ]


def test_label_ids_are_mapped_on_the_fly(root: Path) -> None:
    write_frame(root, FRAMES[0], ids=np.array([[0, 6, 7, 8], [24, 33, 30, 255]]))
    label = Cityscapes(transforms=[], dataset_root=str(root)).load(0).label
    # unlabelled, ground → ignore; road, sidewalk → 0, 1; person, bicycle → 11, 18; trailer → ignore
    assert label.tolist() == [[255, 255, 0, 1], [11, 18, 255, 255]]
    assert label.dtype == np.uint8


def test_train_ids_win_and_are_taken_as_they_are(root: Path) -> None:
    write_frame(root, FRAMES[0], ids=np.array([[0, 7, 18, 255]]), kind="labelTrainIds")
    dataset = Cityscapes(transforms=[], dataset_root=str(root))
    assert dataset.files[0].label.endswith("_gtFine_labelTrainIds.png")
    assert dataset.load(0).label.tolist() == [[0, 7, 18, 255]]


def test_other_files_of_the_download_do_not_matter(root: Path) -> None:
    for ending in ("polygons.json", "color.png", "instanceIds.png"):
        (root / f"gtFine/train/{FRAMES[0]}_gtFine_{ending}").write_bytes(b"x")
    assert len(Cityscapes(transforms=[], dataset_root=str(root))) == 3


def test_an_image_without_label_is_named(root: Path) -> None:
    (root / f"gtFine/train/{FRAMES[1]}_gtFine_labelIds.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images of train have no label") as caught:
        Cityscapes(transforms=[], dataset_root=str(root))
    assert f"{FRAMES[1]}_leftImg8bit.png" in str(caught.value)


def test_a_label_without_image_is_named(root: Path) -> None:
    (root / f"leftImg8bit/train/{FRAMES[1]}_leftImg8bit.png").unlink()
    with pytest.raises(DataError, match=r"1 labels of train have no image") as caught:
        Cityscapes(transforms=[], dataset_root=str(root))
    assert f"{FRAMES[1]}_gtFine_labelIds.png" in str(caught.value)


def test_test_split_has_no_labels(tmp_path: Path) -> None:
    write_frame(tmp_path, "berlin/berlin_000000_000019", split="test")
    dataset = Cityscapes(transforms=[], dataset_root=str(tmp_path), mode="test")
    assert dataset[0].label is None


@pytest.mark.parametrize("missing", ["leftImg8bit", "gtFine"])
def test_missing_folder_is_named(root: Path, missing: str) -> None:
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(DataError, match=rf"{missing}/train: no such folder.*prepare_cityscapes"):
        Cityscapes(transforms=[], dataset_root=str(root))


def test_empty_split(tmp_path: Path) -> None:
    for folder in ("leftImg8bit/val", "gtFine/val"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=r"Cityscapes \(val\): the data set is empty"):
        Cityscapes(transforms=[], dataset_root=str(tmp_path), mode="val")


def test_values_that_are_no_label_ids(root: Path) -> None:
    write_frame(root, FRAMES[0], ids=np.array([[7, 34, 200, 255]]))
    with pytest.raises(DataError, match=r"labelIds\.png: holds \[34, 200\]"):
        Cityscapes(transforms=[], dataset_root=str(root)).load(0)


def test_edge_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="edge"):
        Cityscapes(transforms=[], dataset_root=str(root), edge=True)
