"""The parts of region mutual information, by hand."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from paddleseg.losses.functional_rmi import half_log_det, pool_pairs, region_covariance


def test_interpolation_of_every_second_pixel() -> None:
    probability = np.random.default_rng(0).random((1, 1, 5, 7)).astype("float32")
    truth = (probability > 0.5).astype("float32")
    smaller, thinned = pool_pairs(paddle.to_tensor(probability), paddle.to_tensor(truth), way=2, size=2)
    # From 5×7 to 2×3 with the corners in place: rows 0 and 4, columns 0, 3 and 6; nearest: from ⌊i·5/2⌋ on.
    np.testing.assert_allclose(smaller.numpy(), probability[:, :, ::4, ::3], rtol=1e-6)
    np.testing.assert_array_equal(thinned.numpy(), truth[:, :, [0, 2]][..., [0, 2, 4]])


def test_log_det_where_the_source_cancels() -> None:
    # Truth and probability equal: B − C(A + α)⁻¹C + α = v − v²/(v + α) + α, with v = 1e9.
    covariance = paddle.full([2, 2], 1e9, dtype="float64")
    exact = 5e-4 * (1 + 1e9 / (1e9 + 5e-4))
    assert half_log_det(covariance, alpha=5e-4).item() == pytest.approx(0.5 * math.log(exact), rel=1e-4)


def test_covariance_literal() -> None:
    # A region of one pixel at two places: probabilities 1/4 and 3/4, truth 0 and 1; deviations ±1/4 and ±1/2.
    probability, truth = paddle.to_tensor([[[[0.25, 0.75]]]]), paddle.to_tensor([[[[0.0, 1.0]]]])
    covariance = region_covariance(probability, truth, radius=1)
    assert covariance.dtype == paddle.float64
    np.testing.assert_allclose(covariance.numpy(), [[[[0.125, 0.25], [0.25, 0.5]]]], rtol=1e-12)
