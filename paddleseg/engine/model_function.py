"""A model as a function on arrays."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from paddleseg.inference import Floats, LabelPredict, Labels, enlarge, enlarged_labels
from paddleseg.inference.windows import check_shape
from paddleseg.inference.winners import new_labels, pick, refuse_nan
from paddleseg.models.base import SegmentationModel

__all__ = ["as_predict"]


def as_predict(model: nn.Layer) -> LabelPredict:
    """Wraps a model as a function on arrays: N×C×H×W float32 → N×K×H×W main logits.

    Its method ``labels`` spares the copy of the logits: on the CPU classes are picked from them where they
    are, or while they are enlarged; elsewhere they are picked on the device, and only class ids come back.

    Args:
        model: In the mode in which it is to run.
    """
    return _ModelFunction(model)


class _ModelFunction:
    def __init__(self, model: nn.Layer) -> None:
        self._model = model

    def __call__(self, images: Floats) -> Floats:
        with paddle.no_grad():
            inputs = paddle.to_tensor(images)
            ours = _enlarged_here(self._model, inputs)
            if ours is None:
                return _array_of(self._model(inputs)[0])
            coarse = _array_of(ours.coarse_logits(inputs)[0])
        size = images.shape[2:]
        return enlarge(coarse, (size[0], size[1]), align_corners=ours.align_corners)

    def labels(self, images: Floats) -> Labels:
        with paddle.no_grad():
            inputs = paddle.to_tensor(images)
            ours = _enlarged_here(self._model, inputs)
            if ours is None:
                logits = self._model(inputs)[0]
                check_shape(logits.shape, images.shape)
                on_cpu = inputs.place.is_cpu_place()
                return _labels_of(_array_of(logits)) if on_cpu else _labels_on_device(logits)
            coarse = _array_of(ours.coarse_logits(inputs)[0])
        size = images.shape[2:]
        return enlarged_labels(coarse, (size[0], size[1]), align_corners=ours.align_corners)


def _enlarged_here(model: nn.Layer, inputs: paddle.Tensor) -> SegmentationModel | None:
    """The model, if its logits may be enlarged outside it: nothing but its own forward comes after them."""
    if not isinstance(model, SegmentationModel) or not inputs.place.is_cpu_place():
        return None
    replaced = type(model).forward is not SegmentationModel.forward or "forward" in vars(model)
    return None if replaced or model._forward_pre_hooks or model._forward_post_hooks else model


def _array_of(logits: paddle.Tensor) -> Floats:
    """The logits in float32; on the CPU without a copy: of 19×1024×2048 it takes 0.2 s."""
    if logits.dtype != paddle.float32:
        logits = logits.astype("float32")
    numbers: Floats = np.from_dlpack(logits) if logits.place.is_cpu_place() else logits.numpy()  # type: ignore[assignment]
    return numbers


def _labels_of(logits: Floats) -> Labels:
    labels = new_labels((len(logits), *logits.shape[2:]), logits.shape[1])
    for scores, target in zip(logits, labels, strict=True):
        pick(scores, target)
    return labels


def _labels_on_device(logits: paddle.Tensor) -> Labels:
    refuse_nan(bool(paddle.isnan(logits).any()))
    labels = new_labels((logits.shape[0], *logits.shape[2:]), logits.shape[1])
    # Paddle has no uint16.
    narrow = paddle.argmax(logits, axis=1).astype("uint8" if labels.dtype == np.uint8 else "int32")
    labels[...] = narrow.numpy()
    return labels
