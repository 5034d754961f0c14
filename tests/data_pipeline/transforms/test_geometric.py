"""Flips and crops on arrays small enough to write out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paddleseg.data.transforms import (
    CenterCrop,
    Padding,
    RandomCenterCrop,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    RandomVerticalFlip,
    Sample,
)
from paddleseg.errors import DataError


def coded(height: int, width: int) -> Sample:
    """Every pixel of image and label holds its own number."""
    label = np.arange(height * width, dtype=np.int32).reshape(height, width)
    return Sample(np.repeat(label[..., None], 3, axis=2).astype(np.float32), label, image_path="a.png")


def test_flip_mirrors_both(rng: np.random.Generator) -> None:
    result = RandomHorizontalFlip(1.0)(coded(2, 3), rng)
    assert result.label.tolist() == [[2, 1, 0], [5, 4, 3]]
    assert result.image[..., 1].tolist() == result.label.tolist()


def test_vertical_flip_turns_both_upside_down(rng: np.random.Generator) -> None:
    result = RandomVerticalFlip(1.0)(coded(2, 3), rng)
    assert result.label.tolist() == [[3, 4, 5], [0, 1, 2]]
    assert result.image[..., 1].tolist() == result.label.tolist()


@pytest.mark.parametrize("flip", [RandomHorizontalFlip, RandomVerticalFlip])
def test_flip_happens_as_often_as_asked(flip: Any) -> None:
    sometimes, rng = flip(0.3), np.random.default_rng(0)
    flipped = sum(sometimes(coded(2, 2), rng).label[0, 0] != 0 for _ in range(1000))
    # Binomial(1000, 0.3) has a standard deviation of 14.5.
    assert 240 < flipped < 360
    assert flip(0)(coded(2, 2), rng).label[0, 0] == 0


@pytest.mark.parametrize("transform", [CenterCrop, Padding, RandomPaddingCrop])
def test_padding_with_one_value_a_channel(transform: Any, rng: np.random.Generator) -> None:
    # PaddleSeg's ADE20K configs write im_padding_value: [0, 0, 0].
    result = transform([2, 1], im_padding_value=[1, 2, 3])(Sample(np.zeros((1, 1, 3), np.float32)), rng)
    np.testing.assert_array_equal(result.image, [[[0, 0, 0], [1, 2, 3]]])
    with pytest.raises(ValueError, match="im_padding_value: expected a list of 1 or 3 numbers"):
        transform([2, 1], im_padding_value=[1, 2])


@pytest.mark.parametrize("size", [[2, 1], [1, 1]])
@pytest.mark.parametrize("transform", [Padding, RandomPaddingCrop])
def test_three_values_do_not_fit_a_grey_image(
    transform: Any, size: list[int], rng: np.random.Generator
) -> None:
    sample = Sample(np.zeros((1, 1, 1), np.float32), image_path="grey.png")
    with pytest.raises(DataError, match=r"grey\.png: im_padding_value: got 3 numbers .* of 1 channel"):
        transform(size, im_padding_value=[1, 2, 3])(sample, rng)


def test_crop_cuts_a_window_of_the_image() -> None:
    crop, rng = RandomPaddingCrop([3, 2]), np.random.default_rng(0)
    corners = set()
    for _ in range(300):
        result = crop(coded(4, 5), rng)
        top, left = divmod(int(result.label[0, 0]), 5)
        corners.add((top, left))
        assert result.label.tolist() == [[5 * (top + r) + left + c for c in range(3)] for r in range(2)]
        assert (result.image[..., 2] == result.label).all()
    assert corners == {(top, left) for top in range(3) for left in range(3)}


def test_crop_larger_than_the_image_pads_at_the_bottom_and_the_right(rng: np.random.Generator) -> None:
    result = RandomPaddingCrop([3, 2])(coded(1, 2), rng)
    assert result.label.tolist() == [[0, 1, 255], [255, 255, 255]]
    assert result.image[..., 0].tolist() == [[0, 1, 127.5], [127.5, 127.5, 127.5]]


def test_crop_larger_on_one_side_pads_that_side_only(rng: np.random.Generator) -> None:
    result = RandomPaddingCrop([2, 3])(coded(2, 4), rng)
    assert (result.label[2] == 255).all()
    assert (result.label[:2] < 8).all()


def test_category_limit_looks_for_a_mixed_window() -> None:
    label = np.zeros((4, 100), dtype=np.int32)
    label[:, 90:] = 1
    label[:, 97:] = 255
    sample, crop = Sample(np.zeros((4, 100, 3), np.float32), label), {"crop_size": [10, 4]}
    limited = RandomPaddingCrop(**crop, category_max_ratio=0.75, loop_times=1000)
    for seed in range(10):
        counts = np.bincount(limited(sample, np.random.default_rng(seed)).label.ravel(), minlength=2)[:2]
        assert counts.max() / counts.sum() < 0.75
    free = RandomPaddingCrop(**crop)
    assert any(np.ptp(free(sample, np.random.default_rng(seed)).label) == 0 for seed in range(10))


@pytest.mark.parametrize(
    ("size", "crop", "wanted"),
    [
        ((3, 5), [3, 1], [[6, 7, 8]]),
        ((4, 2), [1, 1], [[2]]),  # of two middles the upper left one
        ((2, 3), [1, 3], [[1], [4], [255]]),  # smaller on one axis: padded there, cut on the other
    ],
)
def test_center_crop_takes_the_middle(
    size: tuple[int, int], crop: list[int], wanted: list[list[int]], rng: np.random.Generator
) -> None:
    result = CenterCrop(crop)(coded(*size), rng)
    assert result.label.tolist() == wanted
    inside = result.label != 255
    assert (result.image[..., 0][inside] == result.label[inside]).all()


def test_random_center_crop_draws_every_strip_that_may_go() -> None:
    crop, rng = RandomCenterCrop([0.5, 1.0]), np.random.default_rng(0)
    seen = {}
    for _ in range(3000):
        row = crop(coded(3, 4), rng).label[0].tolist()
        seen[row[0], len(row)] = seen.get((row[0], len(row)), 0) + 1
        assert row == list(range(row[0], row[0] + len(row)))
    # Of 4 columns 0, 1 or 2 go, 1000 times each, then evenly 0.. of them at the left: 1000/1, /2, /3.
    assert set(seen) == {(0, 4), (0, 3), (1, 3), (0, 2), (1, 2), (2, 2)}
    for (_, width), count in seen.items():
        mean = 1000 / (5 - width)
        assert abs(count - mean) < 5 * np.sqrt(mean)


@pytest.mark.parametrize(
    ("size", "retain", "fewest"),
    [((1, 1), [0.0, 0.0], (1, 1)), ((10, 3), [0.0, 0.9], (9, 1)), ((2, 2), [0.5, 1.0], (2, 1))],
)
def test_random_center_crop_keeps_what_it_must(
    size: tuple[int, int], retain: list[float], fewest: tuple[int, int]
) -> None:
    crop, rng = RandomCenterCrop(retain), np.random.default_rng(0)
    found = [crop(coded(*size), rng).size for _ in range(200)]
    assert tuple(np.min(found, axis=0)) == fewest
    assert tuple(np.max(found, axis=0)) == size


@pytest.mark.parametrize(
    ("component", "parameters", "named"),
    [
        (RandomHorizontalFlip, {"prob": 1.5}, "prob"),
        (RandomVerticalFlip, {"prob": -0.1}, "prob"),
        (RandomPaddingCrop, {"crop_size": 769}, "crop_size"),
        (RandomPaddingCrop, {"category_max_ratio": 0}, "category_max_ratio"),
        (RandomPaddingCrop, {"loop_times": 0}, "loop_times"),
        (CenterCrop, {"crop_size": [4]}, "crop_size"),
        (RandomCenterCrop, {"retain_ratio": 0.5}, r"retain_ratio: expected \[width, height\]"),
        (RandomCenterCrop, {"retain_ratio": [0.5]}, "retain_ratio"),
        (RandomCenterCrop, {"retain_ratio": [0.5, 1.1]}, r"retain_ratio\[1\]: expected a number from 0 to 1"),
    ],
)
def test_bad_parameters_are_named(component: Any, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        component(**parameters)


def test_bytes_stay_bytes_where_they_hold_the_padding(rng: np.random.Generator) -> None:
    sample = Sample(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))

    def dtypes(size: int, image_value: float, label_value: int) -> tuple[np.dtype, np.dtype]:
        crop = RandomPaddingCrop([size, size], image_value, label_value)
        result = crop(sample, rng)
        if size > 2:
            assert result.image[2, 2].tolist() == [image_value] * 3
            assert result.label[2, 2] == label_value
        return result.image.dtype, result.label.dtype

    assert dtypes(3, 7, 255) == (np.uint8, np.uint8)
    assert dtypes(3, 127.5, -1) == (np.float32, np.int32)
    assert dtypes(3, 256, 256) == (np.float32, np.int32)
    assert dtypes(2, 127.5, -1) == (np.uint8, np.uint8)  # nothing is padded
