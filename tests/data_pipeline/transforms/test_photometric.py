"""Distortion as the reference does it, blur, noise and normalisation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from paddleseg.data.transforms import Normalize, RandomBlur, RandomDistort, RandomNoise, Sample
from paddleseg.data.transforms.functional import adjust_brightness, blur
from paddleseg.errors import DataError

OFF = {f"{name}_prob": 0 for name in ("brightness", "contrast", "saturation", "hue", "sharpness")}


def noise(channels: int = 3) -> Sample:
    values = np.random.default_rng(0).uniform(0, 255, (24, 32, channels))
    return Sample(values.astype(np.float32), np.ones((24, 32), np.int32), image_path="a.png")


def test_nothing_but_truncation_when_all_is_off(rng: np.random.Generator) -> None:
    sample = noise()
    result = RandomDistort(**OFF)(sample, rng)
    assert result.image.dtype == np.float32
    assert (result.image == np.floor(sample.image)).all()
    assert result.label is sample.label
    assert result.undo == []


def test_values_outside_a_byte_are_clipped_first(rng: np.random.Generator) -> None:
    image = np.array([[[-3, 260, 12.9]]], dtype=np.float32)
    assert RandomDistort(**OFF)(Sample(image), rng).image.tolist() == [[[0, 255, 12]]]


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue", "sharpness"])
def test_each_step_has_its_own_probability(name: str) -> None:
    distort = RandomDistort(**{**OFF, f"{name}_prob": 0.25})
    plain = np.floor(noise().image)
    changed = sum((distort(noise(), np.random.default_rng(seed)).image != plain).any() for seed in range(400))
    # Binomial(400, 0.25) has a standard deviation of 8.7.
    assert 65 < changed < 135


def test_sharpness_is_off_by_default() -> None:
    assert RandomDistort().settings["sharpness"] == (1, 0.5, 0)


def test_brightness_factor_covers_its_range() -> None:
    distort = RandomDistort(**{**OFF, "brightness_prob": 1, "brightness_range": 0.4})
    grey = Sample(np.full((1, 1, 3), 100, np.float32))
    levels = [distort(grey, np.random.default_rng(seed)).image[0, 0, 0] for seed in range(300)]
    assert 60 <= min(levels) < 65
    assert 135 < max(levels) <= 140
    byte = np.full((1, 1, 3), 100, np.uint8)
    assert set(levels) <= {float(adjust_brightness(byte, f / 1000)[0, 0, 0]) for f in range(600, 1401)}


def test_order_of_the_steps_varies() -> None:
    """Brightness ×2 then ×contrast clips differently from the other order."""
    distort = RandomDistort(
        **{**OFF, "brightness_prob": 1, "contrast_prob": 1}, brightness_range=0, contrast_range=0
    )
    # Ranges of 0 draw the factor's centre; moving the centre makes the two orders tell apart.
    distort.settings["brightness"] = (2, 0, 1)
    distort.settings["contrast"] = (0.5, 0, 1)
    results = {distort(noise(), np.random.default_rng(seed)).image.tobytes() for seed in range(20)}
    assert len(results) == 2


def test_one_channel_image_has_no_hue(rng: np.random.Generator) -> None:
    result = RandomDistort(**{**OFF, "hue_prob": 1})(noise(1), rng)
    assert (result.image == np.floor(noise(1).image)).all()
    everything = RandomDistort(**dict.fromkeys(OFF, 1))(noise(1), rng)
    assert everything.image.shape == (24, 32, 1)


def test_normalize_leaves_the_label_and_the_input(rng: np.random.Generator) -> None:
    sample = Sample(np.array([[[0, 127.5, 255]]], np.float32), np.array([[4]], np.int32))
    result = Normalize()(sample, rng)
    assert result.image.tolist() == [[[-1, 0, 1]]]
    assert result.label.tolist() == [[4]]
    assert sample.image.tolist() == [[[0, 127.5, 255]]]


def test_normalize_by_three_values_refuses_one_channel(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"a\.png: Normalize.*3 values.*1"):
        Normalize(mean=[0.5, 0.5, 0.5])(noise(1), rng)


@pytest.mark.parametrize(
    "parameters", [{"mean": 0.5}, {"mean": [0.5, 0.5]}, {"std": [0.5, 0.0, 0.5]}, {"std": ["a"]}]
)
def test_bad_normalisation_is_refused(parameters: dict) -> None:
    with pytest.raises(ValueError, match=r"mean|std"):
        Normalize(**parameters)


@pytest.mark.parametrize("parameters", [{"hue_prob": 2}, {"contrast_range": -1}, {"hue_range": "18"}])
def test_bad_distortion_is_refused(parameters: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        RandomDistort(**parameters)


def test_bytes_are_distorted_as_floats_are() -> None:
    image = np.random.default_rng(1).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    image.setflags(write=False)
    for seed in range(10):
        distort = RandomDistort(sharpness_prob=0.5)
        as_bytes = distort(Sample(image), np.random.default_rng(seed)).image
        as_floats = distort(Sample(image.astype(np.float32)), np.random.default_rng(seed)).image
        assert (as_bytes.dtype, as_floats.dtype) == (np.uint8, np.float32)
        assert (as_bytes == as_floats).all()


def gaussian(side: int) -> np.ndarray:
    """OpenCV's table for up to 7 pixels; its choice of the standard deviation for more."""
    tables = {3: [1, 2, 1], 5: [1, 4, 6, 4, 1], 7: [2, 7, 14, 18, 14, 7, 2]}
    if side in tables:
        return np.array(tables[side]) / sum(tables[side])
    deviation = 0.3 * ((side - 1) / 2 - 1) + 0.8
    weights = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * deviation**2))
    return weights / weights.sum()


