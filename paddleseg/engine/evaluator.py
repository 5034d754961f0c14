"""Evaluates a model on a labelled data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import paddle
from paddle import nn
from tqdm import tqdm

from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import EvalItem, make_eval_loader
from paddleseg.errors import DataError
from paddleseg.inference import (
    InferenceOptions,
    Predict,
    infer_logits,
    softmax,
    to_labels,
    undo_transforms,
)
from paddleseg.metrics.auc import score_histogram
from paddleseg.metrics.boundary import boundary_areas
from paddleseg.metrics.confusion import confusion_matrix
from paddleseg.metrics.report import Report, make_report

__all__ = ["Evaluation", "ImageResult", "as_predict", "evaluate"]

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class ImageResult:
    """How one image went.

    Attributes:
        index: Position in the data set.
        path: Image file.
        miou: Mean IoU over the classes of this image, in [0, 1]; NaN where nothing is labelled.
    """

    index: int
    path: str
    miou: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Outcome over a whole data set.

    Attributes:
        report: The figures.
        matrix: Confusion matrix int64 [C, C], rows true, columns predicted.
        images: One entry an image, in the data set's order.
    """

    report: Report
    matrix: npt.NDArray[np.int64]
    images: list[ImageResult]


def as_predict(model: nn.Layer) -> Predict:
    """Wraps a model as a function on arrays: N×C×H×W float32 → N×K×H×W main logits."""

    def predict(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with paddle.no_grad():
            logits: npt.NDArray[np.float32] = model(paddle.to_tensor(images))[0].numpy()
        return logits

    return predict


def evaluate(
    model: nn.Layer,
    dataset: SegmentationDataset,
    *,
    options: InferenceOptions | None = None,
    num_workers: int = 0,
    with_boundary: bool = False,
    with_auc: bool = False,
    progress: bool = False,
    on_image: Callable[[EvalItem, Labels, ImageResult], None] | None = None,
) -> Evaluation:
    """Predicts every image at its original size and compares with its label.

    Args:
        model: Network; it is left in the mode it was in.
        dataset: Labelled images.
        options: Sliding window, scales, flips; the default is the whole image once.
        num_workers: Processes that read images; 0 reads in this one.
        with_boundary: Also boundary IoU.
        with_auc: Also the area under the ROC curve.
        progress: Whether to draw a progress bar.
        on_image: Called with each image, its predicted class ids (H×W) and how it went.

    Returns:
        The figures.

    Raises:
        DataError: The data set is empty, without labels, or a file of it is bad.
    """
    options = options or InferenceOptions()
    predict = as_predict(model)
    classes, ignore = dataset.num_classes, dataset.ignore_index
    matrix = np.zeros((classes, classes), dtype=np.int64)
    boundary = np.zeros((2, classes), dtype=np.int64) if with_boundary else None
    scores: npt.NDArray[np.int64] | None = None
    images: list[ImageResult] = []
    was_training = model.training
    model.eval()
    try:
        loader = make_eval_loader(dataset, num_workers=num_workers)
        for item in tqdm(
            loader, total=len(dataset), desc="eval", unit="image", disable=not progress, leave=False
        ):
            if item.label is None:
                raise DataError(
                    f"{item.image_path}: there is no label to compare with; evaluate in mode 'val'"
                )
            logits = undo_transforms(infer_logits(predict, item.image, options), item.undo)
            prediction = to_labels(logits)
            of_image = confusion_matrix(prediction, item.label, classes, ignore)
            matrix += of_image
            images.append(ImageResult(item.index, item.image_path, make_report(of_image).miou))
            if boundary is not None:
                boundary += boundary_areas(prediction, item.label, classes, ignore)
            if with_auc:
                probabilities = logits if options.is_augmented else softmax(logits)
                histogram = score_histogram(probabilities[0], item.label, ignore)
                scores = histogram if scores is None else scores + histogram
            if on_image is not None:
                on_image(item, prediction, images[-1])
    finally:
        if was_training:
            model.train()
    report = make_report(matrix, class_names=dataset.class_names, boundary=boundary, scores=scores)
    return Evaluation(report, matrix, images)
