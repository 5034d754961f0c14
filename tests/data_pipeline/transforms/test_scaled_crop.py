"""Scaling, cropping and flipping at once, against the three one after another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest

from paddleseg.data.transforms import (
    ClassUniformCrop,
    Compose,
    Normalize,
    RandomDistort,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    ResizeStepScaling,
    Sample,
    Transform,
)
from paddleseg.data.transforms.functional import resize_image
from paddleseg.data.transforms.scaled_crop import ScaledCrop, fuse, resized_label_window, resized_window
from paddleseg.errors import DataError

NO_DISTORTION = {f"{name}_prob": 0 for name in ("brightness", "contrast", "saturation", "hue", "sharpness")}
SCALES = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
# (height, width): of the recipe, by 16; odd, where 0.75 has no period but the whole; smaller than the crop.
SIZES = [(64, 128), (61, 127), (60, 90), (30, 200), (17, 23), (1, 1)]


def noisy(size: tuple[int, int], seed: int = 0, channels: int = 3) -> Sample:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, channels)).astype(np.uint8)
    return Sample(image, rng.integers(0, 19, size).astype(np.uint8), image_path="a.png")


def one_by_one(transforms: list[Transform], sample: Sample, seed: int) -> Sample:
    """What the sequence gave before it was fused: everything in float32 and int32."""
    rng = np.random.default_rng(seed)
    label = None if sample.label is None else sample.label.astype(np.int32)
    sample = Sample(sample.image.astype(np.float32), label, image_path=sample.image_path)
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


def recipe(scale: float | None = None, **crop: Any) -> list[Transform]:
    low, high = (0.5, 2.0) if scale is None else (scale, scale)
    return [
        ResizeStepScaling(low, high, 0.25),
        RandomPaddingCrop(**{"crop_size": [48, 48], **crop}),
        RandomHorizontalFlip(),
    ]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_those_of_the_three_steps(size: tuple[int, int], scale: float) -> None:
    sample, transforms = noisy(size), recipe(scale)
    sample.image.setflags(write=False)
    sample.label.setflags(write=False)
    for seed in range(6):
        wanted = one_by_one(transforms, sample, seed)
        got = Compose(transforms)(sample, np.random.default_rng(seed))
        assert got.image.dtype == np.float32
        np.testing.assert_allclose(got.image, wanted.image, atol=0.1)
        np.testing.assert_array_equal(got.label, wanted.label)
        assert got.undo == wanted.undo


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [255, -1])
def test_pixels_are_those_of_the_steps_with_a_class_uniform_crop(size: tuple[int, int], padding: int) -> None:
    sample, crop = noisy(size), ClassUniformCrop([48, 40], prob=0.7, label_padding_value=padding)
    transforms = [ResizeStepScaling(0.5, 2.0), crop, RandomHorizontalFlip()]
    assert len(fuse(transforms)) == 1
    for seed in range(12):
        wanted = one_by_one(transforms, sample, seed)
        got = Compose(transforms)(sample, np.random.default_rng(seed))
        np.testing.assert_allclose(got.image, wanted.image, atol=0.1)
        np.testing.assert_array_equal(got.label, wanted.label)


@pytest.mark.parametrize("scale", SCALES)
def test_large_pictures_keep_the_tolerance(scale: float) -> None:
    """The rounding of places grows with the distance from the corner: as large as the recipe's images are."""
    sample, transforms = noisy((1024, 2048)), recipe(scale, crop_size=[300, 200])
    wanted = one_by_one(transforms, sample, 1)
    got = Compose(transforms)(sample, np.random.default_rng(1))
    np.testing.assert_allclose(got.image, wanted.image, atol=0.1)
    np.testing.assert_array_equal(got.label, wanted.label)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_before_a_distortion_are_rounded(size: tuple[int, int], channels: int) -> None:
    """Float32 would be truncated: at most one level off that, and almost half a level brighter on average."""
    sample = noisy(size, channels=channels)
    transforms, errors, off = [*recipe(), RandomDistort(**NO_DISTORTION)], np.zeros(0), np.zeros(0)
    for seed in range(12):
        exact = one_by_one(transforms[:3], sample, seed)
        got = Compose(transforms)(sample, np.random.default_rng(seed))
        assert got.image.dtype == np.uint8
        inside = exact.label != 255
        errors = np.append(errors, got.image[inside] - exact.image[inside])
        off = np.append(off, got.image[inside] - np.trunc(exact.image[inside]))
        assert (got.image[~inside] == 127).all()  # 127.5 truncated
        np.testing.assert_array_equal(got.label, exact.label)
    assert np.abs(errors).max() < 0.85
    assert np.abs(off).max() <= 1
    assert errors.size < 1000 or (abs(errors.mean()) < 0.15 and 0.3 < off.mean() < 0.5)


