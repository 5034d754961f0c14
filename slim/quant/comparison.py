"""How a quantised model compares with the float one: labels, mIoU, speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.python.exported_model import ExportedModel, Labels
from paddleseg.data.datasets import Dataset
from paddleseg.data.images import read_image
from paddleseg.data.transforms import Sample
from paddleseg.engine.predictor import ImageFile
from paddleseg.errors import UsageError
from paddleseg.metrics.confusion import confusion_matrix
from paddleseg.metrics.report import make_report

__all__ = ["Comparison", "compare", "labelled_pictures", "unlabelled_pictures"]


@dataclass(frozen=True)
class Comparison:
    """Float and quantised model on the same pictures.

    Attributes:
        pictures: How many.
        equal_labels: Share of pixels with the same class.
        speed: Time of the float network over that of the quantised one; the median over the pictures.
        miou: Mean IoU of the float and of the quantised model; None without labels.
    """

    pictures: int
    equal_labels: float
    speed: float
    miou: tuple[float, float] | None


def compare(
    models: tuple[ExportedModel, ExportedModel],
    pictures: Iterable[Sample],
    *,
    num_classes: int,
    ignore_index: int = 255,
) -> Comparison:
    """Runs both models in turn over the pictures.

    Args:
        models: The float one and the quantised one.
        pictures: Pixels 0..255; with labels for the mIoU. At least one.
        num_classes: Number of classes.
        ignore_index: The label value that takes no part.

    Returns:
        The figures. The first picture is run once more before, so that nothing is timed cold.
    """
    matrices = [np.zeros((num_classes, num_classes), dtype=np.int64) for _ in models]
    equal = total = count = 0
    ratios, labelled = [], True
    for picture in pictures:
        if count == 0:
            for model in models:
                _timed(model, picture)
        (expected, seconds), (got, less) = (_timed(model, picture) for model in models)
        equal, total, count = equal + int((expected == got).sum()), total + got.size, count + 1
        ratios.append(seconds / less)
        labelled = labelled and picture.label is not None
        if picture.label is not None:
            for matrix, label in zip(matrices, (expected, got), strict=True):
                matrix += confusion_matrix(label, picture.label, num_classes, ignore_index)
    mious = tuple(make_report(matrix).miou for matrix in matrices) if labelled else None
    assert mious is None or len(mious) == 2
    return Comparison(count, equal / total, statistics.median(ratios), mious)


def labelled_pictures(
    list_file: str, *, num_classes: int | None, channels: int, ignore_index: int
) -> Iterator[Sample]:
    """Reads pictures and labels.

    Args:
        list_file: One ``image label`` a line, relative to the list's folder.
        num_classes: Classes of the model.
        channels: Channels of the model.
        ignore_index: The label value that takes no part.

    Raises:
        DataError: The list or a file of it is missing or wrong.
        UsageError: The model does not say how many classes it has.
    """
    if num_classes is None:
        raise UsageError("--val_list: deploy.yaml does not say num_classes; export the model again")
    dataset = Dataset(
        "val",
        str(Path(list_file).parent),
        [],
        num_classes,
        img_channels=channels,
        val_path=list_file,
        ignore_index=ignore_index,
    )
    return (dataset.load(index) for index in range(len(dataset)))


def unlabelled_pictures(images: Sequence[ImageFile], *, channels: int) -> Iterator[Sample]:
    """Reads pictures.

    Args:
        images: Which.
        channels: Channels of the model.

    Raises:
        DataError: While reading: one is unreadable.
    """
    return (Sample(read_image(str(image.path), channels), image_path=str(image.path)) for image in images)


def _timed(model: ExportedModel, picture: Sample) -> tuple[Labels, float]:
    """Class ids, and the seconds that the network took without what comes before and after it."""
    prepared = model.prepare(picture)
    start = time.perf_counter()
    outputs = model.run([prepared])
    seconds = time.perf_counter() - start
    return model.finish(outputs[0], prepared), seconds
