from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from loss_oracles import lovasz, make_case, numeric_gradient, run

from paddleseg.errors import ConfigError
from paddleseg.losses import LovaszSoftmaxLoss
from paddleseg.losses.functional import jaccard_weights


@pytest.mark.parametrize("classes", ["present", "all", [1, 3]])
@pytest.mark.parametrize("absent", [False, True])
def test_value_and_gradient_equal_the_naive_loop(classes: str | list[int], absent: bool) -> None:
    logits, labels = make_case()
    if absent:
        labels[labels == 3] = 0
    value, gradient = run(LovaszSoftmaxLoss(classes=classes), logits, labels)
    slope = numeric_gradient(lambda moved: lovasz(moved, labels, classes=classes), logits)
    assert value == pytest.approx(lovasz(logits, labels, classes=classes), rel=1e-6)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


@pytest.mark.parametrize("classes", ["present", "all"])
def test_ignore_index_may_be_a_class(classes: str) -> None:
    logits, labels = make_case(ignored=0.0)
    value, _ = run(LovaszSoftmaxLoss(ignore_index=0, classes=classes), logits, labels)
    expected = lovasz(logits, np.where(labels == 0, 255, labels), classes=classes)
    assert value == pytest.approx(expected, rel=1e-6)


def test_literal() -> None:
    # True-class probabilities 0.75 (class 0) and 0.6 (class 1).
    # Class 0: errors 0.4 (outside), 0.25 (inside): 0.4·1/2 + 0.25·1/2 = 0.325.
    # Class 1: errors 0.4 (inside), 0.25 (outside): 0.4·1 + 0.25·0 = 0.4. Mean 0.3625.
    logits = np.array([[[[math.log(3), 0.0]], [[0.0, math.log(1.5)]]]])
    value, _ = run(LovaszSoftmaxLoss(), logits, np.array([[[0, 1]]]))
    assert value == pytest.approx(0.3625, rel=1e-6)


def test_perfect_and_opposite_predictions() -> None:
    labels = np.array([[[0, 1, 1]]])
    logits = np.where(labels[:, None] == np.arange(2).reshape(1, 2, 1, 1), 100.0, -100.0)
    assert run(LovaszSoftmaxLoss(), logits, labels)[0] == pytest.approx(0.0, abs=1e-6)
    assert run(LovaszSoftmaxLoss(), -logits, labels)[0] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("classes", ["present", "all"])
def test_one_class_everywhere(classes: str) -> None:
    logits, labels = make_case(ignored=0.0)
    labels[:] = 2
    value, _ = run(LovaszSoftmaxLoss(classes=classes), logits, labels)
    assert value == pytest.approx(lovasz(logits, labels, classes=classes), rel=1e-6)


def test_weights_are_accurate_for_many_pixels() -> None:
    """Differences of neighbouring Jaccard values in float32 are 10% off at this size."""
    rng = np.random.default_rng(3)
    errors = rng.permutation(300_000).astype("float32")
    member = rng.random(300_000) < 0.5
    order = np.argsort(-errors)
    seen = np.cumsum(member[order])
    union = member.sum() + np.arange(1, 300_001) - seen
    jaccard = 1.0 - (member.sum() - seen) / union
    expected = np.empty(300_000)
    expected[order] = np.diff(jaccard, prepend=0.0)
    weights = jaccard_weights(paddle.to_tensor(errors), paddle.to_tensor(member)).numpy()
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-15)


def test_a_class_that_the_model_lacks() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match=r"LovaszSoftmaxLoss\.classes: got 4; expected 0\.\.3"):
        LovaszSoftmaxLoss(classes=[0, 4])(
            paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels)
        )


@pytest.mark.parametrize("classes", ["some", [], [-1]])
def test_classes_out_of_range(classes: str | list[int]) -> None:
    with pytest.raises(ValueError, match="classes"):
        LovaszSoftmaxLoss(classes=classes)
