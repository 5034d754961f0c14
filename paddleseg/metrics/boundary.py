"""Boundary IoU: the IoU of the pixels near class contours (Cheng et al., CVPR 2021, arXiv 2103.16562).

For each class, G is the true mask and P the predicted one; G_d and P_d are the mask's own pixels within d of
its contour (the mask minus its erosion). Boundary IoU is |G_d ∩ P_d| / |G_d ∪ P_d|. Choices made here:

- d is 2% of the image diagonal, rounded, at least 1 pixel, as in the authors' ``mask_to_boundary``: the
  erosion is by d rounds of a 3×3 square, and the edge of the image counts as a contour.
- Ignored pixels belong to no mask, in truth and prediction alike, so the edge of an ignored region is a
  contour of both.
- Intersections and unions accumulate over the data set before the division, like those of the region IoU.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from paddleseg.metrics.ratios import ratio

__all__ = ["DILATION_RATIO", "boundary_areas", "boundary_iou"]

DILATION_RATIO = 0.02


def boundary_areas(
    prediction: npt.NDArray[np.integer],
    label: npt.NDArray[np.integer],
    num_classes: int,
    ignore_index: int = 255,
    *,
    dilation_ratio: float = DILATION_RATIO,
) -> npt.NDArray[np.int64]:
    """Counts one image's boundary pixels by class.

    Args:
        prediction: Predicted class ids, H×W.
        label: True class ids, H×W, with ``ignore_index`` where nothing is known.
        num_classes: Number of classes.
        ignore_index: The label value that is left out.
        dilation_ratio: Width of the boundary as a share of the image diagonal.

    Returns:
        int64 [2, num_classes]: intersections, unions. The areas of several images add up.
    """
    ignored = label == ignore_index
    width = boundary_width(label.shape, dilation_ratio)
    # One value above the classes stands for "no class".
    dtype = np.uint8 if num_classes < 256 else np.uint16
    truth = np.where(ignored, num_classes, label).astype(dtype)
    guess = np.where(ignored, num_classes, prediction).astype(dtype)
    truth[~_near_contour(truth, width, outside=num_classes)] = num_classes
    guess[~_near_contour(guess, width, outside=num_classes)] = num_classes
    in_truth = np.bincount(truth.ravel(), minlength=num_classes + 1)[:num_classes]
    in_guess = np.bincount(guess.ravel(), minlength=num_classes + 1)[:num_classes]
    in_both = np.bincount(truth[truth == guess], minlength=num_classes + 1)[:num_classes]
    return np.stack([in_both, in_truth + in_guess - in_both])


def boundary_iou(areas: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Divides accumulated areas.

    Args:
        areas: Sum of :func:`boundary_areas` over the images, [2, num_classes].

    Returns:
        Boundary IoU by class, float64; NaN for a class with no boundary anywhere.
    """
    return ratio(areas[0], areas[1])


def boundary_width(shape: tuple[int, ...], dilation_ratio: float = DILATION_RATIO) -> int:
    """Width in pixels of the boundary of an image.

    Args:
        shape: (height, width) of the image.
        dilation_ratio: Share of the diagonal.

    Returns:
        The width, at least 1.
    """
    return max(1, round(dilation_ratio * float(np.hypot(shape[0], shape[1]))))


def _near_contour(classes: npt.NDArray[Any], width: int, *, outside: int) -> npt.NDArray[np.bool_]:
    """Marks pixels with another class, or the outside of the image, within ``width`` rows and columns.

    Erosion keeps of a class's mask exactly the pixels whose window holds that class only, so one minimum and
    one maximum filter serve all classes at once.
    """
    window = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * width + 1, 2 * width + 1))
    smallest = cv2.erode(classes, window)
    largest = cv2.dilate(classes, window, borderType=cv2.BORDER_CONSTANT, borderValue=(outside,))
    return smallest != largest
