"""Distortion as the reference does it, and normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from paddleseg.data.transforms import Normalize, RandomDistort, Sample
from paddleseg.data.transforms.functional import adjust_brightness
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
