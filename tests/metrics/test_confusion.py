"""Confusion matrix: literals, a naive loop, refusals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix as sklearn_confusion

from paddleseg.errors import DataError
from paddleseg.metrics.confusion import confusion_matrix


def naive(prediction: npt.NDArray, label: npt.NDArray, classes: int, ignore: int) -> npt.NDArray:
    matrix = np.zeros((classes, classes), dtype=np.int64)
    for row in range(label.shape[0]):
        for column in range(label.shape[1]):
            if label[row, column] != ignore:
                matrix[label[row, column], prediction[row, column]] += 1
    return matrix


def test_rows_are_true_columns_predicted_and_ignored_pixels_left_out() -> None:
    label = np.array([[0, 0, 1], [2, 255, 1]], dtype=np.uint8)
    prediction = np.array([[0, 2, 1], [2, 0, 0]], dtype=np.uint8)
    expected = [[1, 0, 1], [1, 1, 0], [0, 0, 1]]
    matrix = confusion_matrix(prediction, label, 3)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == expected


@given(
    hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4)),
    st.randoms(use_true_random=False),
)
def test_equals_a_naive_loop(label: npt.NDArray[np.int32], random: object) -> None:
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    prediction = rng.integers(0, 4, label.shape)
    # Class number 4 is the ignored one here: it lies right after the classes.
    assert np.array_equal(confusion_matrix(prediction, label, 4, 4), naive(prediction, label, 4, 4))


def test_equals_scikit_learn_with_an_ignore_index_among_the_classes() -> None:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 19, (40, 50)).astype(np.uint8)
    prediction = rng.integers(0, 19, (40, 50)).astype(np.uint8)
    counted = label != 7
    expected = sklearn_confusion(label[counted], prediction[counted], labels=range(19))
    assert np.array_equal(confusion_matrix(prediction, label, 19, 7), expected)


def test_arguments_are_not_written_to() -> None:
    label = np.array([[0, 1]], dtype=np.int64)
    prediction = np.array([[1, 1]], dtype=np.int64)
    confusion_matrix(prediction, label, 2)
    assert label.tolist() == [[0, 1]]
    assert prediction.tolist() == [[1, 1]]


def test_everything_ignored_gives_zeros() -> None:
    label = np.full((3, 4), 255, dtype=np.uint8)
    assert confusion_matrix(np.zeros_like(label), label, 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("label", "prediction", "words"), [(3, 0, "label"), (-1, 0, "label"), (0, 3, "prediction")]
)
def test_values_outside_the_classes_are_refused(label: int, prediction: int, words: str) -> None:
    with pytest.raises(DataError, match=rf"{words}.*outside 0\.\.2"):
        confusion_matrix(np.array([[prediction, 0]]), np.array([[label, 1]]), 3)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)
