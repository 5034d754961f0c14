"""Enlarging against Paddle and against a formula in float64."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from inference_cases import Array

from paddleseg.inference import enlarge, enlarged_labels

SIZES = [
    ((1, 4, 5, 7), (40, 56)),
    ((2, 19, 17, 33), (129, 257)),
    ((1, 3, 9, 300), (70, 311)),
    ((1, 2, 1, 1), (3, 5)),
    ((1, 2, 6, 1), (2, 9)),
    ((1, 3, 8, 9), (8, 9)),
    ((1, 3, 20, 30), (7, 11)),
]


def by_formula(logits: Array, size: tuple[int, int], align_corners: bool) -> np.ndarray:
    """Linear interpolation along one axis, then the other, with NumPy's own."""

    def along(axis: int, wanted: int, values: np.ndarray) -> np.ndarray:
        length = values.shape[axis]
        if align_corners:
            places = np.linspace(0, length - 1, wanted) if wanted > 1 else np.zeros(1)
        else:
            places = (np.arange(wanted) + 0.5) * length / wanted - 0.5
        return np.apply_along_axis(lambda line: np.interp(places, np.arange(length), line), axis, values)

    return along(3, size[1], along(2, size[0], logits.astype(np.float64)))


@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_it_is_linear_interpolation(
    shape: tuple[int, ...], size: tuple[int, int], align_corners: bool
) -> None:
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    result = enlarge(logits, size, align_corners=align_corners)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, by_formula(logits, size, align_corners), atol=2e-6)
    paddles = F.interpolate(
        paddle.to_tensor(logits), list(size), mode="bilinear", align_corners=align_corners
    )
    np.testing.assert_allclose(result, paddles.numpy(), atol=2e-4)  # its positions are float32


@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_labels_are_those_of_the_enlarged_logits(
    shape: tuple[int, ...], size: tuple[int, int], align_corners: bool
) -> None:
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    labels = enlarged_labels(logits, size, align_corners=align_corners)
    np.testing.assert_array_equal(labels, enlarge(logits, size, align_corners=align_corners).argmax(axis=1))
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_class_that_is_ruled_out_changes_no_other(align_corners: bool) -> None:
    logits = np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32)
    logits[0, 2] = -1e9
    expected = enlarged_labels(logits, (20, 24), align_corners=align_corners)
    logits[0, 2] = -np.inf
    np.testing.assert_array_equal(enlarged_labels(logits, (20, 24), align_corners=align_corners), expected)
    np.testing.assert_array_equal(
        enlarge(logits, (20, 24), align_corners=align_corners)[:, [0, 1, 3]],
        enlarge(logits[:, [0, 1, 3]], (20, 24), align_corners=align_corners),
    )


def test_more_classes_than_a_byte_counts() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 300, 2, 3)).astype(np.float32)
    labels = enlarged_labels(logits, (4, 6), align_corners=False)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, enlarge(logits, (4, 6), align_corners=False).argmax(axis=1))
