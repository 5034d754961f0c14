"""Writes what an evaluation found: figures, confusion matrix, worst images."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import chain
from pathlib import Path

import numpy as np

from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import EvalItem
from paddleseg.engine.evaluator import Evaluation, ImageResult, Labels
from paddleseg.engine.group import Group
from paddleseg.errors import OutputError
from paddleseg.files import replace_folder, write_whole
from paddleseg.visualise import color_map, confusion_picture, png_of, side_by_side

__all__ = ["WorstImages", "write_results"]


class WorstImages:
    """Keeps the predictions of the images with the lowest mean IoU; pass it as ``on_image``.

    Args:
        count: How many.
    """

    def __init__(self, count: int = 10) -> None:
        self._count = count
        self.kept: list[tuple[ImageResult, Labels]] = []

    def __call__(self, item: EvalItem, prediction: Labels, result: ImageResult) -> None:
        if not math.isnan(result.miou):
            self.kept.append((result, prediction))
            self._keep_the_worst()

    def join(self, group: Group) -> None:
        """Joins what the processes have kept; all call it, and all hold the worst of all afterwards."""
        results = [result for result, _ in self.kept]
        # The short results travel first, so that predictions which are not among the worst need not.
        worst = sorted(chain.from_iterable(group.gather(results)), key=_badness)[: self._count]
        mine = [(result, prediction) for result, prediction in self.kept if result in worst]
        self.kept = list(chain.from_iterable(group.gather(mine)))
        self._keep_the_worst()

    def _keep_the_worst(self) -> None:
        self.kept.sort(key=lambda entry: _badness(entry[0]))
        del self.kept[self._count :]


def write_results(
    save_dir: Path, evaluation: Evaluation, worst: WorstImages, dataset: SegmentationDataset
) -> None:
    """Writes metrics.json, confusion_matrix.csv and .png, and ``worst_images/``, in place of earlier ones.

    Args:
        save_dir: Target folder; it exists.
        evaluation: The outcome.
        worst: The images to draw: image, label, prediction side by side.
        dataset: Where they come from.

    Raises:
        OutputError: A file cannot be written.
    """
    names = evaluation.report.class_names
    write_whole(save_dir / "metrics.json", json.dumps(_metrics(evaluation), indent=2).encode())
    write_whole(save_dir / "confusion_matrix.csv", _table(evaluation).encode())
    write_whole(save_dir / "confusion_matrix.png", png_of(confusion_picture(evaluation.matrix, names)))
    target = save_dir / "worst_images"
    try:
        replace_folder(target, lambda folder: _draw(folder, worst, dataset))
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error


def _badness(result: ImageResult) -> tuple[float, int]:
    return result.miou, result.index


def _table(evaluation: Evaluation) -> str:
    """The confusion matrix as CSV."""
    names, text = evaluation.report.class_names, io.StringIO()
    table = csv.writer(text)
    table.writerow(["true \\ predicted", *names])
    table.writerows([name, *row] for name, row in zip(names, evaluation.matrix.tolist(), strict=True))
    return text.getvalue()


def _draw(folder: Path, worst: WorstImages, dataset: SegmentationDataset) -> None:
    palette = color_map(256, palette=dataset.palette)
    for place, (result, prediction) in enumerate(worst.kept, start=1):
        sample = dataset.load(result.index)
        assert sample.label is not None, "an image with a mean IoU has a label"
        picture = side_by_side(sample.image.astype(np.uint8), sample.label, prediction, palette)
        name = f"{place:02d}_{result.miou:.3f}_{Path(result.path).stem}.png"
        write_whole(folder / name, png_of(picture))


def _metrics(evaluation: Evaluation) -> dict[str, object]:
    by_image = [
        {"path": image.path, "miou": None if math.isnan(image.miou) else image.miou}
        for image in evaluation.images
    ]
    return {"images": len(evaluation.images), **evaluation.report.to_dict(), "by_image": by_image}
