"""Our IoU against the official evaluation, on the same label images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from paddleseg.metrics.confusion import confusion_matrix
from paddleseg.metrics.report import make_report

evaluation = pytest.importorskip(
    "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling", reason="cityscapesScripts is a test extra"
)

TRAIN_ID_TO_ID = np.array(
    [
        label.id
        for label in sorted(evaluation.labels, key=lambda label: label.trainId)
        if 0 <= label.trainId < 255
    ]
)
NAMES = [evaluation.id2label[i].name for i in TRAIN_ID_TO_ID]


def to_train_ids(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    table = np.full(256, 255, dtype=np.uint8)
    table[TRAIN_ID_TO_ID] = np.arange(19)
    return table[ids]


def official(
    pairs: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]], folder: Path
) -> dict[str, Any]:
    """Runs cityscapesScripts on (prediction, truth) images of label ids."""
    arguments = copy.copy(evaluation.args)
    arguments.evalInstLevelScore = False
    arguments.JSONOutput = False
    arguments.quiet = True
    predictions, truths = [], []
    for i, (prediction, truth) in enumerate(pairs):
        predictions.append(str(folder / f"{i}_prediction.png"))
        truths.append(str(folder / f"{i}_gtFine_labelIds.png"))
        assert cv2.imwrite(predictions[-1], prediction)
        assert cv2.imwrite(truths[-1], truth)
    result: dict[str, Any] = evaluation.evaluateImgLists(predictions, truths, arguments)
    return result


def make_pairs(classes: npt.NDArray[np.intp], seed: int) -> list[tuple[npt.NDArray, npt.NDArray]]:
    """Random blocks of the given train ids and of ids that the evaluation ignores, with wrong guesses."""
    rng = np.random.default_rng(seed)
    ignored = [label.id for label in evaluation.labels if label.ignoreInEval and label.id >= 0]
    pairs = []
    for _ in range(3):
        blocks = rng.choice(np.concatenate([TRAIN_ID_TO_ID[classes], ignored[:4]]), (8, 12)).astype(np.uint8)
        truth = cv2.resize(blocks, (60, 40), interpolation=cv2.INTER_NEAREST)
        guess = rng.choice(TRAIN_ID_TO_ID[classes], truth.shape).astype(np.uint8)
        keep = (rng.random(truth.shape) < 0.7) & np.isin(truth, TRAIN_ID_TO_ID)
        pairs.append((np.where(keep, truth, guess), truth))
    return pairs


@pytest.mark.parametrize(
    "classes", [np.arange(19), np.array([0, 2, 10, 13])], ids=["all classes", "15 absent"]
)
def test_class_iou_and_mean_equal_the_official_ones(classes: npt.NDArray[np.intp], tmp_path: Path) -> None:
    pairs = make_pairs(classes, seed=len(classes))
    expected = official(pairs, tmp_path)
    matrix = sum(confusion_matrix(to_train_ids(guess), to_train_ids(truth), 19) for guess, truth in pairs)
    report = make_report(np.asarray(matrix), class_names=NAMES)
    np.testing.assert_allclose(
        report.class_iou, [expected["classScores"][name] for name in NAMES], rtol=0, atol=1e-6, equal_nan=True
    )
    assert report.miou == pytest.approx(expected["averageScoreClasses"], abs=1e-6)
    assert len(report.absent) == 19 - len(classes)
