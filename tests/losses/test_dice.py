from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import dice, make_case, numeric_gradient, run

from paddleseg.errors import ConfigError
from paddleseg.losses import DiceLoss


@pytest.mark.parametrize("options", [{}, {"smooth": 0.0}, {"smooth": 5.0}, {"weight": [0.5, 2.0, 1.0, 0.25]}])
def test_value_and_gradient_equal_the_naive_loop(options: dict) -> None:
    logits, labels = make_case()
    value, gradient = run(DiceLoss(**options), logits, labels)
    slope = numeric_gradient(lambda moved: dice(moved, labels, **options), logits)
    assert value == pytest.approx(dice(logits, labels, **options), rel=1e-5)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_ignore_index_may_be_a_class() -> None:
    logits, labels = make_case(ignored=0.0)
    value, _ = run(DiceLoss(ignore_index=0), logits, labels)
    assert value == pytest.approx(dice(logits, np.where(labels == 0, 255, labels)), rel=1e-5)


def test_literal_undecided() -> None:
    # Both classes: |P∩T| = 0.5, |P| = 1, |T| = 1; 1 − (1 + 1) / (2 + 1) = 1/3.
    value, _ = run(DiceLoss(), np.zeros((1, 2, 1, 2)), np.array([[[0, 1]]]))
    assert value == pytest.approx(1 / 3, rel=1e-6)


def test_perfect_and_opposite_predictions() -> None:
    labels = np.array([[[0, 1, 1]]])
    logits = np.where(labels[:, None] == np.arange(2).reshape(1, 2, 1, 1), 100.0, -100.0)
    assert run(DiceLoss(smooth=0.0), logits, labels)[0] == pytest.approx(0.0, abs=1e-6)
    assert run(DiceLoss(smooth=0.0), -logits, labels)[0] == pytest.approx(1.0, rel=1e-6)


def test_one_class_everywhere() -> None:
    logits, labels = make_case(ignored=0.0)
    labels[:] = 3
    assert run(DiceLoss(), logits, labels)[0] == pytest.approx(dice(logits, labels), rel=1e-5)


def test_an_ignored_image_beside_a_labelled_one() -> None:
    logits, labels = make_case()
    labels[0] = 255
    assert run(DiceLoss(), logits, labels)[0] == pytest.approx(dice(logits, labels), rel=1e-5)


def test_ignored_pixels_beside_the_labels_of_the_next_loss() -> None:
    """PaddleSeg's Dice loss turns ignored labels into class 0 for whoever comes after it."""
    logits, labels = make_case()
    tensor = paddle.to_tensor(labels)
    DiceLoss()(paddle.to_tensor(logits.astype("float32")), tensor)
    np.testing.assert_array_equal(tensor.numpy(), labels)


def test_negative_smooth_is_refused() -> None:
    with pytest.raises(ValueError, match="smooth"):
        DiceLoss(smooth=-1.0)


def test_weight_of_another_class_count() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match=r"DiceLoss\.weight"):
        DiceLoss(weight=[1.0])(paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels))
