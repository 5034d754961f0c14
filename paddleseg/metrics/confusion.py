"""The confusion matrix: every region metric is a function of it, and matrices of images add up."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from paddleseg.errors import DataError

__all__ = ["confusion_matrix"]

Counts = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BYTE_VALUES = 256
# OpenCV's histogram is float32, in which whole numbers are exact up to here.
PIXELS_AT_ONCE = 2**24


def confusion_matrix(
    prediction: npt.NDArray[np.integer],
    label: npt.NDArray[np.integer],
    num_classes: int,
    ignore_index: int = 255,
) -> Counts:
    """Counts the pixels of one image by true and predicted class.

    Fastest on uint8, which is counted as it is.

    Args:
        prediction: Predicted class ids, any integer type, H×W; values in 0..num_classes−1.
        label: True class ids, same shape; ``ignore_index`` marks pixels that do not count.
        num_classes: Number of classes.
        ignore_index: The label value that is left out.

    Returns:
        int64 [num_classes, num_classes]; rows are the true class, columns the predicted one. The matrix of
        several images is the sum of theirs.

    Raises:
        DataError: The shapes differ, or a value lies outside the classes.
    """
    if prediction.shape != label.shape:
        raise DataError(
            f"the prediction is {prediction.shape} pixels, the label {label.shape}: sizes must agree"
        )
    truth, guess = _as_bytes(label), _as_bytes(prediction)
    if truth is None or guess is None or num_classes > BYTE_VALUES:
        counted = label != ignore_index
        return _count_pairs(label[counted], prediction[counted], num_classes, ignore_index)
    counts = _count_bytes(truth, guess)
    if 0 <= ignore_index < BYTE_VALUES:
        counts[ignore_index] = 0
    _check_range(np.flatnonzero(counts.any(axis=1)), num_classes, _label_name(ignore_index))
    _check_range(np.flatnonzero(counts.any(axis=0)), num_classes, "prediction")
    return counts[:num_classes, :num_classes].copy()


def _as_bytes(values: npt.NDArray[np.integer]) -> Bytes | None:
    """The same values as one row of uint8; None where one does not fit."""
    if values.dtype != np.uint8 and values.size and (values.min() < 0 or values.max() >= BYTE_VALUES):
        return None
    return np.ascontiguousarray(values, dtype=np.uint8).reshape(1, -1)


def _count_bytes(truth: Bytes, guess: Bytes) -> Counts:
    """The joint histogram of two rows, [256, 256]."""
    counts = np.zeros((BYTE_VALUES, BYTE_VALUES), dtype=np.int64)
    for start in range(0, truth.size, PIXELS_AT_ONCE):
        pixels = slice(start, start + PIXELS_AT_ONCE)
        planes = [truth[:, pixels], guess[:, pixels]]
        histogram = cv2.calcHist(planes, [0, 1], None, [BYTE_VALUES] * 2, [0, BYTE_VALUES] * 2)
        counts += histogram.astype(np.int64)
    return counts


def _count_pairs(
    truth: npt.NDArray[np.integer], guess: npt.NDArray[np.integer], num_classes: int, ignore_index: int
) -> Counts:
    """The matrix of counted pixels whose values do not fit a byte."""
    truth, guess = truth.astype(np.int64), guess.astype(np.int64)
    _check_range(truth, num_classes, _label_name(ignore_index))
    _check_range(guess, num_classes, "prediction")
    truth *= num_classes
    truth += guess
    return np.bincount(truth, minlength=num_classes * num_classes).reshape(num_classes, num_classes)


def _label_name(ignore_index: int) -> str:
    return f"label (ignore_index is {ignore_index})"


def _check_range(values: npt.NDArray[np.integer], num_classes: int, what: str) -> None:
    if values.size and (values.min() < 0 or values.max() >= num_classes):
        outside = np.unique(values[(values < 0) | (values >= num_classes)])[:5]
        raise DataError(
            f"{what}: values {outside.tolist()} lie outside 0..{num_classes - 1}; check num_classes and the "
            "label ids"
        )