def scipy_blur(plane: np.ndarray, kind: str, side: int) -> np.ndarray:
    """By SciPy. OpenCV mirrors at the middle of the outermost pixel, and repeats it for the median."""
    if kind == "median":
        return ndimage.median_filter(plane, side, mode="nearest")
    weights = gaussian(side) if kind == "gaussian" else np.full(side, 1 / side)
    rows = ndimage.correlate1d(plane, weights, 0, mode="mirror")
    return ndimage.correlate1d(rows, weights, 1, mode="mirror")


@pytest.mark.parametrize("side", [3, 5, 7, 9])
@pytest.mark.parametrize("kind", ["gaussian", "median", "blur"])
def test_blur_is_that_of_scipy(kind: str, side: int) -> None:
    image = noise().image.astype(np.uint8)
    wanted = np.stack(
        [scipy_blur(plane, kind, side) for plane in image.transpose(2, 0, 1).astype(float)], axis=-1
    )
    # Rounded to whole levels; for 9 pixels OpenCV rounds the weights to 1/256 too.
    tolerance = 1.5 if (kind, side) == ("gaussian", 9) else 0.51
    np.testing.assert_allclose(blur(image, kind, side), wanted, atol=tolerance)


def test_blur_draws_side_and_kind_and_its_probability() -> None:
    image = noise(1).image.astype(np.uint8)
    kinds = {
        (kind, side): blur(image, kind, side)
        for kind in ("gaussian", "median", "blur")
        for side in (3, 5, 7, 9)
    }
    transform, rng, seen = RandomBlur(0.6, "random"), np.random.default_rng(0), []
    for _ in range(1000):
        result = transform(Sample(image), rng).image
        seen += [key for key, wanted in kinds.items() if np.array_equal(result, wanted)]
    # Standard deviations are 15.5 of 600, 11.5 of 200 and 9 of 86 and 12 of 171.
    assert 530 < len(seen) < 670
    for kind in ("gaussian", "median", "blur"):
        assert 150 < sum(key[0] == kind for key in seen) < 250
    sides = [key[1] for key in seen]
    assert 50 < sides.count(3) < 125
    assert min(sides.count(5), sides.count(7), sides.count(9)) > 120
    only = RandomBlur(1.0)
    for seed in range(20):
        result = only(Sample(image), np.random.default_rng(seed)).image
        assert any(np.array_equal(result, kinds["gaussian", side]) for side in (3, 5, 7, 9))


def test_blur_takes_whole_levels_and_keeps_the_type(rng: np.random.Generator) -> None:
    result = RandomBlur(1.0, "median")(Sample(np.full((4, 4, 1), 260.7, np.float32)), rng)
    assert result.image.dtype == np.float32
    assert (result.image == 255).all()
    assert RandomBlur(1.0)(Sample(np.full((1, 1, 1), 8, np.uint8)), rng).image.tolist() == [[[8]]]


def test_noise_has_the_deviation_that_was_drawn() -> None:
    grey = Sample(np.full((60, 60, 3), 120, np.float32))
    transform, deviations = RandomNoise(1.0, 10.0), []
    for seed in range(200):
        result = transform(grey, np.random.default_rng(seed))
        added = result.image - 120
        sigma = added.std()
        assert abs(added.mean()) < 5 * sigma / np.sqrt(added.size) + 1e-6
        assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.09  # 5 / √3600
        deviations.append(sigma)
    # Evenly from 0 to 10.
    assert min(deviations) < 0.5
    assert 9.5 < max(deviations) < 10.5
    assert abs(np.mean(deviations) - 5) < 0.8


def test_noise_stays_within_its_range_and_its_type() -> None:
    edge = np.repeat(np.array([0, 255], np.float32), 500).reshape(10, 50, 2)[..., :1]
    for image in (edge, edge.astype(np.uint8)):
        result = RandomNoise(1.0, 50)(Sample(image), np.random.default_rng(1)).image
        assert result.dtype == image.dtype
        assert result.min() == 0
        assert result.max() == 255
        assert 0.3 < (result == image).mean() < 0.7  # half of the noise leads out of the range
    assert (RandomNoise(1.0, 0)(Sample(edge), np.random.default_rng(1)).image == edge).all()


def test_noise_happens_as_often_as_asked() -> None:
    grey, transform, rng = (
        Sample(np.full((3, 3, 1), 120, np.float32)),
        RandomNoise(0.3),
        np.random.default_rng(0),
    )
    assert 240 < sum(transform(grey, rng) is not grey for _ in range(1000)) < 360


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: RandomBlur(1.5), "prob"),
        (
            lambda: RandomBlur(blur_type="box"),
            "blur_type: expected one of gaussian, median, blur, random, got 'box'",
        ),
        (lambda: RandomNoise(-1), "prob"),
        (lambda: RandomNoise(max_sigma=-1), "max_sigma"),
    ],
)
def test_bad_parameters_of_blur_and_noise_are_named(make, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()
