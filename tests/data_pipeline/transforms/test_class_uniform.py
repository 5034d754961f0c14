"""What a class-uniform crop shows, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from paddleseg.data.transforms import ClassUniformCrop, Compose, RandomPaddingCrop, ResizeStepScaling, Sample


def scene() -> Sample:
    """60×80 pixels of class 0 with one pixel of class 1 and two of class 2, and some that do not count."""
    label = np.zeros((60, 80), dtype=np.int32)
    label[50:] = 255
    label[7, 70] = 1
    label[30, 10] = label[30, 40] = 2
    return Sample(np.repeat(label[..., None], 3, axis=2).astype(np.float32), label)


def shown(crop: ClassUniformCrop, count: int = 1200) -> Counter[int]:
    """How many crops have a pixel of the rare classes; of 9×9 pixels none has two of these."""
    rng, sample = np.random.default_rng(0), scene()
    found: Counter[int] = Counter()
    for _ in range(count):
        result = crop(sample, rng)
        assert result.label.shape == (9, 9)
        assert (result.image[..., 0] == result.label).all()
        found.update(set(result.label.ravel()) & {1, 2})
    return found


def test_each_class_decides_as_often_as_the_others() -> None:
    found = shown(ClassUniformCrop([9, 9], prob=1.0))
    # 400 each, standard deviation 16; class 0's own crops show one of them in 81·3/4800 = 5% of cases.
    assert 340 < found[1] < 500
    assert 340 < found[2] < 500


def test_probability_and_classes() -> None:
    # Half of the crops are chosen by class 1; by chance a pixel is in up to 81 of 52·72 windows, 2%.
    found = shown(ClassUniformCrop([9, 9], prob=0.5, classes=[1, 17]))
    assert 520 < found[1] < 680
    assert found[2] < 60
    assert shown(ClassUniformCrop([9, 9], prob=0.0)).total() < 120


def test_windows_hold_the_pixel_anywhere() -> None:
    crop, rng = ClassUniformCrop([9, 9], prob=1.0, classes=[1]), np.random.default_rng(0)
    places = [tuple(np.argwhere(crop(scene(), rng).label == 1)[0]) for _ in range(3000)]
    rows, columns = (Counter(one) for one in zip(*places, strict=True))
    # The pixel is in row 7 and column 70 of 80: all windows with a top from 0 to 7 and a left from 62 to 70.
    assert set(rows) == set(range(8))
    assert set(columns) == set(range(9))
    for counts in (rows, columns):
        mean = 3000 / len(counts)
        assert all(abs(count - mean) < 5 * np.sqrt(mean) for count in counts.values())


def test_chance_decides_where_no_class_can(rng: np.random.Generator) -> None:
    nothing = Sample(np.zeros((3, 4, 3), np.float32), np.full((3, 4), 255, np.int32))
    for sample in (nothing, Sample(nothing.image, np.zeros((3, 4), np.int32)), Sample(nothing.image)):
        assert ClassUniformCrop([2, 2], prob=1.0, classes=[5])(sample, rng).size == (2, 2)


def test_an_image_smaller_than_the_window_is_padded(rng: np.random.Generator) -> None:
    sample = Sample(np.zeros((1, 3, 3), np.float32), np.array([[0, 0, 1]], np.int32))
    result = ClassUniformCrop([2, 2], prob=1.0, classes=[1], label_padding_value=-1)(sample, rng)
    assert result.label.tolist() == [[0, 1], [-1, -1]]
    assert result.image[1].tolist() == [[127.5] * 3] * 2


def test_another_value_may_be_the_one_that_does_not_count(rng: np.random.Generator) -> None:
    label = np.full((1, 300), -1, np.int32)
    label[0, 200] = 255
    crop = ClassUniformCrop([1, 1], prob=1.0, ignore_index=-1)
    assert crop(Sample(np.zeros((1, 300, 1), np.float32), label), rng).label.item() == 255


def test_the_class_is_drawn_after_scaling(rng: np.random.Generator) -> None:
    scaling = ResizeStepScaling(2.0, 2.0)
    crop = ClassUniformCrop([9, 9], prob=1.0, classes=[1])
    for _ in range(20):
        assert 1 in Compose([scaling, crop])(scene(), rng).label


def test_random_padding_crop_draws_as_ever() -> None:
    """Its random numbers are part of runs that were made before."""
    result = RandomPaddingCrop([9, 9])(scene(), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    top, left = rng.integers(60 - 9 + 1), rng.integers(80 - 9 + 1)
    np.testing.assert_array_equal(result.label, scene().label[top : top + 9, left : left + 9])


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"prob": 2}, "prob"),
        ({"crop_size": 9}, "crop_size"),
        ({"classes": []}, r"classes: expected a list of class ids, each once, such as .*, got \[\]"),
        ({"classes": [1, 1]}, "classes"),
        ({"classes": 3}, "classes"),
        ({"classes": [-1]}, "classes"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ClassUniformCrop(**parameters)
