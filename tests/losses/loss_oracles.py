"""The losses written out as loops over pixels in float64, from their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import paddle

Loss = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


def make_case(
    shape: tuple[int, int, int, int] = (2, 4, 3, 5), *, seed: int = 0, ignored: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Random logits (float64) and labels with a share of ignored pixels (255); not square, batch above 1."""
    rng = np.random.default_rng(seed)
    batch, classes, height, width = shape
    logits = rng.normal(size=shape) * 2.0
    labels = rng.integers(0, classes, size=(batch, height, width))
    labels[rng.random(labels.shape) < ignored] = 255
    return logits, labels


def run(loss: Loss, logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and gradient of one of our losses."""
    tensor = paddle.to_tensor(logits.astype("float32"), stop_gradient=False)
    value = loss(tensor, paddle.to_tensor(labels.astype("int64")))
    value.backward()
    return float(value.item()), tensor.grad.numpy()


def numeric_gradient(
    function: Callable[[np.ndarray], float], logits: np.ndarray, step: float = 1e-6
) -> np.ndarray:
    """Central differences in float64."""
    gradient = np.zeros_like(logits)
    for index in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def softmax(scores: Sequence[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def pixels(logits: np.ndarray, labels: np.ndarray) -> list[tuple[list[float], int]]:
    """(class probabilities, label) of every pixel, image by image."""
    batch, _, height, width = logits.shape
    return [
        (softmax(logits[n, :, y, x]), int(labels[n, y, x]))
        for n in range(batch)
        for y in range(height)
        for x in range(width)
    ]


def cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    weight: Sequence[float] | None = None,
    top_k: float = 1.0,
    avg_non_ignore: bool = True,
) -> float:
    losses, shares = [], []
    for probabilities, label in pixels(logits, labels):
        class_weight = weight[label % 255] if weight else 1.0
        losses.append(0.0 if label == 255 else -math.log(probabilities[label]) * class_weight)
        shares.append(class_weight if avg_non_ignore else 1.0)
        if top_k == 1.0 and avg_non_ignore and label == 255:
            shares[-1] = 0.0
    order = sorted(range(len(losses)), key=lambda index: -losses[index])
    chosen = order[: int(top_k * len(losses))]
    loss = sum(losses[index] for index in chosen) / len(chosen)
    return loss / (sum(shares[index] for index in chosen) / len(chosen) + 1e-8)


def ohem(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    thresh: float,
    min_kept: int,
    weight: Sequence[float] | None = None,
) -> float:
    everything = pixels(logits, labels)
    valid = [(probabilities[label], label) for probabilities, label in everything if label != 255]
    threshold = math.inf
    if len(valid) > min_kept:
        threshold = thresh
        if min_kept > 0:
            threshold = max(thresh, sorted(probability for probability, _ in valid)[min_kept - 1])
    kept = [(probability, label) for probability, label in valid if probability < threshold]
    total = sum(-math.log(probability) * (weight[label] if weight else 1.0) for probability, label in kept)
    return total / len(everything) / (len(kept) / len(everything) + 1e-5)


def dice(
    logits: np.ndarray, labels: np.ndarray, *, smooth: float = 1.0, weight: Sequence[float] | None = None
) -> float:
    batch, classes = logits.shape[:2]
    total = 0.0
    for n in range(batch):
        valid = [pixel for pixel in pixels(logits[n : n + 1], labels[n : n + 1]) if pixel[1] != 255]
        for c in range(classes):
            common = sum(probabilities[c] for probabilities, label in valid if label == c)
            size = sum(probabilities[c] + (label == c) for probabilities, label in valid)
            factor = weight[c] if weight else 1.0
            total += factor * (1 - (2 * common + smooth) / (size + smooth + 1e-8))
    return total / batch / classes


def lovasz(logits: np.ndarray, labels: np.ndarray, *, classes: str | Sequence[int] = "present") -> float:
    """The Lovász extension by its definition: Σ error·(rise of the Jaccard loss as this pixel goes wrong)."""
    valid = [pixel for pixel in pixels(logits, labels) if pixel[1] != 255]
    losses = []
    for c in range(logits.shape[1]):
        truth = {index for index, (_, label) in enumerate(valid) if label == c}
        if (classes == "present" and not truth) or (not isinstance(classes, str) and c not in classes):
            continue
        errors = [abs((index in truth) - pixel[0][c]) for index, pixel in enumerate(valid)]
        loss, before, wrong = 0.0, 0.0, set()
        for index in sorted(range(len(valid)), key=lambda index: -errors[index]):
            wrong.add(index)
            now = len(wrong) / len(truth | wrong)
            loss += errors[index] * (now - before)
            before = now
        losses.append(loss)
    return sum(losses) / len(losses)
