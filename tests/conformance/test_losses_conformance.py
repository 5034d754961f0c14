"""What every registered loss must do. A new loss joins by one line in ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

import paddleseg.losses as losses
from paddleseg.registry import LOSSES

Build = Callable[[], Any]

CASES: dict[str, Build] = {
    "CrossEntropyLoss": losses.CrossEntropyLoss,
    "CrossEntropyLoss, weights and top k": lambda: losses.CrossEntropyLoss(
        weight=[1.0, 2.0, 0.5], top_k_percent_pixels=0.5
    ),
    "OhemCrossEntropyLoss": losses.OhemCrossEntropyLoss,
    "OhemCrossEntropyLoss, mining": lambda: losses.OhemCrossEntropyLoss(min_kept=6),
    "DiceLoss": losses.DiceLoss,
    "DiceLoss, not smoothed": lambda: losses.DiceLoss(smooth=0.0),
    "LovaszSoftmaxLoss": losses.LovaszSoftmaxLoss,
    "LovaszSoftmaxLoss, all classes": lambda: losses.LovaszSoftmaxLoss(classes="all"),
    "MixedLoss": lambda: losses.MixedLoss([losses.CrossEntropyLoss(), losses.DiceLoss()], [0.7, 0.3]),
}

every_loss = pytest.mark.parametrize("build", CASES.values(), ids=CASES.keys())


def case(ignored: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, size=(2, 4, 5))
    labels[rng.random(labels.shape) < ignored] = 255
    return rng.normal(size=(2, 3, 4, 5)).astype("float32"), labels


def evaluate(loss: Any, logits: np.ndarray, labels: np.ndarray) -> tuple[paddle.Tensor, np.ndarray]:
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    value = loss(tensor, paddle.to_tensor(labels))
    value.backward()
    return value, tensor.grad.numpy()


def test_every_registered_loss_is_here() -> None:
    own = {name for name in LOSSES if LOSSES.get(name).__module__.startswith("paddleseg.")}
    assert own == {name.split(",")[0] for name in CASES}


@every_loss
def test_float32_scalar_above_zero_with_a_gradient(build: Build) -> None:
    value, gradient = evaluate(build(), *case())
    assert value.shape == []
    assert value.dtype == paddle.float32
    assert value.item() > 0
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@every_loss
def test_all_ignored_is_zero_without_nan(build: Build) -> None:
    logits, labels = case()
    value, gradient = evaluate(build(), logits, np.full_like(labels, 255))
    assert value.item() == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(logits))


@every_loss
@pytest.mark.parametrize("label", [0, 2])
def test_single_class_labels(build: Build, label: int) -> None:
    logits, labels = case(ignored=0.0)
    value, gradient = evaluate(build(), logits, np.full_like(labels, label))
    assert np.isfinite(value.item())
    assert value.item() > 0
    assert np.isfinite(gradient).all()


@every_loss
def test_ignored_pixels_neither_count_nor_learn(build: Build) -> None:
    logits, labels = case()
    ignored = np.broadcast_to((labels == 255)[:, None], logits.shape)
    value, gradient = evaluate(build(), logits, labels)
    other, _ = evaluate(build(), np.where(ignored, logits + 5.0 * logits, logits), labels)
    assert other.item() == value.item()
    assert (gradient[ignored] == 0).all()


@every_loss
def test_inputs_are_not_written_to(build: Build) -> None:
    logits, labels = case()
    logits_tensor, labels_tensor = paddle.to_tensor(logits, stop_gradient=False), paddle.to_tensor(labels)
    build()(logits_tensor, labels_tensor).backward()
    np.testing.assert_array_equal(logits_tensor.numpy(), logits)
    np.testing.assert_array_equal(labels_tensor.numpy(), labels)


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_float_types_are_computed_in_float32(build: Build, dtype: str) -> None:
    logits, labels = case()
    tensor = paddle.to_tensor(logits).astype(dtype)
    tensor.stop_gradient = False
    value = build()(tensor, paddle.to_tensor(labels))
    value.backward()
    expected, _ = evaluate(build(), tensor.detach().astype("float32").numpy(), labels)
    assert value.dtype == paddle.float32
    assert tensor.grad.dtype == tensor.dtype
    assert value.item() == expected.item()


@every_loss
def test_a_small_step_down_the_gradient_lowers_it(build: Build) -> None:
    logits, labels = case()
    value, gradient = evaluate(build(), logits, labels)
    lower, _ = evaluate(build(), logits - 0.1 * gradient / np.abs(gradient).max(), labels)
    assert lower.item() < value.item()


@every_loss
def test_adding_a_constant_to_a_pixels_logits_changes_nothing(build: Build) -> None:
    logits, labels = case()
    shift = np.random.default_rng(1).normal(size=(2, 1, 4, 5)).astype("float32")
    value, _ = evaluate(build(), logits, labels)
    shifted, _ = evaluate(build(), logits + shift, labels)
    assert shifted.item() == pytest.approx(value.item(), rel=1e-5)


@every_loss
def test_order_of_images_and_pixels_does_not_matter(build: Build) -> None:
    logits, labels = case()
    value, _ = evaluate(build(), logits, labels)
    turned, _ = evaluate(build(), logits[::-1, :, ::-1].copy(), labels[::-1, ::-1].copy())
    assert turned.item() == pytest.approx(value.item(), rel=1e-5)


@every_loss
def test_labels_of_another_shape_are_refused(build: Build) -> None:
    logits, labels = case()
    with pytest.raises(ValueError, match="labels of shape"):
        build()(paddle.to_tensor(logits), paddle.to_tensor(labels[:, :-1]))
