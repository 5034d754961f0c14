"""Ratios of pixel counts in which 0 / 0 is undefined (NaN), neither a perfect score nor a failure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["mean_defined", "ratio"]


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Divides in float64; a zero denominator gives NaN.

    Args:
        numerator: Counts of any shape.
        denominator: Counts of the same shape.

    Returns:
        The quotients, float64.
    """
    above = np.asarray(numerator, dtype=np.float64)
    below = np.asarray(denominator, dtype=np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)


def mean_defined(values: npt.NDArray[np.float64]) -> float:
    """Averages the values that are defined.

    Args:
        values: One value a class, NaN where undefined.

    Returns:
        The mean over the defined values; NaN when there is none.
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
