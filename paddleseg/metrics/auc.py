"""Area under the ROC curve, one class against the rest, in memory that does not grow with the data set.

Scores are kept as histograms, one for a class's own pixels and one for all others. Bins are uniform in
log-odds, not in probability: a trained network's probabilities crowd towards 0 and 1, where uniform bins
would merge them into ties. A bin is 0.0105 wide in log-odds; scores in one bin count as ties.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paddleseg.metrics.ratios import mean_defined, ratio

__all__ = ["class_auc_roc", "mean_auc_roc", "score_histogram"]

BINS = 10_000
# The range of float32: its smallest normal number has log-odds −87.3, the largest below 1 has 16.6.
LOWEST, HIGHEST = -88.0, 17.0


def score_histogram(
    probabilities: npt.NDArray[np.floating],
    label: npt.NDArray[np.integer],
    ignore_index: int = 255,
) -> npt.NDArray[np.int64]:
    """Counts one image's class probabilities by bin.

    Args:
        probabilities: C×H×W, 0..1.
        label: H×W class ids; pixels of ``ignore_index`` are left out.
        ignore_index: The label value that is left out.

    Returns:
        int64 [C, 2, bins]: for each class the histogram over other classes' pixels, then over its own.
        Histograms of several images add up.
    """
    counted = label != ignore_index
    truth = label[counted]
    return np.stack([_class_histogram(scores[counted], truth == c) for c, scores in enumerate(probabilities)])


def class_auc_roc(histogram: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Computes the AUC of each class against the rest.

    The AUC is the probability that a pixel of the class scores above one of another class, ties counting one
    half (Mann–Whitney).

    Args:
        histogram: Sum of :func:`score_histogram` over the images.

    Returns:
        AUC by class, float64; NaN for a class with no pixel of its own or none of another class.
    """
    others, own = histogram[:, 0].astype(np.float64), histogram[:, 1].astype(np.float64)
    below = np.cumsum(others, axis=1) - others
    wins = (own * (below + others / 2)).sum(axis=1)
    return ratio(wins, own.sum(axis=1) * others.sum(axis=1))


def mean_auc_roc(histogram: npt.NDArray[np.int64]) -> float:
    """Averages :func:`class_auc_roc` over the classes for which it is defined.

    Args:
        histogram: Sum of :func:`score_histogram` over the images.

    Returns:
        The mean; NaN when no class has an AUC.
    """
    return mean_defined(class_auc_roc(histogram))


def _class_histogram(scores: npt.NDArray[np.floating], own: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Histogram [2, bins] of one class's scores, other classes' pixels first."""
    scores = np.clip(scores, 0, 1)  # rounding in averages and resizes goes past 1
    with np.errstate(divide="ignore"):
        log_odds = np.log(scores) - np.log1p(-scores)
    np.clip(log_odds, LOWEST, HIGHEST, out=log_odds)
    log_odds -= LOWEST
    log_odds *= BINS / (HIGHEST - LOWEST)
    bins = np.minimum(log_odds.astype(np.int64), BINS - 1)
    return np.bincount(bins + BINS * own, minlength=2 * BINS).reshape(2, BINS)
