"""Loading, checking and the seeded generator of a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import Pair, SampleKey, SegmentationDataset
from paddleseg.data.datasets.base import name_some
from paddleseg.data.transforms import (
    Compose,
    Normalize,
    Padding,
    RandomDistort,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    ResizeStepScaling,
)
from paddleseg.errors import DataError

AUGMENTATION = [
    ResizeStepScaling(),
    RandomPaddingCrop([9, 8]),
    RandomHorizontalFlip(),
    RandomDistort(),
    Normalize(),
]


def open_pair(root: Path, **options: Any) -> SegmentationDataset:
    pair = Pair(str(root / "images/000.png"), str(root / "labels/000.png"))
    return SegmentationDataset([pair], **{"mode": "train", "transforms": [], "num_classes": 3, **options})


@pytest.mark.parametrize("colour", [[0, 0, 256], [-1, 0, 0], [0.5, 0, 0], [0, 0], "red"])
def test_a_palette_of_other_than_bytes_is_refused(make_pairs, colour: Any) -> None:
    with pytest.raises(ValueError, match=r"palette\[1\]: expected .* from 0 to 255"):
        open_pair(make_pairs(1), palette=[[0, 0, 0], colour, [255, 255, 255]])


def test_a_sample_depends_on_its_key_alone(make_pairs) -> None:
    dataset = open_pair(make_pairs(1), transforms=AUGMENTATION)
    first, again = dataset[SampleKey(0, (1, 2, 3))], dataset[SampleKey(0, (1, 2, 3))]
    assert (first.image == again.image).all()
    assert (first.label == again.label).all()
    images = {dataset[SampleKey(0, (1, 2, seed))].image.tobytes() for seed in range(10)}
    assert len(images) == 10


def test_a_plain_index_is_a_key_too(make_pairs) -> None:
    dataset = open_pair(make_pairs(1), transforms=AUGMENTATION)
    assert (dataset[0].image == dataset[SampleKey(0, (0, 0))].image).all()


@pytest.mark.parametrize("mode", ["val", "test"])
@pytest.mark.parametrize("transform", [RandomPaddingCrop([4, 4]), Compose([RandomHorizontalFlip()])])
def test_training_transforms_are_refused_elsewhere(make_pairs, mode: str, transform: Any) -> None:
    with pytest.raises(ValueError, match=f"{type(transform).__name__} belongs to training only.*{mode}"):
        open_pair(make_pairs(1), mode=mode, transforms=[transform])


@pytest.mark.parametrize(("ignored", "padding"), [(255, 3), (-1, 255), (9, -1)])
def test_padding_with_what_is_no_label_is_refused(make_pairs, ignored: int, padding: int) -> None:
    root = make_pairs(1)
    crop = RandomPaddingCrop([9, 8], label_padding_value=padding)
    options = {"ignore_index": ignored, "num_classes": 3}
    message = f"RandomPaddingCrop: label_padding_value: got {padding}; expected .*ignore_index, {ignored}, or"
    with pytest.raises(ValueError, match=message):
        open_pair(root, transforms=[Compose([crop])], **options)
    open_pair(root, transforms=[Padding(9, label_padding_value=padding)], mode="val", **options)
    for fitting in (ignored, 0, 2):
        open_pair(root, transforms=[RandomPaddingCrop([9, 8], label_padding_value=fitting)], **options)


def test_no_sample_at_all() -> None:
    with pytest.raises(DataError, match=r"SegmentationDataset \(train\): the data set is empty"):
        SegmentationDataset([], mode="train", transforms=[], num_classes=2)


@pytest.mark.parametrize(("size", "cause"), [((16, 12), "EXIF"), ((12, 15), "another image")])
def test_label_of_another_size(make_pairs, size: tuple[int, int], cause: str) -> None:
    root = make_pairs(1, size=(12, 16))
    Image.fromarray(np.zeros(size, np.uint8)).save(root / "labels/000.png")
    with pytest.raises(DataError, match=cause) as caught:
        open_pair(root).load(0)
    assert f"labels/000.png: the label has {size[1]}×{size[0]} pixels" in str(caught.value)
    assert "16×12" in str(caught.value)


def test_label_value_out_of_range_names_the_file(make_pairs) -> None:
    with pytest.raises(DataError, match=r"labels/000\.png: the label holds 2 on .*num_classes: 3"):
        open_pair(make_pairs(1), num_classes=2).load(0)


def test_one_channel_images(make_pairs) -> None:
    assert open_pair(make_pairs(1), img_channels=1)[0].image.shape == (12, 16, 1)


def test_name_some_counts_the_rest() -> None:
    assert name_some(["a", "b", "c"], limit=2) == "  a\n  b\n  … and 1 more"
    assert name_some(["a"], limit=2) == "  a"
