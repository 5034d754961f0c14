"""Boundary IoU: masks worked by hand, and the published procedure class by class."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from paddleseg.metrics.boundary import boundary_areas, boundary_iou, boundary_width


def published_boundary(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The paper's procedure: pad with background, erode ``width`` times by 3×3, subtract."""
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & (eroded == 0)


def naive_areas(guess: npt.NDArray, truth: npt.NDArray, classes: int, ignore: int, width: int) -> npt.NDArray:
    areas = np.zeros((2, classes), dtype=np.int64)
    counted = truth != ignore
    for c in range(classes):
        of_truth = published_boundary((truth == c) & counted, width)
        of_guess = published_boundary((guess == c) & counted, width)
        areas[:, c] = (of_truth & of_guess).sum(), (of_truth | of_guess).sum()
    return areas


def test_shifted_square_by_hand() -> None:
    # A 4×4 square of class 1 in 6×9, predicted one column to the right; boundary 1 pixel wide.
    truth = np.zeros((6, 9), dtype=np.uint8)
    truth[1:5, 2:6] = 1
    guess = np.zeros_like(truth)
    guess[1:5, 3:7] = 1
    areas = boundary_areas(guess, truth, 2)
    # Each ring has 12 pixels. They share columns 3..5 of the first and last row (3 + 3); in the two middle
    # rows the truth has columns 2 and 5, the prediction 3 and 6: nothing.
    assert areas[:, 1].tolist() == [6, 18]
    assert boundary_iou(areas)[1] == pytest.approx(1 / 3)


def test_edge_of_the_image_is_a_contour() -> None:
    everything = np.zeros((5, 6), dtype=np.uint8)
    # The outermost ring of 5×6 has 18 pixels.
    assert boundary_areas(everything, everything, 1).tolist() == [[18], [18]]


@pytest.mark.parametrize(
    ("shape", "ratio", "ignore"), [((40, 60), 0.02, 255), ((37, 51), 0.06, 3), ((9, 7), 0.3, 255)]
)
def test_equals_the_published_procedure(shape: tuple[int, int], ratio: float, ignore: int) -> None:
    rng = np.random.default_rng(shape[0])
    size = (shape[1], shape[0])
    truth = cv2.resize(rng.integers(0, 4, (4, 5)).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    guess = cv2.resize(rng.integers(0, 4, (5, 4)).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    truth[: shape[0] // 4, : shape[1] // 3] = ignore
    width = boundary_width(shape, ratio)
    areas = boundary_areas(guess, truth, 4, ignore, dilation_ratio=ratio)
    assert np.array_equal(areas, naive_areas(guess, truth, 4, ignore, width))
    assert areas[0].sum() > 0


def test_more_classes_than_a_byte_holds() -> None:
    rng = np.random.default_rng(1)
    truth = cv2.resize(
        rng.integers(0, 300, (4, 4)).astype(np.uint16), (30, 30), interpolation=cv2.INTER_NEAREST
    )
    areas = boundary_areas(truth, truth, 300, 65535)
    assert np.array_equal(areas, naive_areas(truth, truth, 300, 65535, 1))


def test_ignored_pixels_never_count() -> None:
    truth = np.full((8, 8), 255, dtype=np.uint8)
    areas = boundary_areas(np.zeros_like(truth), truth, 2)
    assert areas.tolist() == [[0, 0], [0, 0]]
    assert np.isnan(boundary_iou(areas)).all()


def test_arguments_are_not_written_to() -> None:
    truth = np.arange(64, dtype=np.uint8).reshape(8, 8) % 2
    guess = truth.copy()
    boundary_areas(guess, truth, 2)
    assert np.array_equal(guess, truth)
    assert np.array_equal(truth, np.arange(64).reshape(8, 8) % 2)


def test_width_is_a_share_of_the_diagonal() -> None:
    # The diagonal of 1024×2048 is 2289.7 pixels, 2% of it 45.8.
    assert boundary_width((1024, 2048)) == 46
    assert boundary_width((3, 4)) == 1
