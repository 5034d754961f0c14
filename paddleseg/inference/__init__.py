"""From a model as a function on arrays to labels of the original size.

Whole image, sliding window, several scales and flips, and undoing the resize and padding of the transforms:
NumPy and OpenCV over a callable, so that evaluation, prediction and deployed models share one implementation.
"""

from __future__ import annotations

from paddleseg.inference.enlarging import enlarge, enlarged_labels
from paddleseg.inference.labels import Labels, infer_labels, to_labels, undo_labels
from paddleseg.inference.options import InferenceOptions
from paddleseg.inference.scores import infer_logits, softmax, undo_transforms
from paddleseg.inference.values import Floats, ImageSource, LabelPredict, Predict, UndoStep

__all__ = [
    "Floats",
    "ImageSource",
    "InferenceOptions",
    "LabelPredict",
    "Labels",
    "Predict",
    "UndoStep",
    "enlarge",
    "enlarged_labels",
    "infer_labels",
    "infer_logits",
    "softmax",
    "to_labels",
    "undo_labels",
    "undo_transforms",
]
