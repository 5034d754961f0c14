"""The confusion matrix: every region metric is a function of it, and matrices of images add up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paddleseg.errors import DataError

__all__ = ["confusion_matrix"]


def confusion_matrix(
    prediction: npt.NDArray[np.integer],
    label: npt.NDArray[np.integer],
    num_classes: int,
    ignore_index: int = 255,
) -> npt.NDArray[np.int64]:
    """Counts the pixels of one image by true and predicted class.

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
    counted = label != ignore_index
    truth = label[counted].astype(np.int64)
    guess = prediction[counted].astype(np.int64)
    _check_range(truth, num_classes, f"label (ignore_index is {ignore_index})")
    _check_range(guess, num_classes, "prediction")
    truth *= num_classes
    truth += guess
    return np.bincount(truth, minlength=num_classes * num_classes).reshape(num_classes, num_classes)


def _check_range(values: npt.NDArray[np.int64], num_classes: int, what: str) -> None:
    if values.size and (values.min() < 0 or values.max() >= num_classes):
        outside = np.unique(values[(values < 0) | (values >= num_classes)])[:5]
        raise DataError(
            f"{what}: values {outside.tolist()} lie outside 0..{num_classes - 1}; check num_classes and the "
            "label ids"
        )
