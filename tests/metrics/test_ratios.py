"""0 / 0 is undefined."""

from __future__ import annotations

import math

import numpy as np

from paddleseg.metrics.ratios import mean_defined, ratio


def test_zero_denominators_give_nan_without_a_warning(recwarn: object) -> None:
    np.testing.assert_array_equal(ratio([1, 0, 3], [2, 0, 0]), [0.5, np.nan, np.nan])
    assert len(recwarn) == 0  # type: ignore[arg-type]


def test_scalars_work() -> None:
    assert float(ratio(3, 4)) == 0.75
    assert math.isnan(float(ratio(0, 0)))


def test_mean_leaves_undefined_values_out() -> None:
    assert mean_defined(np.array([1.0, np.nan, 0.5])) == 0.75
    assert math.isnan(mean_defined(np.array([np.nan])))
