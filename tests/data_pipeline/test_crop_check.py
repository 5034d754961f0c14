"""A crop that no image can fill."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.data.crop_check import check_crop_size
from paddleseg.data.datasets import Dataset
from paddleseg.data.transforms import Normalize, RandomPaddingCrop, Resize, ResizeStepScaling
from paddleseg.errors import DataError


def open_with(root: Any, transforms: list[Any]) -> Dataset:
    return Dataset("train", str(root), transforms, 3, train_path=str(root / "list.txt"))


@pytest.mark.parametrize(
    "transforms",
    [
        [RandomPaddingCrop([17, 12])],
        [RandomPaddingCrop([16, 13])],
        [ResizeStepScaling(0.5, 2.0), RandomPaddingCrop([32, 100])],
        [ResizeStepScaling(2, 2), ResizeStepScaling(2, 2), RandomPaddingCrop([64, 100])],
        [Resize([64, 64]), RandomPaddingCrop([40, 40])],
        [Normalize()],
    ],
)
def test_crop_that_an_image_reaches(make_pairs, transforms: list[Any]) -> None:
    check_crop_size(open_with(make_pairs(2, size=(12, 16)), transforms))


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([RandomPaddingCrop([17, 13])], r"\[17, 13\] is larger than every image.*1 times.*largest: 16×12"),
        ([ResizeStepScaling(0.5, 2.0), RandomPaddingCrop([33, 25])], "2 times"),
    ],
)
def test_crop_larger_than_every_image(make_pairs, transforms: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_crop_size(open_with(make_pairs(2, size=(12, 16)), transforms))


def test_unreadable_image_is_named(make_pairs) -> None:
    root = make_pairs(1)
    (root / "images/000.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"000\.png"):
        check_crop_size(open_with(root, [RandomPaddingCrop([99, 99])]))
