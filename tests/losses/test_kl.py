from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from loss_oracles import make_case, numeric_gradient, run, softmax

from paddleseg.errors import ConfigError
from paddleseg.losses import KLLoss


def naive(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    losses = []
    for n, y, x in np.ndindex(*labels.shape):
        if labels[n, y, x] != 255:
            p = softmax(student[n, :, y, x] / temperature)
            q = softmax(teacher[n, :, y, x] / temperature)
            losses += [b * (math.log(b) - math.log(a)) * temperature**2 for a, b in zip(p, q, strict=True)]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [1, 0.5, 4.0])
def test_value_and_gradient_equal_the_naive_loop(temperature: float) -> None:
    student, labels = make_case()
    teacher, _ = make_case(seed=1)
    target = paddle.to_tensor(teacher.astype("float32"), stop_gradient=False)
    loss = KLLoss(temperature=temperature)
    value, gradient = run(lambda logits, ids: loss(logits, target, ids), student, labels)
    assert value == pytest.approx(naive(student, teacher, labels, temperature), rel=1e-5)
    slope = numeric_gradient(lambda moved: naive(moved, teacher, labels, temperature), student)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)
    assert target.grad is None


def test_literals_of_pytorch() -> None:
    # torch 2.13, float64: F.kl_div(log_softmax(s/4), log_softmax(t/4), log_target=True).mean()·16.
    student = np.array([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]]).T.reshape(1, 3, 1, 2)
    teacher = np.array([[0.0, 3.0, 1.0], [-2.0, 0.5, 0.25]]).T.reshape(1, 3, 1, 2).astype("float32")
    loss = KLLoss(temperature=4.0)
    value, gradient = run(
        lambda logits, _: loss(logits, paddle.to_tensor(teacher)), student, np.zeros((1, 1, 2))
    )
    assert value == pytest.approx(0.7315566450158201, rel=1e-6)
    expected = [0.0606802769, -0.1748674624, 0.1141871855, 0.1464388794, -0.0696446886, -0.0767941908]
    np.testing.assert_allclose(gradient[0, :, 0].T.ravel(), expected, rtol=1e-5)


def test_equal_logits_cost_nothing() -> None:
    logits, labels = make_case()
    teacher = paddle.to_tensor(logits.astype("float32"))
    value, gradient = run(lambda student, ids: KLLoss()(student, teacher, ids), logits, labels)
    assert value == 0.0
    np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-8)


def test_without_labels_every_pixel_counts() -> None:
    student, labels = make_case()
    teacher, _ = make_case(seed=1)
    tensors = [paddle.to_tensor(one.astype("float32")) for one in (student, teacher)]
    assert KLLoss()(*tensors).item() == pytest.approx(
        naive(student, teacher, np.zeros_like(labels), 1.0), rel=1e-5
    )


def test_huge_logits() -> None:
    student = np.array([1e4, -1e4]).reshape(1, 2, 1, 1)
    teacher = paddle.to_tensor((-student).astype("float32"))
    value, gradient = run(lambda logits, ids: KLLoss()(logits, teacher, ids), student, np.zeros((1, 1, 1)))
    assert value == pytest.approx(1e4, rel=1e-6)  # 1·(0 − (−2e4)) over two classes
    np.testing.assert_allclose(gradient.ravel(), [0.5, -0.5], rtol=1e-6)


def test_a_teacher_with_other_classes() -> None:
    with pytest.raises(ConfigError, match=r"logits of shape \[1, 3, 2, 2\]; expected the student's, \[1, 2"):
        KLLoss()(paddle.zeros([1, 2, 2, 2]), paddle.zeros([1, 3, 2, 2]))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf])
def test_temperature_must_be_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        KLLoss(temperature=temperature)
