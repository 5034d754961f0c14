"""AUC-ROC from histograms, against scikit-learn's from all scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from paddleseg.metrics.auc import class_auc_roc, mean_auc_roc, score_histogram


def make_scores(
    classes: int, sharpness: float, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Softmax probabilities C×H×W that favour the true class, and the labels H×W."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, (60, 80)).astype(np.uint8)
    logits = rng.normal(size=(classes, 60, 80))
    np.put_along_axis(
        logits, label[None].astype(int), np.take_along_axis(logits, label[None].astype(int), 0) + 1, 0
    )
    logits *= sharpness
    powers = np.exp(logits - logits.max(0))
    return (powers / powers.sum(0)).astype(np.float32), label


# Sharpness 12 drives most probabilities below 1e-4 or above 0.9999, as a trained network does.
@pytest.mark.parametrize(("classes", "sharpness"), [(2, 1.0), (5, 1.0), (5, 12.0)])
def test_equals_scikit_learn(classes: int, sharpness: float) -> None:
    probabilities, label = make_scores(classes, sharpness, seed=classes)
    flat = probabilities.reshape(classes, -1)
    expected = [roc_auc_score(label.ravel() == c, flat[c]) for c in range(classes)]
    histogram = score_histogram(probabilities, label)
    np.testing.assert_allclose(class_auc_roc(histogram), expected, atol=1e-3)
    assert mean_auc_roc(histogram) == pytest.approx(np.mean(expected), abs=1e-3)


def test_histograms_of_images_add_up_and_ignored_pixels_are_left_out() -> None:
    first, first_label = make_scores(3, 1.0, seed=1)
    second, second_label = make_scores(3, 2.0, seed=2)
    second_label[:20] = 9
    total = score_histogram(first, first_label, 9) + score_histogram(second, second_label, 9)
    scores = np.concatenate([first.reshape(3, -1), second[:, 20:].reshape(3, -1)], axis=1)
    labels = np.concatenate([first_label.ravel(), second_label[20:].ravel()])
    expected = [roc_auc_score(labels == c, scores[c]) for c in range(3)]
    np.testing.assert_allclose(class_auc_roc(total), expected, atol=1e-3)
    assert total.sum() == 3 * len(labels)


def test_ties_count_one_half_by_hand() -> None:
    # Own scores 0.5, 0.9; others' 0.5, 0.1: pairs tie, win, win, win.
    probabilities = np.array([[[0.5, 0.9, 0.5, 0.1]]], dtype=np.float32)
    label = np.array([[0, 0, 1, 1]], dtype=np.uint8)
    assert class_auc_roc(score_histogram(probabilities, label)).tolist() == [3.5 / 4]


def test_certain_scores_and_rounding_beyond_one_are_kept() -> None:
    probabilities = np.array([[[1.0, 1.0000001, 0.0, 1e-30]]], dtype=np.float32)
    label = np.array([[0, 0, 1, 1]], dtype=np.uint8)
    assert class_auc_roc(score_histogram(probabilities, label)).tolist() == [1.0]


def test_class_without_pixels_is_undefined_and_left_out_of_the_mean() -> None:
    probabilities, label = make_scores(3, 1.0, seed=5)
    label[label == 2] = 0
    by_class = class_auc_roc(score_histogram(probabilities, label))
    assert np.isnan(by_class).tolist() == [False, False, True]
    assert mean_auc_roc(score_histogram(probabilities, label)) == pytest.approx(by_class[:2].mean())
