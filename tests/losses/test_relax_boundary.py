from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import cross_entropy, make_case, numeric_gradient, relaxed, run

from paddleseg.losses import RelaxBoundaryLoss


@pytest.mark.parametrize("border", [0, 1, 2])
@pytest.mark.parametrize("upper_bound", [None, 0.5])
def test_value_and_gradient_equal_the_naive_loop(border: int, upper_bound: float | None) -> None:
    logits, labels = make_case((2, 5, 4, 6))
    labels[:, :2, :4] = 2  # an area, so that not every pixel is at a boundary
    weights = {} if upper_bound is None else {"calculate_weights": True, "upper_bound": upper_bound}
    options = {"border": border, "upper_bound": upper_bound}
    value, gradient = run(RelaxBoundaryLoss(border=border, **weights), logits, labels)
    assert value == pytest.approx(relaxed(logits, labels, **options), rel=1e-5)
    slope = numeric_gradient(lambda moved: relaxed(moved, labels, **options), logits)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_without_boundaries_it_is_cross_entropy() -> None:
    logits, labels = make_case()
    labels[labels != 255] = 2
    value, _ = run(RelaxBoundaryLoss(border=3), logits, labels)
    assert value == pytest.approx(cross_entropy(logits, labels), rel=1e-6)


def test_literal() -> None:
    # One row, labels 0 0 1, undecided among 4 classes: −log(1/4), −log(2/4), −log(2/4), a mean.
    value, _ = run(RelaxBoundaryLoss(), np.zeros((1, 4, 1, 3)), np.array([[[0, 0, 1]]]))
    assert value == pytest.approx(4 * np.log(2) / 3, rel=1e-6)


def test_a_class_beyond_the_ignored_pixels_is_no_neighbour() -> None:
    logits, _ = make_case((1, 3, 1, 4))
    value, _ = run(RelaxBoundaryLoss(), logits, np.array([[[0, 255, 255, 1]]]))
    assert value == pytest.approx(cross_entropy(logits, np.array([[[0, 255, 255, 1]]])), rel=1e-6)


def test_any_class_nearby_is_right() -> None:
    labels = np.array([[[0, 1]]])
    logits = np.zeros((1, 3, 1, 2))
    logits[:, 2] = -1e4
    value, gradient = run(RelaxBoundaryLoss(), logits, labels)
    assert value == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-6)


def test_labels_of_int32() -> None:
    logits, labels = make_case()
    value = RelaxBoundaryLoss()(
        paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels.astype("int32"))
    )
    assert value.item() == pytest.approx(relaxed(logits, labels), rel=1e-5)


@pytest.mark.parametrize("options", [{"border": -1}, {"upper_bound": 0.0}])
def test_refusals(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RelaxBoundaryLoss(**options)
