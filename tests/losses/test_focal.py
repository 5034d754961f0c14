from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import cross_entropy, focal, make_case, multi_class_focal, numeric_gradient, run

from paddleseg.errors import ConfigError
from paddleseg.losses import FocalLoss, MultiClassFocalLoss

OPTIONS = [{}, {"gamma": 0.0}, {"gamma": 0.5}, {"alpha": 0.75, "gamma": 3.0}]


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("options", OPTIONS)
def test_sigmoid_value_and_gradient_equal_the_naive_loop(options: dict, classes: int) -> None:
    logits, labels = make_case((2, classes, 3, 4))
    value, gradient = run(FocalLoss(**options), logits, labels)
    assert value == pytest.approx(focal(logits, labels, **options), rel=1e-5)
    slope = numeric_gradient(lambda moved: focal(moved, labels, **options), logits)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


@pytest.mark.parametrize("options", [*OPTIONS, {"alpha": [0.5, 2.0, 1.0, 0.25]}])
def test_softmax_value_and_gradient_equal_the_naive_loop(options: dict) -> None:
    logits, labels = make_case()
    value, gradient = run(MultiClassFocalLoss(**options), logits, labels)
    assert value == pytest.approx(multi_class_focal(logits, labels, **options), rel=1e-5)
    slope = numeric_gradient(lambda moved: multi_class_focal(moved, labels, **options), logits)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_literals_of_undecided_logits() -> None:
    # Sigmoid: p = 1/2, ln 2 · (1/2)² · (0.25 + 0.75)/2. Softmax of 2: p = 1/2, ln 2 · (1/2)².
    logits, labels = np.zeros((1, 2, 1, 2)), np.array([[[0, 1]]])
    assert run(FocalLoss(), logits, labels)[0] == pytest.approx(0.0866433976, rel=1e-6)
    assert run(MultiClassFocalLoss(), logits, labels)[0] == pytest.approx(0.1732867951, rel=1e-6)


def test_gamma_0_is_cross_entropy() -> None:
    logits, labels = make_case()
    value, _ = run(MultiClassFocalLoss(gamma=0.0), logits, labels)
    assert value == pytest.approx(cross_entropy(logits, labels), rel=1e-6)


@pytest.mark.parametrize("kind", [FocalLoss, MultiClassFocalLoss])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certain_pixels_have_finite_slopes(kind: type, gamma: float) -> None:
    labels = np.array([[[0, 1]]])
    logits = np.where(labels[:, None] == np.arange(2).reshape(1, 2, 1, 1), 1e4, -1e4)
    value, gradient = run(kind(gamma=gamma), logits, labels)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))
    value, gradient = run(kind(gamma=gamma), -logits, labels)
    assert value > 1e3
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FocalLoss(alpha=1.5), "alpha: got 1.5"),
        (lambda: FocalLoss(gamma=-1.0), "gamma: got -1.0"),
        (lambda: FocalLoss(gamma=float("nan")), "gamma: got nan"),
        (lambda: MultiClassFocalLoss(alpha=0.0), "alpha: got 0.0"),
        (lambda: MultiClassFocalLoss(alpha=[-1.0, 1.0]), r"alpha: got \[-1.0, 1.0\]"),
        (lambda: MultiClassFocalLoss(gamma=-1.0), "gamma: got -1.0"),
    ],
)
def test_refusals(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_alpha_of_another_class_count() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match=r"MultiClassFocalLoss\.alpha: got 2 values"):
        MultiClassFocalLoss(alpha=[1.0, 2.0])(
            paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels)
        )
