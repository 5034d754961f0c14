"""The figures: literals worked by hand, scikit-learn, undefined classes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from paddleseg.metrics.report import make_report

# Rows true, columns predicted. Class 2 occurs nowhere; class 3 is never predicted; class 4 is never labelled.
MATRIX = np.array(
    [
        [6, 1, 0, 0, 1],
        [2, 4, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)
NAN = float("nan")


def test_figures_worked_by_hand() -> None:
    report = make_report(MATRIX)
    # labelled 8 6 0 2 0, predicted 9 6 0 0 1, right 6 4 0 0 0
    np.testing.assert_allclose(report.class_iou, [6 / 11, 4 / 8, NAN, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(report.class_precision, [6 / 9, 4 / 6, NAN, NAN, 0], rtol=1e-12)
    np.testing.assert_allclose(report.class_recall, [6 / 8, 4 / 6, NAN, 0, NAN], rtol=1e-12)
    np.testing.assert_allclose(report.class_dice, [12 / 17, 8 / 12, NAN, 0, 0], rtol=1e-12)
    assert report.miou == pytest.approx((6 / 11 + 4 / 8) / 4, rel=1e-12)
    assert report.dice == pytest.approx((12 / 17 + 8 / 12) / 4, rel=1e-12)
    assert report.accuracy == pytest.approx(10 / 16, rel=1e-12)
    assert report.fw_iou == pytest.approx((8 * 6 / 11 + 6 * 4 / 8) / 16, rel=1e-12)
    by_chance = (8 * 9 + 6 * 6) / 16**2
    assert report.kappa == pytest.approx((10 / 16 - by_chance) / (1 - by_chance), rel=1e-12)
    assert report.absent == ("class 2",)
    assert report.label_pixels.tolist() == [8, 6, 0, 2, 0]


def test_figures_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 4000)
    guess = np.where(rng.random(4000) < 0.6, truth, rng.integers(0, 6, 4000))
    report = make_report(sk.confusion_matrix(truth, guess))
    np.testing.assert_allclose(report.class_iou, sk.jaccard_score(truth, guess, average=None), rtol=1e-12)
    np.testing.assert_allclose(
        report.class_precision, sk.precision_score(truth, guess, average=None), rtol=1e-12
    )
    np.testing.assert_allclose(report.class_recall, sk.recall_score(truth, guess, average=None), rtol=1e-12)
    np.testing.assert_allclose(report.class_dice, sk.f1_score(truth, guess, average=None), rtol=1e-12)
    assert report.miou == pytest.approx(sk.jaccard_score(truth, guess, average="macro"), rel=1e-12)
    assert report.fw_iou == pytest.approx(sk.jaccard_score(truth, guess, average="weighted"), rel=1e-12)
    assert report.accuracy == pytest.approx(sk.accuracy_score(truth, guess), rel=1e-12)
    assert report.kappa == pytest.approx(sk.cohen_kappa_score(truth, guess), rel=1e-12)


def test_counts_of_a_large_data_set_do_not_overflow() -> None:
    report = make_report(np.array([[3, 1], [1, 3]]) * 2**58)
    assert report.kappa == pytest.approx(0.5)
    assert report.miou == pytest.approx(3 / 5)


def test_nothing_counted_is_undefined_not_an_error() -> None:
    report = make_report(np.zeros((2, 2), dtype=np.int64))
    for value in (report.miou, report.accuracy, report.kappa, report.dice, report.fw_iou):
        assert math.isnan(value)
    assert report.absent == ("class 0", "class 1")


def test_one_class_everywhere_has_no_kappa() -> None:
    report = make_report(np.array([[5, 0], [0, 0]]))
    assert math.isnan(report.kappa)
    assert report.miou == 1.0


def test_dict_is_json_with_null_for_undefined() -> None:
    names = ["road", "car", "train", "sign", "sky"]
    boundary = np.array([[1, 2, 0, 0, 0], [4, 4, 0, 2, 0]])
    figures = json.loads(
        json.dumps(make_report(MATRIX, class_names=names, boundary=boundary).to_dict(), allow_nan=False)
    )
    assert list(figures) == [
        "miou",
        "accuracy",
        "kappa",
        "dice",
        "fw_iou",
        "boundary_iou",
        "absent",
        "classes",
    ]
    assert figures["absent"] == ["train"]
    assert figures["boundary_iou"] == pytest.approx((1 / 4 + 2 / 4 + 0) / 3)
    assert figures["classes"][2] == {
        "name": "train",
        "iou": None,
        "precision": None,
        "recall": None,
        "dice": None,
        "boundary_iou": None,
        "label_pixels": 0,
    }
    assert figures["classes"][1]["iou"] == pytest.approx(0.5)
    assert figures["classes"][1]["label_pixels"] == 6


def test_auc_is_reported_where_measured() -> None:
    # Both classes: own pixels in bin 1, others' in bin 0: perfectly ranked.
    scores = np.tile(np.array([[3, 0], [0, 3]]), (2, 1, 1))
    report = make_report(np.array([[3, 0], [0, 3]]), scores=scores)
    assert report.auc_roc == 1.0
    assert report.to_dict()["auc_roc"] == 1.0
    assert report.eval_line(2).endswith("Dice: 1.0000 Auc_roc: 1.0000")


def test_summary_line_has_the_form_of_paddleseg() -> None:
    line = make_report(MATRIX).eval_line(500)
    assert line == "[EVAL] #Images: 500 mIoU: 0.2614 Acc: 0.6250 Kappa: 0.3514 Dice: 0.3431"


def test_class_lines_have_the_form_of_paddleseg() -> None:
    assert make_report(MATRIX).class_lines() == [
        "[EVAL] Class IoU: \n[0.5455 0.5       nan 0.     0.    ]",
        "[EVAL] Class Precision: \n[0.6667 0.6667    nan    nan 0.    ]",
        "[EVAL] Class Recall: \n[0.75   0.6667    nan 0.        nan]",
        "[EVAL] Absent everywhere, left out of the means: class 2",
    ]


def test_table_has_a_row_a_class() -> None:
    lines = make_report(
        np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), class_names=["road", "car", "bus"]
    ).table()
    assert [line.split() for line in lines.splitlines() if not line.startswith("-")] == [
        ["class", "iou", "precision", "recall", "dice"],
        ["road", "0.7500", "1.0000", "0.7500", "0.8571"],
        ["car", "0.8000", "0.8000", "1.0000", "0.8889"],
        ["bus", "-", "-", "-", "-"],
        ["mean", "0.7750", "0.8730"],
    ]


@pytest.mark.parametrize(
    ("matrix", "names"), [(np.zeros((2, 3), int), None), (np.zeros((2, 2), int), ["one"])]
)
def test_shapes_that_disagree_are_refused(matrix: np.ndarray, names: list[str] | None) -> None:
    with pytest.raises(ValueError, match="C names"):
        make_report(matrix, class_names=names)
