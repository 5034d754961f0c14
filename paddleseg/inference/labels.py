"""Labels of an image, without holding the scores of all of it where that can be helped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from paddleseg.inference.options import InferenceOptions
from paddleseg.inference.scores import infer_logits, inside_padding, undo_transforms
from paddleseg.inference.values import Floats, ImageSource, LabelPredict, Labels, Predict, UndoStep
from paddleseg.inference.windows import slide_labels
from paddleseg.inference.winners import new_labels, pick
from paddleseg.log import get_logger

__all__ = ["Labels", "infer_labels", "to_labels", "undo_labels"]

_LARGE = 2**26  # pixels; a quarter of a GiB for each class
_logger = get_logger(__name__)


def infer_labels(
    predict: Predict, image: ImageSource, options: InferenceOptions, undo: Sequence[UndoStep] = ()
) -> Labels:
    """Runs the model over an image as the options say, and brings the labels back to the original size.

    They are those of ``to_labels(undo_transforms(infer_logits(…)))``. Scores of the whole image exist only
    where scales, flips or a resize need them.

    Args:
        predict: The model, N×C×H×W float32 → N×K×H×W logits; one that gives labels too is asked for these.
        image: 1×C×H×W, transformed.
        options: What to do.
        undo: The geometric steps in the order of application.

    Returns:
        h×w class ids, uint8 up to 256 classes, uint16 above.

    Raises:
        ValueError: The model's output has another height or width than its input.
        WeightsError: A score is NaN.
    """
    if options.is_augmented or any(step.kind == "resize" for step in undo):
        _warn_of_memory(image)
        return to_labels(undo_transforms(infer_logits(predict, image[:], options), undo))
    if options.is_slide:
        label = slide_labels(predict, image, options)
        return cast(Labels, undo_labels(label, undo))
    _warn_of_memory(image)
    if isinstance(predict, LabelPredict):
        label = predict.labels(image[:])[0]
    else:
        label = to_labels(infer_logits(predict, image[:], options))
    return cast(Labels, undo_labels(label, undo))


def _warn_of_memory(image: ImageSource) -> None:
    height, width = image.shape[2:]
    if height * width > _LARGE:
        _logger.warning(
            f"the scores of all {width}×{height} pixels are held at once, {height * width / 2**28:.1f} GiB "
            "for each class; sliding windows without scales, flips and Resize hold those of some windows only"
        )


def undo_labels(label: npt.NDArray[np.integer], undo: Sequence[UndoStep]) -> npt.NDArray[np.integer]:
    """The same as :func:`undo_transforms` for class ids.

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
            label = label[inside_padding(step)]
    return label


def to_labels(scores: Floats) -> Labels:
    """Picks the class with the highest score, the first of equals.

    Args:
        scores: 1×K×H×W.

    Returns:
        H×W class ids: uint8 up to 256 classes, uint16 above.

    Raises:
        WeightsError: A score is NaN.
    """
    assert len(scores) == 1, "labels are of one image"
    labels: Labels = new_labels(scores.shape[2:], scores.shape[1])
    pick(scores[0], labels)
    return labels
