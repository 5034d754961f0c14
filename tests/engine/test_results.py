"""What val.py writes into save_dir."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.data.datasets.file_list import Dataset
from paddleseg.data.loader import EvalItem
from paddleseg.engine.evaluator import ImageResult, evaluate
from paddleseg.engine.results import WorstImages, write_results
from paddleseg.errors import OutputError


def offer(worst: WorstImages, index: int, miou: float) -> None:
    item = EvalItem(np.zeros((1, 3, 2, 2), np.float32), None, [], f"{index}.png", index)
    worst(item, np.full((2, 2), index), ImageResult(index, f"{index}.png", miou))


def test_the_worst_images_are_kept_worst_first() -> None:
    worst = WorstImages(2)
    for index, miou in enumerate([0.5, 0.9, float("nan"), 0.1, 0.4]):
        offer(worst, index, miou)
    assert [(result.index, result.miou) for result, _ in worst.kept] == [(3, 0.1), (4, 0.4)]
    assert [prediction[0, 0] for _, prediction in worst.kept] == [3, 4]


class Shares:
    """Stands for a group: hands over what the other process has gathered before."""

    def __init__(self, *values: Any) -> None:
        self.others = list(values)
        self.sent: list[Any] = []

    def gather(self, value: Any) -> list[Any]:
        self.sent.append(value)
        return [value, self.others.pop(0)]


def test_the_worst_of_all_processes_are_kept() -> None:
    mine, other = WorstImages(3), WorstImages(3)
    for index, miou in enumerate([0.5, 0.1, 0.3, 0.2, 0.1, 0.9]):
        offer(other if index % 2 else mine, index, miou)
    results = [result for result, _ in other.kept]
    group = Shares(results, [entry for entry in other.kept if entry[0].index != 5])
    mine.join(group)
    assert [result.index for result, _ in group.sent[1]] == [4], "only pictures that are among the worst"
    assert [(result.index, result.miou) for result, _ in mine.kept] == [(1, 0.1), (4, 0.1), (3, 0.2)]
    assert [prediction[0, 0] for _, prediction in mine.kept] == [1, 4, 3]


def test_figures_matrix_and_pictures(tmp_path: Path, val_set: Dataset) -> None:
    paddle.seed(0)
    worst = WorstImages(3)
    evaluation = evaluate(TinySegmenter(4), val_set, on_image=worst)
    write_results(tmp_path, evaluation, worst, val_set)

    figures = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert figures["images"] == 8
    assert figures["miou"] == pytest.approx(evaluation.report.miou)
    assert [image["path"] for image in figures["by_image"]] == [pair.image for pair in val_set.files]

    with (tmp_path / "confusion_matrix.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["true \\ predicted", "class 0", "class 1", "class 2", "class 3"]
    assert [[int(cell) for cell in row[1:]] for row in rows] == evaluation.matrix.tolist()
    assert cv2.imread(str(tmp_path / "confusion_matrix.png")) is not None

    names = sorted(p.name for p in (tmp_path / "worst_images").iterdir())
    lowest = sorted(image.miou for image in evaluation.images)[:3]
    assert [name[:8] for name in names] == [f"{i:02d}_{miou:.3f}" for i, miou in enumerate(lowest, start=1)]
    picture = cv2.imread(str(tmp_path / "worst_images" / names[0]))
    assert picture.shape == (48, 3 * 64 + 2 * 2, 3), "image, label and prediction side by side"


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, val_set: Dataset) -> None:
    evaluation = evaluate(TinySegmenter(4), val_set)
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        write_results(tmp_path / "taken", evaluation, WorstImages(), val_set)


def test_the_pictures_of_an_earlier_evaluation_go(tmp_path: Path, val_set: Dataset) -> None:
    for count in (3, 1):
        worst = WorstImages(count)
        evaluation = evaluate(TinySegmenter(4), val_set, on_image=worst)
        write_results(tmp_path, evaluation, worst, val_set)
        assert len(list((tmp_path / "worst_images").iterdir())) == count
    files = ["confusion_matrix.csv", "confusion_matrix.png", "metrics.json", "worst_images"]
    assert sorted(p.name for p in tmp_path.iterdir()) == files
