"""Scores of whole images: one pass or the mean over scales and flips, and back to the original size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from paddleseg.inference.options import InferenceOptions
from paddleseg.inference.values import Floats, Predict, UndoStep
from paddleseg.inference.windows import checked, slide_scores

__all__ = ["infer_logits", "inside_padding", "softmax", "undo_transforms"]


def infer_logits(predict: Predict, image: Floats, options: InferenceOptions) -> Floats:
    """Runs the model over an image as the options say.

    With scales or flips, each pass starts from the original image, its logits are resized back and turned
    into probabilities, and these are averaged, as in the reference reproduction (CCNet_paddle,
    ``core/infer.py``; today's PaddleSeg averages the logits).

    Args:
        predict: The model, N×C×H×W float32 → N×K×H×W logits of the same height and width.
        image: N×C×H×W float32, transformed.
        options: What to do.

    Returns:
        N×K×H×W float32: logits, or mean probabilities if ``options.is_augmented``.

    Raises:
        ValueError: The model's output has another height or width than its input.
    """
    if not options.is_augmented:
        return _infer_once(predict, image, options)
    height, width = image.shape[2:]
    total: Floats | None = None
    passes = 0
    for scale in options.scales:
        scaled = _resize(image, (_scaled(height, scale), _scaled(width, scale)))
        for axes in _flips(options):
            logits = _infer_once(predict, np.ascontiguousarray(np.flip(scaled, axes)), options)
            probabilities = softmax(_resize(np.flip(logits, axes), (height, width)))
            total = probabilities if total is None else np.add(total, probabilities, out=total)
            passes += 1
    assert total is not None
    total /= passes
    return total


def undo_transforms(scores: Floats, undo: Sequence[UndoStep]) -> Floats:
    """Brings scores back to the size the image had before the transforms.

    Args:
        scores: N×K×H×W.
        undo: The geometric steps in the order of application.

    Returns:
        N×K×h×w at the original size; resized bilinearly with half-pixel centres.

    Raises:
        ValueError: A step is of an unknown kind.
    """
    for step in reversed(undo):
        if step.kind == "resize":
            scores = _resize(scores, step.size)
        elif step.kind == "padding":
            scores = scores[(slice(None), slice(None), *inside_padding(step))]
        else:
            raise ValueError(f"cannot undo a step of kind {step.kind!r}: expected 'resize' or 'padding'")
    return scores


def inside_padding(step: UndoStep) -> tuple[slice, slice]:
    """Rows and columns of what is not padding."""
    (top, left), (height, width) = step.offset, step.size
    return slice(top, top + height), slice(left, left + width)


def softmax(logits: Floats) -> Floats:
    """Turns logits into probabilities.

    Args:
        logits: N×K×H×W; not written to.

    Returns:
        N×K×H×W float32 probabilities over the K classes.
    """
    probabilities: Floats = logits - logits.max(axis=1, keepdims=True)
    np.exp(probabilities, out=probabilities)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def _infer_once(predict: Predict, image: Floats, options: InferenceOptions) -> Floats:
    """One pass at one scale: the whole image, or windows of it."""
    return slide_scores(predict, image, options) if options.is_slide else checked(predict, image)


def _flips(options: InferenceOptions) -> list[tuple[int, ...]]:
    """Axes to mirror in each pass; both kinds of flip give their combination too."""
    flips: list[tuple[int, ...]] = [()]
    if options.flip_horizontal:
        flips.append((3,))
    if options.flip_vertical:
        flips += [(2, *axes) for axes in flips]
    return flips


def _resize(maps: Floats, size: tuple[int, int]) -> Floats:
    """Resizes N×C×H×W to (height, width): bilinear, half-pixel centres, no smoothing."""
    if maps.shape[2:] == tuple(size):
        return maps
    resized = np.empty((*maps.shape[:2], *size), dtype=np.float32)
    for source, target in zip(maps.reshape(-1, *maps.shape[2:]), resized.reshape(-1, *size), strict=True):
        target[...] = cv2.resize(source, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return resized


def _scaled(length: int, scale: float) -> int:
    return max(1, int(length * scale + 0.5))
