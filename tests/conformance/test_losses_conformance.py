"""What every registered loss must do. A new loss joins by one line in ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle
import pytest

import paddleseg.losses as losses
from paddleseg.registry import LOSSES

Build = Callable[..., Any]


def beside_a_teacher(**options: int) -> Any:
    """Distillation from a teacher that finds the same in every pixel."""
    loss = losses.KLLoss(**options)

    def call(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        teacher = paddle.to_tensor([0.5, -1.0, 1.0]).reshape([1, 3, 1, 1]).expand(logits.shape)
        return loss(logits, teacher, labels)

    return call


def with_an_embedding(**options: int) -> Any:
    """Contrast of an embedding that is made of the logits, with the same draws at every call."""
    loss = losses.PixelContrastCrossEntropyLoss(max_views=3, **options)

    def call(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        paddle.seed(0)
        centred = logits.astype("float32") - logits.astype("float32").mean(axis=1, keepdim=True)
        return loss({"seg": logits, "embed": centred}, labels)

    return call


CASES: dict[str, Build] = {
    "CrossEntropyLoss": losses.CrossEntropyLoss,
    "CrossEntropyLoss, weights and top k": partial(
        losses.CrossEntropyLoss, weight=[1.0, 2.0, 0.5], top_k_percent_pixels=0.5
    ),
    "OhemCrossEntropyLoss": losses.OhemCrossEntropyLoss,
    "OhemCrossEntropyLoss, mining": partial(losses.OhemCrossEntropyLoss, min_kept=6),
    "DiceLoss": losses.DiceLoss,
    "DiceLoss, not smoothed": partial(losses.DiceLoss, smooth=0.0),
    "LovaszSoftmaxLoss": losses.LovaszSoftmaxLoss,
    "LovaszSoftmaxLoss, all classes": partial(losses.LovaszSoftmaxLoss, classes="all"),
    "FocalLoss": losses.FocalLoss,
    "MultiClassFocalLoss": losses.MultiClassFocalLoss,
    "MultiClassFocalLoss, little": partial(losses.MultiClassFocalLoss, alpha=[1.0, 2.0, 0.5], gamma=0.5),
    "BCELoss": losses.BCELoss,
    "BCELoss, balanced": partial(losses.BCELoss, weight="dynamic", pos_weight="dynamic"),
    "TverskyLoss": losses.TverskyLoss,
    "TverskyLoss, not smoothed": partial(losses.TverskyLoss, smooth=0.0),
    "RelaxBoundaryLoss": losses.RelaxBoundaryLoss,
    "RelaxBoundaryLoss, weights": partial(losses.RelaxBoundaryLoss, calculate_weights=True),
    "RMILoss": partial(losses.RMILoss, rmi_radius=2, rmi_pool_size=1, rmi_pool_stride=1),
    "RMILoss, pooled": partial(losses.RMILoss, rmi_radius=2, rmi_pool_size=2, rmi_pool_stride=2),
    "KLLoss": beside_a_teacher,
    "PixelContrastCrossEntropyLoss": with_an_embedding,
    "MixedLoss": lambda **options: losses.MixedLoss(
        [losses.CrossEntropyLoss(**options), losses.DiceLoss(**options)], [0.7, 0.3]
    ),
}

every_loss = pytest.mark.parametrize("build", CASES.values(), ids=CASES.keys())

ALIKE = "there is no other class to compare with"
LOG = "the logarithm of a determinant may be negative"
SIGMOID = "a sigmoid looks at every logit by itself"
SIGMOIDS = {
    "BCELoss": SIGMOID,
    "BCELoss, balanced": SIGMOID,
    "FocalLoss": SIGMOID,
    "RMILoss": SIGMOID,
    "RMILoss, pooled": SIGMOID,
}


def every_loss_but(exceptions: dict[str, str]) -> pytest.MarkDecorator:
    """Every loss, those left out with the reason. That they do lack the property is tested, too."""
    assert exceptions.keys() <= CASES.keys()
    return pytest.mark.parametrize(
        "build",
        [
            pytest.param(
                build,
                id=name,
                marks=[pytest.mark.xfail(strict=True, reason=exceptions[name])] if name in exceptions else (),
            )
            for name, build in CASES.items()
        ],
    )


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
def test_float32_scalar_with_a_gradient(build: Build) -> None:
    value, gradient = evaluate(build(), *case())
    assert value.shape == []
    assert value.dtype == paddle.float32
    assert np.isfinite(value.item())
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@every_loss_but({"RMILoss": LOG, "RMILoss, pooled": LOG})
def test_value_is_above_zero(build: Build) -> None:
    value, _ = evaluate(build(), *case())
    assert value.item() > 0


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
    assert np.isfinite(gradient).all()


@every_loss_but({"RMILoss": LOG, "RMILoss, pooled": LOG, "PixelContrastCrossEntropyLoss": ALIKE})
def test_single_class_labels_cost_something(build: Build) -> None:
    logits, labels = case(ignored=0.0)
    value, _ = evaluate(build(), logits, np.full_like(labels, 2))
    assert value.item() > 0


@every_loss
def test_ignored_pixels_neither_count_nor_learn(build: Build) -> None:
    logits, labels = case()
    ignored = np.broadcast_to((labels == 255)[:, None], logits.shape)
    value, gradient = evaluate(build(), logits, labels)
    other, _ = evaluate(build(), np.where(ignored, logits + 5.0 * logits, logits), labels)
    assert other.item() == value.item()
    assert (gradient[ignored] == 0).all()


@every_loss
@pytest.mark.parametrize(("ignored", "dtype"), [(-1, "int32"), (7, "uint8")])
def test_any_ignore_index_and_integer_type(build: Build, ignored: int, dtype: str) -> None:
    logits, labels = case()
    value, gradient = evaluate(build(), logits, labels)
    other = np.where(labels == 255, ignored, labels).astype(dtype)
    again, same = evaluate(build(ignore_index=ignored), logits, other)
    assert again.item() == value.item()
    np.testing.assert_array_equal(same, gradient)


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


@every_loss_but(SIGMOIDS)
def test_adding_a_constant_to_a_pixels_logits_changes_nothing(build: Build) -> None:
    logits, labels = case()
    shift = np.random.default_rng(1).normal(size=(2, 1, 4, 5)).astype("float32")
    value, _ = evaluate(build(), logits, labels)
    shifted, _ = evaluate(build(), logits + shift, labels)
    assert shifted.item() == pytest.approx(value.item(), rel=1e-5)


@every_loss_but({"PixelContrastCrossEntropyLoss": "pixels are drawn by their place"})
def test_order_of_images_and_pixels_does_not_matter(build: Build) -> None:
    logits, labels = case()
    value, _ = evaluate(build(), logits, labels)
    turned, _ = evaluate(build(), logits[::-1, :, ::-1].copy(), labels[::-1, ::-1].copy())
    assert turned.item() == pytest.approx(value.item(), rel=1e-5)


@every_loss
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_huge_logits(build: Build, size: float) -> None:
    """Right and wrong beyond what exp can hold; one loss may be certain and have no slope."""
    _, labels = case()
    logits = np.where(labels[:, None] == np.arange(3).reshape(1, 3, 1, 1), size, -size).astype("float32")
    value, gradient = evaluate(build(), logits, labels)
    assert np.isfinite(value.item())
    assert np.isfinite(gradient).all()


@every_loss
def test_labels_of_another_shape_are_refused(build: Build) -> None:
    logits, labels = case()
    with pytest.raises(ValueError, match="labels of shape"):
        build()(paddle.to_tensor(logits), paddle.to_tensor(labels[:, :-1]))
