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


def tversky(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    weight: Sequence[float] | None = None,
) -> float:
    batch, classes = logits.shape[:2]
    total = 0.0
    for n in range(batch):
        valid = [pixel for pixel in pixels(logits[n : n + 1], labels[n : n + 1]) if pixel[1] != 255]
        for c in range(classes):
            hit = sum(chances[c] for chances, label in valid if label == c)
            wrong = sum(chances[c] for chances, label in valid if label != c)
            missed = sum(1 - chances[c] for chances, label in valid if label == c)
            share = (hit + smooth) / (hit + alpha * wrong + beta * missed + smooth + 1e-8)
            total += (weight[c] if weight else 1.0) * (1 - share)
    return total / batch / classes


def multi_class_focal(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float | Sequence[float] = 1.0,
    gamma: float = 2.0,
) -> float:
    losses = []
    for chances, label in pixels(logits, labels):
        if label != 255:
            factor = alpha if isinstance(alpha, float) else alpha[label]
            losses.append(-factor * (1 - chances[label]) ** gamma * math.log(chances[label]))
    return sum(losses) / len(losses)


def answers(logits: np.ndarray, labels: np.ndarray) -> list[tuple[float, bool, int]]:
    """(logit, whether the pixel belongs to its class, class) of every logit at valid pixels.

    A single channel is that of class 1.
    """
    classes = logits.shape[1]
    return [
        (float(logits[n, c, y, x]), bool(labels[n, y, x] == (c if classes > 1 else 1)), c)
        for n, c, y, x in np.ndindex(*logits.shape)
        if labels[n, y, x] != 255
    ]


def focal(logits: np.ndarray, labels: np.ndarray, *, alpha: float = 0.25, gamma: float = 2.0) -> float:
    losses = []
    for logit, yes, _ in answers(logits, labels):
        chance = 1 / (1 + math.exp(-logit if yes else logit))
        losses.append(-(alpha if yes else 1 - alpha) * (1 - chance) ** gamma * math.log(chance))
    return sum(losses) / len(losses)


def binary_cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    weight: str | Sequence[float] | None = None,
    pos_weight: str | float | None = None,
) -> float:
    everything = answers(logits, labels)
    noes = sum(not yes for _, yes, _ in everything) / len(everything)
    total = 0.0
    for logit, yes, c in everything:
        loss = -math.log(1 / (1 + math.exp(-logit if yes else logit)))
        if weight == "dynamic":
            loss *= 2 * noes if yes else 2 * (1 - noes)
        elif weight:
            loss *= weight[c]
        if yes and pos_weight:
            loss *= 2 * noes if pos_weight == "dynamic" else pos_weight
        total += loss
    return total / len(everything)


def relaxed(
    logits: np.ndarray, labels: np.ndarray, *, border: int = 1, upper_bound: float | None = None
) -> float:
    """Boundary-relaxed cross-entropy; ``upper_bound`` switches the class weights on."""
    losses = []
    for scores, truth in zip(logits, labels, strict=True):
        height, width = truth.shape
        sets = {}
        for y, x in np.ndindex(height, width):
            if truth[y, x] != 255:
                square = truth[max(0, y - border) : y + border + 1, max(0, x - border) : x + border + 1]
                sets[y, x] = sorted(set(square.ravel().tolist()) - {255})
        members = [c for near in sets.values() for c in near]
        for (y, x), near in sets.items():
            chances = softmax(scores[:, y, x])
            loss = -math.log(sum(chances[c] for c in near))
            if upper_bound is not None:
                shares = [members.count(c) / len(members) for c in near]
                loss *= sum(1 + upper_bound * (1 - share) for share in shares) / len(near)
            losses.append(loss)
    return sum(losses) / len(losses)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


def contrast_of_pixels(embedding: np.ndarray, classes: list[int], temperature: float) -> float:
    anchors = []
    for i, own in enumerate(classes):
        like = [math.exp(embedding[i] @ other / temperature) for other in embedding]
        others = sum(like[k] for k, kind in enumerate(classes) if kind != own)
        positive = [
            -math.log(like[j] / (like[j] + others))
            for j, kind in enumerate(classes)
            if kind == own and j != i
        ]
        if positive:
            anchors.append(sum(positive) / len(positive))
    return sum(anchors) / len(anchors)
