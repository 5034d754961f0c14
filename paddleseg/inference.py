"""From a model as a function on arrays to labels of the original size.

Whole image, sliding window, several scales and flips, and undoing the resize and padding of the transforms:
NumPy and OpenCV over a callable, so that evaluation, prediction and deployed models share one implementation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from paddleseg.errors import UsageError, WeightsError

__all__ = [
    "InferenceOptions",
    "Predict",
    "UndoStep",
    "infer_logits",
    "softmax",
    "to_labels",
    "undo_labels",
    "undo_transforms",
]

Floats = npt.NDArray[np.float32]
Predict = Callable[[Floats], Floats]
Window = tuple[slice, slice]

# Rows for which 19 classes of a wide image stay in the processor's cache.
_ROWS_AT_ONCE = 16


class UndoStep(Protocol):
    """One geometric step of the transforms (``paddleseg.data.transforms.sample.Undo``)."""

    @property
    def kind(self) -> str:
        """``"resize"`` or ``"padding"``."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) before the step."""


@dataclass(frozen=True)
class InferenceOptions:
    """How an image goes through the model. Lists, as YAML gives them, are accepted for tuples.

    Attributes:
        scales: Factors of the image size; results are averaged over them.
        flip_horizontal: Average with the image mirrored left to right too.
        flip_vertical: Average with the image mirrored top to bottom too.
        is_slide: Predict in windows instead of the whole image.
        crop_size: (width, height) of a window in pixels.
        stride: (width, height) from one window to the next in pixels.
        window_batch: Windows a model call takes at most.

    Raises:
        UsageError: A value is out of range, or the windows would leave gaps.
    """

    scales: Sequence[float] = (1.0,)
    flip_horizontal: bool = False
    flip_vertical: bool = False
    is_slide: bool = False
    crop_size: Sequence[int] | None = None
    stride: Sequence[int] | None = None
    window_batch: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", _scales(self.scales))
        for name in ("crop_size", "stride"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if not isinstance(self.window_batch, int) or self.window_batch < 1:
            raise UsageError(f"window_batch: expected a whole number from 1, got {self.window_batch!r}")
        if self.is_slide:
            self._check_windows()

    @property
    def is_augmented(self) -> bool:
        """True when results are averaged over scales or flips, so probabilities rather than logits."""
        return tuple(self.scales) != (1.0,) or self.flip_horizontal or self.flip_vertical

    def _check_windows(self) -> None:
        if self.crop_size is None or self.stride is None:
            raise UsageError("is_slide: needs crop_size and stride too, each as (width, height) in pixels")
        if any(step > size for step, size in zip(self.stride, self.crop_size, strict=True)):
            raise UsageError(
                f"stride {self.stride} is larger than crop_size {self.crop_size}: pixels between windows "
                "would get no prediction; use a stride of at most the crop size"
            )


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
        undo: The geometric steps in the order of application; padding was at the bottom and right.

    Returns:
        N×K×h×w at the original size; resized bilinearly with half-pixel centres.

    Raises:
        ValueError: A step is of an unknown kind.
    """
    for step in reversed(undo):
        if step.kind == "resize":
            scores = _resize(scores, step.size)
        elif step.kind == "padding":
            scores = scores[:, :, : step.size[0], : step.size[1]]
        else:
            raise ValueError(f"cannot undo a step of kind {step.kind!r}: expected 'resize' or 'padding'")
    return scores


def undo_labels(label: npt.NDArray[np.integer], undo: Sequence[UndoStep]) -> npt.NDArray[np.integer]:
    """The same as :func:`undo_transforms` for class ids, from a model that ends in argmax.

    Args:
        label: H×W class ids, uint8 or uint16.
        undo: The geometric steps in the order in which they were applied.

    Returns:
        h×w at the original size; resized to the nearest pixel.
    """
    for step in reversed(undo):
        if step.kind == "resize":
            label = cv2.resize(label, (step.size[1], step.size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
        else:
            label = label[: step.size[0], : step.size[1]]
    return label


def to_labels(scores: Floats) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Picks the class with the highest score, the first of equals.

    Args:
        scores: 1×K×H×W.

    Returns:
        H×W class ids: uint8 up to 256 classes, uint16 above.

    Raises:
        WeightsError: A score is NaN.
    """
    assert len(scores) == 1, "labels are of one image"
    _, classes, height, width = scores.shape
    # A running maximum over blocks of rows: 0.04 s for 19×1025×2049, where np.argmax takes 0.15 s.
    labels = np.zeros((height, width), dtype=np.uint8 if classes <= 256 else np.uint16)
    for top in range(0, height, _ROWS_AT_ONCE):
        block = scores[0, :, top : top + _ROWS_AT_ONCE]
        winners = labels[top : top + _ROWS_AT_ONCE]
        best = block[0].copy()
        for c in range(1, classes):
            # A later winner has the larger number, so a maximum of class numbers keeps the last one.
            np.maximum(winners, (block[c] > best) * labels.dtype.type(c), out=winners)
            np.maximum(best, block[c], out=best)
        if np.isnan(best).any():  # a maximum with a NaN is NaN
            raise WeightsError(
                "the model's scores are not numbers (NaN): its weights are damaged, or its training "
                "diverged; use an earlier checkpoint"
            )
    return labels


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
    if not options.is_slide:
        return _checked(predict, image)
    assert options.crop_size is not None
    assert options.stride is not None
    height, width = image.shape[2:]
    rows = _spans(height, options.crop_size[1], options.stride[1])
    columns = _spans(width, options.crop_size[0], options.stride[0])
    total: Floats | None = None
    for windows in _chunks([(row, column) for row in rows for column in columns], options.window_batch):
        crops = np.concatenate([image[:, :, row, column] for row, column in windows])
        logits = np.split(_checked(predict, crops), len(windows))
        if total is None:
            total = np.zeros((len(image), logits[0].shape[1], height, width), dtype=np.float32)
        for (row, column), part in zip(windows, logits, strict=True):
            total[:, :, row, column] += part
    assert total is not None
    # Windows form a grid: a pixel's number of windows is a product of its row's and its column's.
    total /= np.outer(_coverage(rows, height), _coverage(columns, width))
    return total


def _checked(predict: Predict, image: Floats) -> Floats:
    logits = predict(image)
    if logits.ndim != 4 or len(logits) != len(image) or logits.shape[2:] != image.shape[2:]:
        raise ValueError(
            f"the model returned shape {logits.shape} for an input of {image.shape}: expected N×classes×H×W "
            "with the N, H and W of the input"
        )
    return logits


def _spans(length: int, size: int, stride: int) -> list[slice]:
    """Equal windows that cover an axis: the last is shifted inside; a short axis is one smaller window."""
    size = min(size, length)
    count = math.ceil((length - size) / stride) + 1
    starts = [min(i * stride, length - size) for i in range(count)]
    return [slice(start, start + size) for start in starts]


def _coverage(spans: list[slice], length: int) -> Floats:
    """How many windows hold each position of an axis."""
    counts = np.zeros(length, dtype=np.float32)
    for span in spans:
        counts[span] += 1
    return counts


def _chunks(windows: list[Window], size: int) -> Iterator[list[Window]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


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


def _scales(value: Any) -> tuple[float, ...]:
    """Accepts one factor or several."""
    factors = value if isinstance(value, list | tuple) else (value,)
    numbers = all(isinstance(factor, int | float) and not isinstance(factor, bool) for factor in factors)
    if not factors or not numbers or not all(0 < factor < math.inf for factor in factors):
        raise UsageError(f"scales: expected positive factors such as 0.75 1.0 1.25, got {value!r}")
    return tuple(float(factor) for factor in factors)


def _pair(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in pair):
        raise UsageError(f"{name}: expected two whole numbers above 0, width then height, got {value!r}")
    return pair
