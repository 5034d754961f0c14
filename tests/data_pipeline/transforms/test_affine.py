"""Turning and moving: exact where a quarter turn is, else against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from paddleseg.data.transforms import RandomAffine, RandomRotation, Sample
from paddleseg.data.transforms.functional import rotation_about_centre, warp_image, warp_label
from paddleseg.errors import DataError


class Always:
    """A generator that draws the upper end of every range."""

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        return high if size is None else np.full(size, high)


def coded(height: int, width: int, channels: int = 3) -> Sample:
    label = np.arange(height * width, dtype=np.int32).reshape(height, width)
    return Sample(np.repeat(label[..., None], channels, axis=2).astype(np.float32), label)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 2)])
@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (270, 3), (360, 4)])
def test_a_quarter_turn_is_exact(size: tuple[int, int], degrees: int, quarters: int) -> None:
    sample = coded(*size)
    result = RandomRotation(degrees)(sample, Always())
    np.testing.assert_array_equal(result.label, np.rot90(sample.label, quarters))
    np.testing.assert_allclose(result.image, np.rot90(sample.image, quarters), atol=1e-4)


def test_no_angle_leaves_the_sample_as_it_is(rng: np.random.Generator) -> None:
    sample = coded(2, 3)
    assert RandomRotation(0)(sample, rng) is sample


def test_nothing_is_cut_off() -> None:
    """3×4 pixels turned by 30 degrees: 4·cos + 3·sin = 4.96 wide, 3·cos + 4·sin = 4.60 high."""
    result = RandomRotation(30)(coded(3, 4), Always())
    assert result.size == (5, 5)
    large = RandomRotation(30)(coded(60, 80), Always())
    assert set(large.label.ravel()) >= {0, 79, 59 * 80, 59 * 80 + 79} - {255}


@pytest.mark.parametrize(
    "transform",
    [
        RandomRotation(40, label_padding_value=0),
        RandomAffine([21, 21], 0, 40, 1, 1, label_padding_value=0),
    ],
)
def test_angles_are_drawn_from_both_sides(transform: Any) -> None:
    rng, label = np.random.default_rng(0), np.zeros((21, 21), np.int32)
    label[10, 17:20] = 1
    sample, angles = Sample(np.zeros((21, 21, 1), np.float32), label), []
    for _ in range(200):
        turned = transform(sample, rng).label
        row, column = np.argwhere(turned == 1).mean(axis=0) - (np.array(turned.shape) - 1) / 2
        angles.append(np.degrees(np.arctan2(-row, column)))
    # A pixel is 7 degrees at 8 pixels from the centre; even draws from ±40 have a deviation of 23.
    assert 36 < max(angles) < 44
    assert -44 < min(angles) < -36
    assert abs(np.mean(angles)) < 5 * 23 / np.sqrt(200)


def scipy_warp(array: np.ndarray, matrix: np.ndarray, size: tuple[int, int], order: int, value: float) -> Any:
    """SciPy asks for the map from target to source, in (row, column)."""
    swap = np.array([[0, 1], [1, 0]])
    linear = swap @ matrix[:, :2] @ swap
    inverse = np.linalg.inv(linear)
    offset = -inverse @ matrix[::-1, 2]
    return ndimage.affine_transform(
        array.astype(np.float64), inverse, offset, size, order=order, mode="grid-constant", cval=value
    )


@pytest.mark.parametrize("degrees", [-37.0, 5.0, 123.0])
def test_places_are_those_of_scipy(degrees: float, rng: np.random.Generator) -> None:
    image = rng.uniform(0, 255, (23, 31, 1)).astype(np.float32)
    label = rng.integers(0, 19, (23, 31)).astype(np.int32)
    size = 28, 20
    matrix = rotation_about_centre((23, 31), size, degrees=degrees, scale=0.9, shift=(2.3, -1.1))
    wanted = scipy_warp(image[..., 0], matrix, size, 1, 127.5)
    # OpenCV rounds places to 1/1024 of a pixel; neighbours differ by up to 255.
    np.testing.assert_allclose(warp_image(image, matrix, size, 127.5)[..., 0], wanted, atol=1)
    nearest = scipy_warp(label, matrix, size, 0, -1)
    got = warp_label(label, matrix, size, -1)
    # Where the place is half-way between two pixels within that rounding, either is right.
    assert (got != nearest).mean() < 0.01
    assert (got == -1).any()
    unsigned = warp_label(label.astype(np.uint8), matrix, size, 255)
    np.testing.assert_array_equal(unsigned, np.where(got == -1, 255, got))


def test_an_image_of_more_pixels_than_a_short_integer_counts() -> None:
    label = np.zeros((1, 40_000), np.int32)
    label[0, -1] = 7
    turned = RandomRotation(180)(Sample(np.zeros((1, 40_000, 1), np.uint8), label), Always())
    assert turned.label[0, 0] == 7


def test_affine_moves_the_image() -> None:
    affine = RandomAffine([4, 3], 1, 0, 1, 1, im_padding_value=50, label_padding_value=-1)
    result = affine(coded(3, 4), Always())
    assert result.label.tolist() == [[-1, -1, -1, -1], [-1, 0, 1, 2], [-1, 4, 5, 6]]
    assert result.image[..., 0].tolist() == [[50, 50, 50, 50], [50, 0, 1, 2], [50, 4, 5, 6]]


def test_affine_fits_the_image_into_the_result() -> None:
    """4×4 pixels into 2×2 at scale 1: each result pixel lies between four, at half-pixel centres."""
    result = RandomAffine([2, 2], 0, 0, 1, 1)(coded(4, 4), Always())
    np.testing.assert_allclose(result.image[..., 0], [[2.5, 4.5], [10.5, 12.5]], atol=1e-3)
    # The mean of 3 / 6 and 3 / 2 is 1: nothing is scaled, the middle is kept.
    middle = RandomAffine([3, 3], 0, 0, 1, 1, label_padding_value=-1)(coded(2, 6), Always())
    np.testing.assert_allclose(middle.image[1, :, 0], [4.5, 5.5, 6.5], atol=1e-3)


def test_affine_draws_from_its_ranges() -> None:
    affine, rng = RandomAffine([41, 41], 10, 0, 0.5, 2.0, label_padding_value=0), np.random.default_rng(0)
    label = np.zeros((41, 41), np.int32)
    label[16:25, 16:25] = 1
    sample, centres, sides = Sample(np.zeros((41, 41, 1), np.float32), label), [], []
    for _ in range(300):
        places = np.argwhere(affine(sample, rng).label == 1)
        centres.append((places.min(axis=0) + places.max(axis=0)) / 2 - 20)
        sides.append(np.sqrt(len(places)))
    assert np.abs(centres).max() <= 10.5
    assert (np.max(centres, axis=0) > 9).all()
    assert (np.min(centres, axis=0) < -9).all()
    assert 3.9 < min(sides) < 5.2
    assert 16.5 < max(sides) <= 19


@pytest.mark.parametrize("transform", [RandomAffine, RandomRotation])
def test_bytes_stay_bytes_where_they_hold_the_padding(transform: Any, rng: np.random.Generator) -> None:
    sample = Sample(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))
    for image_value, label_value, wanted in (
        (128, 255, (np.uint8, np.uint8)),
        ([1, 2, 3], 0, (np.uint8, np.uint8)),
        (127.5, -1, (np.float32, np.int32)),
        (7, 256, (np.uint8, np.int32)),
    ):
        result = transform(im_padding_value=image_value, label_padding_value=label_value, max_rotation=90)(
            sample, rng
        )
        assert (result.image.dtype, result.label.dtype) == wanted


@pytest.mark.parametrize("transform", [RandomAffine, RandomRotation])
def test_three_values_do_not_fit_a_grey_image(transform: Any, rng: np.random.Generator) -> None:
    sample = Sample(np.zeros((1, 2, 1), np.float32), image_path="grey.png")
    with pytest.raises(DataError, match=r"grey\.png: im_padding_value: got 3 numbers .* of 1 channel"):
        transform(im_padding_value=[1, 2, 3])(sample, rng)


def test_one_value_a_channel() -> None:
    result = RandomRotation(45, im_padding_value=[1, 2, 3])(coded(9, 9), Always())
    assert result.image[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("component", "parameters", "named"),
    [
        (RandomRotation, {"max_rotation": -1}, "max_rotation: expected a number from 0 to 360, got -1"),
        (RandomRotation, {"label_padding_value": "none"}, "label_padding_value"),
        (RandomRotation, {"im_padding_value": [1, 2]}, "im_padding_value"),
        (RandomAffine, {"size": 224}, "size"),
        (RandomAffine, {"translation_offset": -3}, "translation_offset"),
        (RandomAffine, {"max_rotation": float("nan")}, "max_rotation"),
        (RandomAffine, {"min_scale_factor": 0}, "min_scale_factor: expected a number above 0"),
        (RandomAffine, {"min_scale_factor": 2}, r"max_scale_factor: expected at least .* \(2\), got 1.25"),
    ],
)
def test_bad_parameters_are_named(component: Any, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        component(**parameters)
