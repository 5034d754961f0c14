"""Region mutual information: the source's formula, with its inverse, in float64 loops."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from loss_oracles import make_case, numeric_gradient, run

from paddleseg.errors import ConfigError
from paddleseg.losses import RMILoss


def pooled(values: np.ndarray, way: int, size: int) -> np.ndarray:
    """One map, by windows that start half a window outside the image."""
    if size == 1:
        return values
    height, width = values.shape
    half = size // 2
    rows = [(max(0, top), top + size) for top in range(-half, height + half - size + 1, size)]
    columns = [(max(0, left), left + size) for left in range(-half, width + half - size + 1, size)]
    function = np.max if way == 0 else np.mean
    return np.array([[function(values[a:b, c:d]) for c, d in columns] for a, b in rows])


def naive(logits: np.ndarray, labels: np.ndarray, *, radius: int = 3, way: int = 0, size: int = 1) -> float:
    images = []
    for scores, truth in zip(logits, labels, strict=True):
        if (truth == 255).all():
            continue
        total = 0.0
        for c in range(len(scores)):
            yes = pooled((truth == c).astype(float), way, size)
            chance = pooled(np.where(truth == 255, 0.0, 1 / (1 + np.exp(-scores[c]))) + 1e-6, way, size)
            places = [
                (y, x) for y in range(yes.shape[0] - radius + 1) for x in range(yes.shape[1] - radius + 1)
            ]
            t = np.array([yes[y : y + radius, x : x + radius].ravel() for y, x in places])
            p = np.array([chance[y : y + radius, x : x + radius].ravel() for y, x in places])
            t, p = t - t.mean(axis=0), p - p.mean(axis=0)
            alpha = 5e-4 * np.eye(radius**2)
            unexplained = t.T @ t - t.T @ p @ np.linalg.inv(p.T @ p + alpha) @ p.T @ t
            total += 0.5 * np.linalg.slogdet(unexplained + alpha)[1] / radius**2
        images.append(total)
    return sum(images) / len(images)


def options(radius: int, way: int, size: int) -> dict[str, int]:
    return {"rmi_radius": radius, "rmi_pool_way": way, "rmi_pool_size": size, "rmi_pool_stride": size}


@pytest.mark.parametrize(
    ("radius", "way", "size"), [(1, 0, 1), (2, 0, 1), (3, 0, 3), (2, 1, 3), (2, 0, 2), (2, 1, 2)]
)
def test_value_and_gradient_equal_the_naive_loop(radius: int, way: int, size: int) -> None:
    logits, labels = make_case((2, 3, 9, 11))
    case = {"radius": radius, "way": way, "size": size}
    value, gradient = run(RMILoss(**options(radius, way, size)), logits, labels)
    assert value == pytest.approx(naive(logits, labels, **case), rel=2e-5)
    part = logits[:1, :, :4, :4]  # the rest would be slow

    def moved(changed: np.ndarray) -> float:
        whole = logits.copy()
        whole[:1, :, :4, :4] = changed
        return naive(whole, labels, **case)

    slope = numeric_gradient(moved, part)
    np.testing.assert_allclose(gradient[:1, :, :4, :4], slope, atol=2e-4 * np.abs(slope).max())


def test_literal() -> None:
    # Radius 1, two pixels, labels 0 1, both classes: truth ±1/2, so B = 1/2; chances 3/4 and 1/4 where the
    # class is and is not, so A = 1/8, C = 1/4; ½ ln(B − C²/(A + α) + α), twice.
    logits = math.log(3) * np.array([1.0, -1.0, -1.0, 1.0]).reshape(1, 2, 1, 2)
    value, _ = run(RMILoss(**options(1, 0, 1)), logits, np.array([[[0, 1]]]))
    assert value == pytest.approx(math.log(0.5 - 0.0625 / 0.1255 + 5e-4), rel=1e-4)


def test_an_ignored_image_beside_a_labelled_one() -> None:
    logits, labels = make_case((2, 3, 9, 11))
    labels[0] = 255
    value, gradient = run(RMILoss(**options(2, 0, 1)), logits, labels)
    assert value == pytest.approx(naive(logits, labels, radius=2), rel=2e-5)
    np.testing.assert_array_equal(gradient[0], np.zeros_like(gradient[0]))


def test_certain_predictions() -> None:
    _, labels = make_case((2, 3, 9, 11))
    logits = np.where(labels[:, None] == np.arange(3).reshape(1, 3, 1, 1), 1e4, -1e4)
    right, gradient = run(RMILoss(**options(3, 0, 1)), logits, labels)
    wrong, _ = run(RMILoss(**options(3, 0, 1)), np.random.default_rng(0).permuted(logits, axis=3), labels)
    assert right < wrong
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("way", [0, 1, 2])
def test_nan_comes_out_for_the_training_to_report(way: int) -> None:
    logits, labels = make_case((1, 3, 9, 11))
    assert math.isnan(run(RMILoss(**options(2, way, 3)), np.full_like(logits, np.nan), labels)[0])


def test_other_class_counts_and_small_images() -> None:
    logits, labels = make_case()
    tensors = paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels)
    with pytest.raises(ConfigError, match=r"num_classes: got 19; the model has 4 classes"):
        RMILoss(num_classes=19)(*tensors)
    with pytest.raises(
        ConfigError, match="image of 5×3 pixels, pooled to 2×1, is smaller than a region of 3×3"
    ):
        RMILoss(num_classes=4)(*tensors)


@pytest.mark.parametrize(
    "wrong", [{"rmi_radius": 0}, {"rmi_pool_way": 3}, {"rmi_pool_size": 0}, {"rmi_pool_stride": 2}]
)
def test_refusals(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RMILoss(**wrong)
