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
from paddleseg.metrics import confusion
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


@pytest.mark.parametrize("label_type", [np.uint8, np.int8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("prediction_type", [np.uint8, np.int64])
@pytest.mark.parametrize("ignore", [100, 2])
def test_every_integer_type_and_memory_order(
    label_type: type[np.integer], prediction_type: type[np.integer], ignore: int
) -> None:
    rng = np.random.default_rng(5)
    label = rng.choice([0, 1, 2, ignore], (14, 9)).astype(label_type)
    prediction = rng.integers(0, 3, (14, 9)).astype(prediction_type)
    expected = naive(prediction, label, 3, ignore)
    assert np.array_equal(confusion_matrix(prediction, label, 3, ignore), expected)
    assert np.array_equal(confusion_matrix(prediction[::-1, ::-1], label[::-1, ::-1], 3, ignore), expected)
    assert np.array_equal(confusion_matrix(prediction, np.asfortranarray(label), 3, ignore), expected)


@pytest.mark.parametrize(("classes", "ignore"), [(3, -1), (3, 1000), (256, 300), (300, 255), (300, 299)])
def test_values_that_fit_no_byte(classes: int, ignore: int) -> None:
    rng = np.random.default_rng(6)
    label = rng.choice([0, 2, classes - 1, ignore], (14, 9))
    prediction = rng.choice([0, 1, classes - 1], (14, 9))
    expected = naive(prediction, label, classes, ignore)
    assert np.array_equal(confusion_matrix(prediction, label, classes, ignore), expected)


def test_images_too_large_for_one_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion, "PIXELS_AT_ONCE", 32)
    rng = np.random.default_rng(7)
    label, prediction = rng.integers(0, 4, (2, 9, 11), dtype=np.uint8)
    assert np.array_equal(confusion_matrix(prediction, label, 4), naive(prediction, label, 4, 255))


def test_counts_are_exact_where_float32_is_not() -> None:
    zeros = np.zeros((1, 2**24 + 1), dtype=np.uint8)
    assert confusion_matrix(zeros, zeros, 2).tolist() == [[2**24 + 1, 0], [0, 0]]


def test_read_only_arguments_and_no_pixels() -> None:
    label = np.array([[0, 1]], dtype=np.uint8)
    label.flags.writeable = False
    assert confusion_matrix(label, label, 2).tolist() == [[1, 0], [0, 1]]
    for kind in (np.uint8, np.int64):
        assert confusion_matrix(np.zeros((0, 4), kind), np.zeros((0, 4), kind), 2).tolist() == [[0, 0]] * 2


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
    ("label", "prediction", "words"),
    [
        (3, 0, r"label \(ignore_index is 255\): values \[3\]"),
        (-1, 0, r"label \(ignore_index is 255\): values \[-1\]"),
        (0, 3, r"prediction: values \[3\]"),
        (0, -1, r"prediction: values \[-1\]"),
        (0, 256, r"prediction: values \[256\]"),
        (4, 3, r"label \(ignore_index is 255\): values \[4\]"),
    ],
)
def test_values_outside_the_classes_are_refused(label: int, prediction: int, words: str) -> None:
    with pytest.raises(DataError, match=rf"^{words} lie outside 0\.\.2"):
        confusion_matrix(np.array([[prediction, 0]]), np.array([[label, 1]]), 3)


def test_ignored_pixels_may_be_predicted_as_anything() -> None:
    label, prediction = np.array([[255, 1]], np.uint8), np.array([[200, 1]], np.uint8)
    assert confusion_matrix(prediction, label, 2).tolist() == [[0, 0], [0, 1]]


def test_other_sizes_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)
