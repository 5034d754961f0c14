"""Evaluates a model on a labelled data set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from paddle import nn
from tqdm import tqdm

from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import EvalItem, EvalLoader, make_eval_loader
from paddleseg.engine.group import Group
from paddleseg.engine.image_files import is_large
from paddleseg.engine.model_function import as_predict
from paddleseg.engine.pipeline import ahead
from paddleseg.errors import DataError
from paddleseg.inference import (
    Floats,
    InferenceOptions,
    LabelPredict,
    infer_labels,
    infer_logits,
    softmax,
    to_labels,
    undo_transforms,
)
from paddleseg.metrics.auc import score_histogram
from paddleseg.metrics.boundary import boundary_areas
from paddleseg.metrics.confusion import confusion_matrix
from paddleseg.metrics.report import Report, make_report
from paddleseg.models.modes import evaluation_mode

__all__ = ["Evaluation", "EvaluationStopped", "ImageResult", "as_predict", "evaluate"]

Labels = npt.NDArray[np.integer]

_STOP = "stop"


class EvaluationStopped(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The evaluation ended before its last image because it was asked to."""


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


def evaluate(
    model: nn.Layer,
    dataset: SegmentationDataset,
    *,
    options: InferenceOptions | None = None,
    num_workers: int = 0,
    worker_timeout: float = 300.0,
    with_boundary: bool = False,
    with_auc: bool = False,
    progress: bool = False,
    on_image: Callable[[EvalItem, Labels, ImageResult], None] | None = None,
    group: Group | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Evaluation:
    """Predicts every image at its original size and compares with its label.

    Args:
        model: Network; each of its layers is left in the mode it was in.
        dataset: Labelled images.
        options: Sliding window, scales, flips; the default is the whole image once.
        num_workers: Processes that read images, whatever their size; 0 reads one image ahead in a thread of
            this one, where the data set's transforms run then too, and images of more than 8 million pixels
            when their turn comes.
        worker_timeout: Seconds at one image after which such a process counts as hung.
        with_boundary: Also boundary IoU.
        with_auc: Also the area under the ROC curve.
        progress: Whether rank 0 draws a progress bar, over its own images.
        on_image: Called with each image, its predicted class ids (H×W) and how it went, by the process
            that has the image.
        group: Processes that share the images, every size-th one each; all call this function and all get
            the whole outcome. The default is this process alone.
        should_stop: Asked after each image; when it is true in any process, all end early.

    Returns:
        The figures, the same for any number of processes.

    Raises:
        DataError: The data set is empty, without labels, a file of it is bad, or a worker hangs.
        EvaluationStopped: ``should_stop`` said so.
        PeerError: Another process has failed.
    """
    group = group or Group()
    options = options or InferenceOptions()
    predict = as_predict(model)
    totals = _Totals(dataset, options, with_boundary=with_boundary, with_auc=with_auc)
    indices = range(group.rank, len(dataset), group.size)
    items = _read(dataset, indices, num_workers=num_workers, worker_timeout=worker_timeout)
    quiet = not (progress and group.is_main)
    bar = tqdm(total=len(indices), desc="eval", unit="image", disable=quiet, leave=False)
    stopped = False
    with evaluation_mode(model), bar, contextlib.closing(items):
        for item in items:
            prediction, scores = _infer(predict, item, options, with_scores=with_auc)
            result = totals.add(item, prediction, scores)
            if on_image is not None:
                on_image(item, prediction, result)
            bar.update()
            stopped = _stop(group, should_stop)
            if stopped:
                break
            del item, prediction, scores  # the next image may be large
    return totals.join(group, stopped)


def _read(
    dataset: SegmentationDataset, indices: Sequence[int], *, num_workers: int, worker_timeout: float
) -> Generator[EvalItem, None, None]:
    """The images in order, read before they are asked for where that is not too much to hold."""
    if num_workers:  # they read ahead by themselves
        yield from make_eval_loader(dataset, num_workers, indices, worker_timeout=worker_timeout)
        return

    def load(index: int) -> EvalLoader:
        return make_eval_loader(dataset, indices=[index], worker_timeout=worker_timeout)

    for large, some in groupby(indices, key=lambda index: is_large(Path(dataset.files[index].image))):
        # One loader an image, because what reads several holds one until it has the next.
        items = chain.from_iterable(map(load, some))
        if large:
            yield from items
        else:
            with contextlib.closing(ahead(items, count=1)) as reading:
                yield from reading


def _infer(
    predict: LabelPredict, item: EvalItem, options: InferenceOptions, *, with_scores: bool
) -> tuple[Labels, Floats | None]:
    """Class ids H×W and, if they are needed, the scores 1×C×H×W that they come from."""
    if not with_scores:
        return infer_labels(predict, item.image, options, item.undo), None
    scores = undo_transforms(infer_logits(predict, item.image[:], options), item.undo)
    return to_labels(scores), scores


def _stop(group: Group, should_stop: Callable[[], bool] | None) -> bool:
    """Asks, and passes a yes on to the other processes, which may have many images to go."""
    if should_stop is not None and should_stop():
        group.tell(_STOP)
        return True
    return group.heard(_STOP)


class _Totals:
    """Counts over the images of this process, then over those of all."""

    def __init__(
        self,
        dataset: SegmentationDataset,
        options: InferenceOptions,
        *,
        with_boundary: bool,
        with_auc: bool,
    ) -> None:
        classes, ignore = dataset.num_classes, dataset.ignore_index
        self._dataset, self._options = dataset, options
        self._matrix = np.zeros((classes, classes), dtype=np.int64)
        self._boundary = np.zeros((2, classes), dtype=np.int64) if with_boundary else None
        # The histogram of one pixel that does not count: zeros of the shape that all have.
        nothing = np.zeros((classes, 1, 1)), np.full((1, 1), ignore), ignore
        self._histogram = score_histogram(*nothing) if with_auc else None
        self._images: list[ImageResult] = []

    def add(self, item: EvalItem, prediction: Labels, scores: Floats | None) -> ImageResult:
        """Counts one image.

        Args:
            item: Image and label.
            prediction: Class ids, H×W.
            scores: Logits 1×C×H×W, with scales or flips averaged probabilities; needed for the AUC alone.
        """
        if item.label is None:
            raise DataError(f"{item.image_path}: there is no label to compare with; evaluate in mode 'val'")
        classes, ignore = self._dataset.num_classes, self._dataset.ignore_index
        matrix = confusion_matrix(prediction, item.label, classes, ignore)
        result = ImageResult(item.index, item.image_path, make_report(matrix).miou)
        self._matrix += matrix
        self._images.append(result)
        if self._boundary is not None:
            self._boundary += boundary_areas(prediction, _widened(item.label), classes, ignore)
        if self._histogram is not None:
            assert scores is not None
            probabilities = scores if self._options.is_augmented else softmax(scores)
            self._histogram += score_histogram(probabilities[0], _widened(item.label), ignore)
        return result

    def join(self, group: Group, stopped: bool) -> Evaluation:
        """The outcome over all processes. Raises EvaluationStopped when one of them has stopped."""
        group.wait("evaluation of every process's images")
        if any(group.any(stopped)):
            raise EvaluationStopped
        matrix = group.sum(self._matrix)
        boundary = None if self._boundary is None else group.sum(self._boundary)
        scores = None if self._histogram is None else group.sum(self._histogram)
        images = sorted(chain.from_iterable(group.gather(self._images)), key=lambda image: image.index)
        report = make_report(matrix, class_names=self._dataset.class_names, boundary=boundary, scores=scores)
        return Evaluation(report, matrix, images)


def _widened(label: Labels) -> Labels:
    """Class ids in a type that holds numbers beside them, such as "none of the classes"."""
    return label.astype(np.int32, copy=False)
