"""Writes what an evaluation found: figures, confusion matrix, worst images."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np

from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import EvalItem
from paddleseg.engine.evaluator import Evaluation, ImageResult, Labels
from paddleseg.errors import OutputError
from paddleseg.visualise import color_map, confusion_picture, side_by_side, write_image

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
            self.kept.sort(key=lambda entry: entry[0].miou)
            del self.kept[self._count :]


def write_results(
    save_dir: Path, evaluation: Evaluation, worst: WorstImages, dataset: SegmentationDataset
) -> None:
    """Writes metrics.json, confusion_matrix.csv and .png, and ``worst_images/``.

    Args:
        save_dir: Target folder; it exists.
        evaluation: The outcome.
        worst: The images to draw: image, label, prediction side by side.
        dataset: Where they come from.

    Raises:
        OutputError: A file cannot be written.
    """
    names = evaluation.report.class_names
    try:
        text = json.dumps(_metrics(evaluation), indent=2)
        (save_dir / "metrics.json").write_text(text, encoding="utf-8")
        with (save_dir / "confusion_matrix.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["true \\ predicted", *names])
            table.writerows([name, *row] for name, row in zip(names, evaluation.matrix.tolist(), strict=True))
    except OSError as error:
        raise OutputError(f"{save_dir}: the results cannot be written ({error})") from error
    write_image(save_dir / "confusion_matrix.png", confusion_picture(evaluation.matrix, names))
    palette = color_map(256, palette=dataset.palette)
    for place, (result, prediction) in enumerate(worst.kept, start=1):
        image = dataset.load(result.index).image.astype(np.uint8)
        image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        picture = side_by_side(image, dataset.load_label(result.index), prediction, palette)
        write_image(
            save_dir / "worst_images" / f"{place:02d}_{result.miou:.3f}_{Path(result.path).stem}.png", picture
        )


def _metrics(evaluation: Evaluation) -> dict[str, object]:
    by_image = [
        {"path": image.path, "miou": None if math.isnan(image.miou) else image.miou}
        for image in evaluation.images
    ]
    return {"images": len(evaluation.images), **evaluation.report.to_dict(), "by_image": by_image}
