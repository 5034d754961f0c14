"""Sizes that the resizing transforms arrive at, worked out by hand from PaddleSeg's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paddleseg.data.transforms import (
    LimitLong,
    RandomScaleAspect,
    Resize,
    ResizeByLong,
    ResizeByShort,
    ResizeRangeScaling,
    ResizeStepScaling,
    Sample,
    Undo,
)


def blank(height: int, width: int) -> Sample:
    return Sample(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.int32))


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (Resize([64, 32]), (32, 64)),
        (Resize([200, 100]), (100, 200)),
        # Proportions kept: min(64/200, 32/100) = 0.32
        (Resize([64, 32], keep_ratio=True), (32, 64)),
        # min(80/200, 50/100) = 0.4
        (Resize([50, 80], keep_ratio=True), (40, 80)),
        (Resize([64, 33], size_divisor=32), (64, 64)),
        (Resize([50, 80], keep_ratio=True, size_divisor=32), (64, 96)),
        (ResizeByLong(100), (50, 100)),
        (ResizeByShort(50), (50, 100)),
        # 50 would make the long side 100 > 90: 90/200·100 = 45
        (ResizeByShort(50, max_size=90), (45, 90)),
        (LimitLong(max_long=150), (75, 150)),
        (LimitLong(min_long=400), (200, 400)),
        (LimitLong(max_long=200, min_long=200), (100, 200)),
        (ResizeStepScaling(0.5, 0.5, 0.25), (50, 100)),
    ],
)
def test_size_and_undo(transform: Any, wanted: tuple[int, int], rng: np.random.Generator) -> None:
    result = transform(blank(100, 200), rng)
    assert result.size == wanted
    assert result.label.shape == wanted
    assert result.undo == ([] if wanted == (100, 200) else [Undo("resize", (100, 200))])


@pytest.mark.parametrize(
    ("low", "high", "step", "factors"),
    [
        (0.5, 2.0, 0.25, {0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0}),
        # (0.7 − 0.4) / 0.1 is 2.9999… in floating point
        (0.4, 0.7, 0.1, {0.4, 0.5, 0.6, 0.7}),
        (1.0, 1.5, 1.0, {1.0}),
    ],
)
def test_step_scaling_draws_each_factor_alike(low: float, high: float, step: float, factors: set) -> None:
    transform, rng = ResizeStepScaling(low, high, step), np.random.default_rng(0)
    sizes = [transform(blank(20, 20), rng).size[0] for _ in range(700)]
    values, counts = np.unique(sizes, return_counts=True)
    assert set(values) == {round(20 * factor) for factor in factors}
    # A share of 1/7 of 700 has a standard deviation of about 9.
    assert counts.min() > 0.6 * 700 / len(factors)


def test_range_scaling_draws_each_length_alike() -> None:
    transform, rng = ResizeRangeScaling(10, 13), np.random.default_rng(0)
    sizes = [transform(blank(20, 40), rng).size for _ in range(800)]
    lengths, counts = np.unique([size[1] for size in sizes], return_counts=True)
    assert lengths.tolist() == [10, 11, 12, 13]
    assert counts.min() > 140  # 200 each, standard deviation 12
    assert all(height == round(width / 2) for height, width in sizes)
    assert transform(blank(40, 20), rng).undo == [Undo("resize", (40, 20))]
    assert ResizeRangeScaling(40, 40)(blank(20, 40), rng).size == (20, 40)


def parts_of(transform: RandomScaleAspect, size: tuple[int, int], count: int = 400) -> np.ndarray:
    """Top, left, height and width of the parts that were enlarged, by where the corners' numbers are."""
    label = np.arange(size[0] * size[1], dtype=np.int32).reshape(size)
    rng, parts = np.random.default_rng(0), []
    for _ in range(count):
        result = transform(Sample(np.zeros((*size, 1), np.float32), label), rng)
        assert result.size == size
        (top, left), (bottom, right) = (divmod(int(result.label[at, at]), size[1]) for at in (0, -1))
        parts.append((top, left, bottom - top + 1, right - left + 1))
    return np.array(parts)


def test_scale_aspect_takes_parts_of_its_ranges() -> None:
    parts = parts_of(RandomScaleAspect(0.25, 0.5), (200, 200))
    top, left, height, width = parts.T
    area, ratio = height * width / 200**2, width / height
    whole = area == 1
    assert whole.sum() < 20
    # Sides are rounded down, and the last row of the part may be shown only above the last one of the result.
    assert area.min() > 0.24
    assert area[~whole].min() < 0.27
    assert area[~whole].max() > 0.9
    assert 0.49 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.05
    assert abs((ratio < 1).mean() - 0.5) < 0.1  # the two are swapped half of the time; deviation 0.025
    assert ((top + height).max(), (left + width).max()) == (200, 200)
    assert (top.min(), left.min()) == (0, 0)


