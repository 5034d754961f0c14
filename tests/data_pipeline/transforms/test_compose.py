from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paddleseg.data.transforms import (
    Compose,
    LimitLong,
    Normalize,
    Padding,
    RandomPaddingCrop,
    Resize,
    Sample,
    is_invertible,
    resizes,
)


def add_one(sample: Sample, rng: np.random.Generator) -> Sample:
    return replace(sample, image=sample.image + 1)


def double(sample: Sample, rng: np.random.Generator) -> Sample:
    return replace(sample, image=sample.image * 2)


def draw(sample: Sample, rng: np.random.Generator) -> Sample:
    return replace(sample, image=sample.image + rng.integers(1000))


@pytest.fixture
def sample() -> Sample:
    return Sample(np.full((1, 1, 1), 3.0, np.float32))


def test_in_the_order_given(sample: Sample, rng: np.random.Generator) -> None:
    assert Compose([add_one, double])(sample, rng).image.item() == 8  # (3 + 1)·2
    assert Compose([double, add_one])(sample, rng).image.item() == 7  # 3·2 + 1
    assert sample.image.item() == 3


def test_an_empty_list_leaves_the_sample_as_it_is(sample: Sample, rng: np.random.Generator) -> None:
    assert Compose([])(sample, rng) is sample


def test_all_draw_from_one_generator(sample: Sample) -> None:
    first, second = np.random.default_rng(5).integers(1000, size=2)
    got = Compose([draw, Compose([draw])])(sample, np.random.default_rng(5))
    assert got.image.item() == 3 + first + second


def test_steps_to_undo_add_up(rng: np.random.Generator) -> None:
    sample = Sample(np.zeros((4, 6, 3), np.float32))
    got = Compose([Resize([12, 8]), Padding([16, 16])])(sample, rng)
    assert [(step.kind, step.size) for step in got.undo] == [("resize", (4, 6)), ("padding", (8, 12))]


@pytest.mark.parametrize(
    ("transform", "invertible"),
    [
        (Resize([4, 4]), True),
        (add_one, True),
        (RandomPaddingCrop([4, 4]), False),
        (Compose([]), True),
        (Compose([Resize([4, 4]), Padding([8, 8])]), True),
        (Compose([Resize([4, 4]), Compose([RandomPaddingCrop([4, 4])])]), False),
    ],
)
def test_whether_a_prediction_can_be_brought_back(transform: object, invertible: bool) -> None:
    assert is_invertible(transform) is invertible


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (Resize([4, 4]), True),
        (LimitLong(max_long=1000), True),  # it does, whatever it makes of one image
        (Padding([4, 4]), False),
        (add_one, False),
        (Compose([Padding([8, 8]), Compose([Resize([4, 4])])]), True),
        (Compose([]), False),
    ],
)
def test_whether_the_scale_can_change(transform: object, expected: bool) -> None:
    assert resizes(transform) is expected


def test_a_transform_of_somebody_else_gets_floats_and_whole_numbers(rng: np.random.Generator) -> None:
    seen = []

    def look(sample: Sample, rng: np.random.Generator) -> Sample:
        seen.append((sample.image.dtype, sample.label.dtype))
        return sample

    class Own:
        takes_bytes = True

        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            return look(sample, rng)

    sample = Sample(np.full((2, 2, 3), 250, np.uint8), np.zeros((2, 2), np.uint8))
    result = Compose([Compose([Own()]), look, Own()])(sample, rng)
    assert seen == [(np.uint8, np.uint8), (np.float32, np.int32), (np.float32, np.int32)]
    assert result.image.tolist() == sample.image.tolist()
    assert sample.image.dtype == np.uint8


def test_resizing_of_bytes_interpolates_in_floats(rng: np.random.Generator) -> None:
    image = np.array([[[0], [101]]], dtype=np.uint8)
    # Centres at −0.25, 0.25, 0.75, 1.25 input pixels: quarters are not rounded away.
    assert Compose([Resize([4, 1])])(Sample(image), rng).image.ravel().tolist() == [0, 25.25, 75.75, 101]


def test_normalize_is_split_off_where_it_comes_last() -> None:
    class OwnNormalize(Normalize):
        """Perhaps something else."""

    resize, normalize = Resize([4, 4]), Normalize()
    first, last = Compose([resize, normalize]).split_normalize()
    assert first.transforms == (resize,)
    assert last is normalize
    for transforms in ([], [resize], [normalize, resize], [OwnNormalize()]):
        whole = Compose(transforms)
        assert whole.split_normalize() == (whole, None)
