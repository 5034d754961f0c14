"""The check before the first iteration: what it refuses, what it says, and that it stops in time."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from check_cases import mask, open_tree, scene, write, write_tree
from PIL import Image

from paddleseg.data.check import quick
from paddleseg.data.check.quick import check_sample, refuse_wrong_labels
from paddleseg.data.datasets import FolderDataset
from paddleseg.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path, train=10)


def spoil(root: Path, *indices: int) -> None:
    for index in indices:
        write(root / f"masks/train/{index}.png", np.full((48, 64), 9, np.uint8))


def test_good_labels_pass(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refuse_wrong_labels(open_tree(tree), "train_dataset")
    assert "train_dataset: 10 of 10 labels looked at in 0.0 s, nothing wrong" in caplog.text


def test_the_message(tree: Path) -> None:
    spoil(tree, 3, 7)
    with pytest.raises(DataError) as caught:
        refuse_wrong_labels(open_tree(tree), "train_dataset", config="my.yml")
    message = str(caught.value)
    assert message.startswith(
        "train_dataset: 10 of 10 labels looked at, some are wrong:\n"
        "  labels with values 9, expected 0..2 or ignore_index 255: 2; likely "
    )
    assert message.count("holds 9 on 3072 pixels") == 2
    assert message.endswith(
        "python tools/check_dataset.py --config my.yml looks at all files; "
        "check_data: false (--no_data_check) starts all the same"
    )


def test_where_bad_samples_are_skipped_single_ones_are_told(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(tree, 3)
    refuse_wrong_labels(open_tree(tree), "train_dataset", skip_bad=True)
    assert "labels with values 9" in caplog.text
    spoil(tree, *range(10))
    with pytest.raises(DataError, match="labels with values 9"):
        refuse_wrong_labels(open_tree(tree), "train_dataset", skip_bad=True)
    caplog.clear()
    refuse_wrong_labels(open_tree(tree), "train_dataset", skip_bad=True, seconds=0)
    assert "1 of 10 labels looked at" in caplog.text, "one that takes long to read is not all"


def test_sizes_are_compared_as_images_are_decoded(tree: Path) -> None:
    """A photograph that EXIF data turn fits its upright label; one that does not is named."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (tree / "images/train/0.png").unlink()
    Image.fromarray(scene(0)).save(tree / "images/train/0.jpg", exif=exif)
    write(tree / "masks/train/0.png", mask(size=(64, 48)))
    refuse_wrong_labels(open_tree(tree), "train_dataset")
    write(tree / "masks/train/0.png", mask(size=(48, 64)))
    with pytest.raises(DataError, match=r"0\.jpg: 48×64, its label 64×48, turned by a quarter"):
        refuse_wrong_labels(open_tree(tree), "train_dataset")


def test_images_that_pillow_cannot_open_are_left_to_loading(tree: Path) -> None:
    (tree / "images/train/0.png").write_bytes(b"no picture")
    assert check_sample(open_tree(tree)).faults == {}


def test_time_ends_it_and_one_label_is_looked_at_in_any_case(tree: Path) -> None:
    ticks = iter(range(100))
    assert check_sample(open_tree(tree), seconds=3, clock=lambda: next(ticks)).samples == 3
    assert check_sample(open_tree(tree), seconds=-1).samples == 1


def test_a_large_set_is_sampled(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_tree(tree)
    dataset.files = dataset.files * 1000
    looked: list[int] = []
    whole = quick.inspect_label
    monkeypatch.setattr(
        quick, "inspect_label", lambda data, index: looked.append(index) or whole(data, index)
    )
    assert check_sample(dataset, samples=5).samples == 5
    assert sorted(looked) == [0, 2499, 4999, 7499, 9999]


class OwnLoading(FolderDataset):
    """Reads in its own way."""

    def load(self, index: int) -> object:
        raise AssertionError


def test_what_is_not_looked_at(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(quick, "check_sample", fail)
    own = OwnLoading(mode="train", dataset_root=str(tree), transforms=[], num_classes=3)
    refuse_wrong_labels(own, "train_dataset")
    packed = open_tree(tree)
    packed.pack = object()  # type: ignore[assignment]
    refuse_wrong_labels(packed, "train_dataset")
    for path in (tree / "images/val").iterdir():
        write(tree / "images/test" / path.name, cv2.imread(str(path)))
    refuse_wrong_labels(open_tree(tree, "test"), "test_dataset")
