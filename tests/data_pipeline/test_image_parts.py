"""Parts of an image against the whole of it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from paddleseg.data.image_parts import ImageParts
from paddleseg.data.transforms import Normalize, Sample
from paddleseg.errors import DataError

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]


@pytest.mark.parametrize("normalize", [Normalize(MEAN, STD), None])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_parts_are_those_of_the_whole(normalize: Normalize | None, dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3)).astype(dtype)
    expected = pixels.astype(np.float64)
    if normalize is not None:
        expected = (expected / 255 - MEAN) / STD
    # As worker processes send it.
    parts = pickle.loads(pickle.dumps(ImageParts.of(Sample(pixels), normalize)))
    assert parts.shape == parts[:].shape == (1, 3, 9, 14)
    assert parts[:].dtype == np.float32
    np.testing.assert_allclose(parts[:][0].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-5)
    part = slice(None), slice(None), slice(2, 7), slice(3, 11)
    np.testing.assert_array_equal(parts[part], parts[:][part])


def test_values_for_other_channels_are_refused() -> None:
    with pytest.raises(DataError, match=r"a\.png: Normalize: mean and std have 3 values and the image 1"):
        ImageParts.of(Sample(np.zeros((2, 2, 1), np.uint8), image_path="a.png"), Normalize(MEAN, STD))