def test_scale_aspect_draws_proportions_and_places_evenly() -> None:
    """Against a naive simulation on a unit square."""
    rng = np.random.default_rng(1)
    area, ratio = rng.uniform(0.1, 1, 100_000), rng.uniform(0.5, 2, 100_000)
    fits = (area * ratio <= 1) & (area / ratio <= 1)
    wanted = (np.maximum(ratio, 1 / ratio)[fits] > 1.5).mean()
    top, left, height, width = parts_of(RandomScaleAspect(0.1, 0.5), (40, 40), 2000).T
    found = (np.maximum(height / width, width / height) > 1.5).mean()
    assert abs(found - wanted) < 0.06  # a deviation of 0.011; whole pixels shift it
    for start, length in ((top, height), (left, width)):
        at_both_ends = (start == 0).mean(), (start + length == 40).mean()
        assert min(at_both_ends) > 0.1
        assert abs(np.diff(at_both_ends)[0]) < 0.06


@pytest.mark.parametrize("off", [{"min_scale": 0}, {"aspect_ratio": 0}])
def test_scale_aspect_is_turned_off_by_zero(off: dict[str, float], rng: np.random.Generator) -> None:
    sample = blank(20, 30)
    assert RandomScaleAspect(**off)(sample, rng) is sample


def test_scale_aspect_of_the_smallest_images(rng: np.random.Generator) -> None:
    for size in ((1, 1), (1, 9), (2, 1)):
        result = RandomScaleAspect(0.1, 0.3)(blank(*size), rng)
        assert result.size == size
    # A part of the proportions 1 : 1 of at least 90% never fits into 10×100.
    sample = blank(10, 100)
    assert RandomScaleAspect(0.9, 1.0)(sample, rng) is sample


def test_step_zero_draws_from_the_whole_range() -> None:
    transform, rng = ResizeStepScaling(0.5, 2.0, 0), np.random.default_rng(0)
    sizes = {transform(blank(100, 100), rng).size[0] for _ in range(200)}
    assert len(sizes) > 50
    assert min(sizes) >= 50
    assert max(sizes) <= 200


def test_short_size_of_a_list_is_drawn_for_each_image() -> None:
    transform, rng = ResizeByShort([10, 20]), np.random.default_rng(0)
    assert {transform(blank(40, 40), rng).size for _ in range(20)} == {(10, 10), (20, 20)}


def test_one_large_image_leaves_the_next_one_alone(rng: np.random.Generator) -> None:
    """PaddleSeg's ResizeByShort keeps the reduced size for every later image."""
    transform = ResizeByShort(50, max_size=90)
    transform(blank(100, 200), rng)
    assert transform(blank(100, 100), rng).size == (50, 50)


def test_random_interpolation_varies() -> None:
    transform, rng = Resize([7, 7], interp="RANDOM"), np.random.default_rng(0)
    image = np.random.default_rng(1).uniform(0, 255, (16, 16, 3)).astype(np.float32)
    assert len({transform(Sample(image), rng).image.tobytes() for _ in range(40)}) == 5


def test_one_channel_image_keeps_its_axis(rng: np.random.Generator) -> None:
    assert Resize([4, 4])(Sample(np.zeros((8, 8, 1), np.float32)), rng).image.shape == (4, 4, 1)


@pytest.mark.parametrize(
    ("component", "parameters", "named"),
    [
        (Resize, {"target_size": 512}, "target_size"),
        (Resize, {"target_size": [512, 0]}, "target_size"),
        (Resize, {"target_size": [1.5, 2]}, "target_size"),
        (Resize, {"interp": "BILINEAR"}, "LANCZOS4"),
        (Resize, {"size_divisor": 0}, "size_divisor"),
        (ResizeByLong, {"long_size": 0}, "long_size"),
        (ResizeByShort, {"short_size": []}, "short_size"),
        (ResizeByShort, {"short_size": [10, True]}, "short_size"),
        (ResizeByShort, {"short_size": 10, "max_size": 0}, "max_size"),
        (LimitLong, {"max_long": 1.5}, "max_long"),
        (LimitLong, {"max_long": 10, "min_long": 20}, "at most max_long"),
        (ResizeRangeScaling, {"min_value": 0}, "min_value"),
        (ResizeRangeScaling, {"max_value": 399}, r"min_value: expected at most max_value \(399\), got 400"),
        (RandomScaleAspect, {"min_scale": 1.1}, "min_scale: expected a number from 0 to 1"),
        (RandomScaleAspect, {"aspect_ratio": -1}, "aspect_ratio"),
        (ResizeStepScaling, {"min_scale_factor": 0}, "min_scale_factor"),
        (ResizeStepScaling, {"min_scale_factor": 2}, "at most max_scale_factor"),
        (ResizeStepScaling, {"scale_step_size": -1}, "scale_step_size"),
        (ResizeStepScaling, {"max_scale_factor": float("nan")}, "max_scale_factor"),
    ],
)
def test_bad_parameters_are_named(component: Any, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        component(**parameters)
