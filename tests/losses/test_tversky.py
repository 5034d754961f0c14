from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import dice, make_case, numeric_gradient, run, tversky

from paddleseg.errors import ConfigError
from paddleseg.losses import DiceLoss, TverskyLoss


@pytest.mark.parametrize(
    "options",
    [{}, {"smooth": 0.0}, {"alpha": 0.0, "beta": 2.0}, {"weight": [0.5, 2.0, 1.0, 0.25], "smooth": 5.0}],
)
def test_value_and_gradient_equal_the_naive_loop(options: dict) -> None:
    logits, labels = make_case()
    value, gradient = run(TverskyLoss(**options), logits, labels)
    slope = numeric_gradient(lambda moved: tversky(moved, labels, **options), logits)
    assert value == pytest.approx(tversky(logits, labels, **options), rel=1e-5)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_even_weights_are_the_dice_loss() -> None:
    logits, labels = make_case()
    value, gradient = run(TverskyLoss(alpha=0.5, beta=0.5, smooth=0.5), logits, labels)
    assert value == pytest.approx(dice(logits, labels, smooth=1.0), rel=1e-5)
    np.testing.assert_allclose(gradient, run(DiceLoss(smooth=1.0), logits, labels)[1], atol=1e-7)


def test_literal_undecided() -> None:
    # Class 0: TP = 1, FP = 0.5, FN = 1; class 1: 0.5, 1, 0.5 (three pixels, two of class 0), p = 1/2.
    value, _ = run(TverskyLoss(smooth=0.0), np.zeros((1, 2, 1, 3)), np.array([[[0, 0, 1]]]))
    expected = ((1 - 1 / (1 + 0.3 * 0.5 + 0.7 * 1)) + (1 - 0.5 / (0.5 + 0.3 * 1 + 0.7 * 0.5))) / 2
    assert value == pytest.approx(expected, rel=1e-6)


def test_an_ignored_image_beside_a_labelled_one() -> None:
    logits, labels = make_case()
    labels[0] = 255
    assert run(TverskyLoss(), logits, labels)[0] == pytest.approx(tversky(logits, labels), rel=1e-5)


@pytest.mark.parametrize("options", [{"alpha": -0.1}, {"alpha": 0.0, "beta": 0.0}, {"smooth": -1.0}])
def test_refusals(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TverskyLoss(**options)


def test_weight_of_another_class_count() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match=r"TverskyLoss\.weight"):
        TverskyLoss(weight=[1.0])(paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels))