def test_the_random_numbers_after_it_are_the_same() -> None:
    transforms = [*recipe(), RandomDistort(), Normalize()]
    fused, plain = np.random.default_rng(8), np.random.default_rng(8)
    Compose(transforms)(noisy((64, 128)), fused)
    sample = noisy((64, 128))
    sample.image = sample.image.astype(np.float32)
    for transform in transforms:
        sample = transform(sample, plain)
    assert fused.random() == plain.random()


def test_distribution_of_scales_offsets_and_flips() -> None:
    """The label numbers its columns and rows; what is seen in the window tells what was drawn."""
    columns, rows = np.meshgrid(np.arange(200), np.arange(100))
    scaling, crop = ResizeStepScaling(0.5, 2.0, 0.25), RandomPaddingCrop([40, 40])
    step = ScaledCrop(scaling, crop, RandomHorizontalFlip(0.3))
    scales: Counter[float] = Counter()
    flips, offsets, count = 0, [], 1400
    rng = np.random.default_rng(0)
    image = np.zeros((100, 200, 1), dtype=np.uint8)
    for _ in range(count):
        label = step(Sample(image, (rows * 1000 + columns).astype(np.int32)), rng).label
        first, last = (int(label[0, column]) % 1000 for column in (0, -1))
        flips += first > last
        scale = SCALES[int(np.abs(abs(first - last) - 39 / np.array(SCALES)).argmin())]
        scales[scale] += 1
        if scale == 1:
            offsets.append((int(label[0, 0]) // 1000, min(first, last)))
    # Binomial(1400, 1/7) has a standard deviation of 13, Binomial(1400, 0.3) of 17.
    assert all(141 < scales[scale] < 259 for scale in SCALES)
    assert 343 < flips < 497
    # Uniform over 0..60 and 0..160: the mean of some 200 is within 4 standard errors.
    tops, lefts = np.transpose(offsets)
    assert (tops.min(), tops.max()) == (0, 60)
    assert abs(tops.mean() - 30) < 4 * 17.6 / len(tops) ** 0.5
    assert abs(lefts.mean() - 80) < 4 * 46.5 / len(lefts) ** 0.5


@pytest.mark.parametrize("padding", [255, -1])
def test_category_limit_looks_at_the_scaled_label(padding: int) -> None:
    label = np.zeros((40, 300), dtype=np.uint8)
    label[:, 270:] = 1
    sample = Sample(np.zeros((40, 300, 3), np.uint8), label)
    transforms = recipe(category_max_ratio=0.75, loop_times=50, label_padding_value=padding)
    for seed in range(20):
        wanted = one_by_one(transforms, sample, seed)
        got = Compose(transforms)(sample, np.random.default_rng(seed))
        np.testing.assert_array_equal(got.label, wanted.label)


def test_without_a_label_the_image_is_the_same() -> None:
    step = Compose(recipe())
    sample = noisy((64, 100))
    bare = Sample(sample.image)
    result = step(bare, np.random.default_rng(2))
    assert result.label is None
    assert (result.image == step(sample, np.random.default_rng(2)).image).all()


def test_a_list_of_padding_values() -> None:
    sample = noisy((10, 12))
    transforms = [*recipe(im_padding_value=[1, 2.5, 300]), RandomDistort(**NO_DISTORTION)]
    result = Compose(transforms)(sample, np.random.default_rng(0))
    pads = np.unique(result.image[result.label == 255], axis=0).tolist()
    assert pads == [[1, 2, 255]]
    grey = noisy((10, 12), channels=1)
    with pytest.raises(DataError, match=r"a\.png: im_padding_value: got 3 numbers .* of 1 channel"):
        Compose(transforms)(grey, np.random.default_rng(0))


class OwnFlip(RandomHorizontalFlip):
    """A user's variant, of which nothing is known."""


@pytest.mark.parametrize(
    ("transforms", "kinds"),
    [
        (recipe(), [ScaledCrop]),
        (recipe()[:2], [ScaledCrop]),
        (recipe()[1:], [RandomPaddingCrop, RandomHorizontalFlip]),
        ([Normalize(), *recipe(), Normalize()], [Normalize, ScaledCrop, Normalize]),
        ([*recipe()[:2], OwnFlip()], [ScaledCrop, OwnFlip]),
        (
            [ResizeStepScaling(), OwnFlip(), RandomPaddingCrop()],
            [ResizeStepScaling, OwnFlip, RandomPaddingCrop],
        ),
    ],
)
def test_what_is_fused(transforms: list[Transform], kinds: list[type]) -> None:
    steps = fuse(transforms)
    assert [type(step) for step in steps] == kinds
    assert not any(step.truncated for step in steps if isinstance(step, ScaledCrop))


@pytest.mark.parametrize("count", [2, 3])
def test_bytes_stay_bytes_only_before_a_distortion(count: int) -> None:
    steps = fuse([*recipe()[:count], RandomDistort(), Normalize()])
    assert [type(step) for step in steps] == [ScaledCrop, RandomDistort, Normalize]
    assert steps[0].truncated


@pytest.mark.parametrize("scale", [1.3, None])
def test_scales_that_no_whole_numbers_make(scale: float | None) -> None:
    """OpenCV rounds 1664 / 1280 and its multiples otherwise than those of a part; None draws any scale."""
    sample = noisy((720, 1280))
    scaling = ResizeStepScaling(0.5, 2.0, 0) if scale is None else ResizeStepScaling(scale, scale)
    transforms: list[Transform] = [scaling, RandomPaddingCrop([512, 512]), RandomHorizontalFlip()]
    for seed in (1, 15, 21, 49):  # any: 1108, 1204 and 752 rows
        wanted = one_by_one(transforms, sample, seed)
        got = Compose(transforms)(sample, np.random.default_rng(seed))
        np.testing.assert_array_equal(got.label, wanted.label)
        np.testing.assert_allclose(got.image, wanted.image, atol=0.1)


def test_labels_of_every_size_and_scale() -> None:
    """Nearest neighbours are exact, wherever OpenCV's products come out just below a whole number."""
    for source in (*range(1, 160), 1280, 1300, 2048, 2100):
        label = np.arange(source, dtype=np.int32)[np.newaxis]
        for scale in (*SCALES, 1 / 3, 0.6, 1.1, 1.3):
            target = max(round(scale * source), 1)
            wanted = cv2.resize(label, (target, 1), interpolation=cv2.INTER_NEAREST)
            for start in {0, target // 3, target - 1}:
                stop = min(start + max(target // 4, 1), target)
                got = resized_label_window(label, (1, target), (slice(0, 1), slice(start, stop)))
                assert got.tolist() == wanted[:, start:stop].tolist(), (source, scale, start)


def test_only_the_part_that_is_needed_is_resized() -> None:
    asked = []

    def resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        asked.append((array.shape, size))
        return resize_image(array, size)

    image = np.zeros((1024, 2048, 1), dtype=np.uint8)
    # Twice as large, every two pixels are a period: 100..199 needs the source's 50..99 and one more a side.
    resized_window(image, (2048, 4096), (slice(100, 200), slice(0, 100)), resize)
    # 0.75: 3 of 4. Rows 99..198 are 33 periods of 4; columns end at the edge, where there is no more.
    resized_window(image, (768, 1536), (slice(99, 198), slice(1530, 1536)), resize)
    # No common divisor: all of it.
    resized_window(image[:-1, :-1], (767, 1535), (slice(0, 1), slice(0, 1)), resize)
    assert asked == [
        ((52, 51, 1), (104, 102)),
        ((140, 12, 1), (105, 9)),
        ((1023, 2047, 1), (767, 1535)),
    ]
    same = (slice(5, 9), slice(7, 9))
    assert np.shares_memory(resized_window(image, (1024, 2048), same, resize), image)
    label = image[..., 0]
    assert np.shares_memory(resized_label_window(label, (1024, 2048), same), label)
