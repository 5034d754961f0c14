"""Sums and class weights of small splits, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddleseg.data.check.classes import (
    class_findings,
    class_rows,
    enet_weights,
    median_frequency_weights,
)
from paddleseg.data.check.findings import Severity
from paddleseg.data.check.inspection import Fault, LabelFacts, SampleFacts
from paddleseg.data.check.totals import SplitTotals


def totals(*labels: dict[int, int], num_classes: int = 3, ignore_index: int = 255) -> SplitTotals:
    total = SplitTotals(num_classes, ignore_index)
    for index, values in enumerate(labels):
        total.add(SampleFacts(index, label=LabelFacts((10, 10), values)))
    return total


def test_sums() -> None:
    total = totals({0: 70, 1: 20, 255: 10}, {0: 50, 2: 50}, {255: 100})
    assert total.class_pixels.tolist() == [120, 20, 50]
    assert total.class_labels.tolist() == [2, 1, 1]
    assert total.class_support.tolist() == [190, 90, 100]
    assert (total.ignored_pixels, total.labels, total.samples) == (110, 3, 3)


def test_an_ignored_id_within_the_classes_is_no_class() -> None:
    total = totals({0: 60, 1: 40}, ignore_index=0)
    assert total.class_pixels.tolist() == [0, 40, 0]
    assert total.class_support.tolist() == [0, 40, 0]
    assert total.ignored_pixels == 60


def test_many_wrong_values_take_no_more_memory() -> None:
    total = totals(*({value: 1} for value in range(300, 5300)), {2: 7, 255: 1})
    assert len(total.values) == 1002  # the first thousand, and those that are expected
    assert total.class_pixels.tolist() == [0, 0, 7]


def test_faults_are_counted_and_a_few_kept() -> None:
    total = SplitTotals(2, 255)
    for index in range(25):
        total.add(SampleFacts(index, faults=(Fault("unreadable_label", f"{index}.png: bad"),)))
    seen = total.faults["unreadable_label"]
    assert (seen.count, [one.index for one in seen.kept]) == (25, list(range(10)))
    assert (total.sizes.shape, total.means.shape[0], total.labels) == ((0, 2), 0, 0)


def test_enet_weights_by_their_formula() -> None:
    # 1/ln(1.02 + p) with p = 0.75, 0.25 and 0.
    expected = [1 / math.log(1.77), 1 / math.log(1.27), 1 / math.log(1.02)]
    assert enet_weights(np.array([75, 25, 0])) == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx([1.7514, 4.1838, 50.4983], abs=1e-4)


def test_median_frequency_weights_by_hand() -> None:
    # f = 120/190, 20/90, 50/100, median 0.5; the absent fourth class does not count.
    weights = median_frequency_weights(np.array([120, 20, 50, 0]), np.array([190, 90, 100, 0]))
    assert weights == pytest.approx([0.5 * 190 / 120, 0.5 * 90 / 20, 1.0, 0.0], abs=1e-4)


def test_weights_of_camvid_are_near_those_of_segnet() -> None:
    """Badrinarayanan et al., SegNet: class_weighting of its CamVid model; other labels of void shift them."""
    # Pixels and support such that f are the frequencies that SegNet's weights stand for.
    segnet = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
    frequencies = 0.05 / np.array(segnet)
    weights = median_frequency_weights((frequencies * 10**9).astype(np.int64), np.full(11, 10**9))
    assert weights == pytest.approx([one / np.median(segnet) for one in segnet], rel=1e-3)


def findings(total: SplitTotals, split: str = "train") -> dict[str, tuple[Severity, int]]:
    rows = class_rows(total, None)
    return {one.code: (one.severity, one.count) for one in class_findings(split, total, rows)}


def test_nothing_to_say_of_balanced_classes() -> None:
    assert findings(totals({0: 40, 1: 30, 2: 30}, {0: 40, 1: 30, 2: 30})) == {}


def test_absent_rare_single_and_ignored_classes() -> None:
    absent = findings(totals({0: 50, 1: 50}, {0: 50, 1: 50}))
    assert absent == {"absent_class": (Severity.WARNING, 1)}
    by_pixels = findings(totals({0: 5000, 1: 5000, 2: 4}, {0: 5000, 1: 5000, 2: 4}))
    assert by_pixels == {"rare_class": (Severity.NOTE, 1)}
    by_images = findings(totals({2: 50}, *({0: 50, 1: 50} for _ in range(99))))
    assert by_images == {"rare_class": (Severity.NOTE, 1)}
    assert findings(totals({1: 100})) == {"one_class": (Severity.ERROR, 1)}
    assert findings(totals({1: 100}), "val") == {"one_class": (Severity.WARNING, 1)}
    mostly = findings(totals({0: 10, 1: 10, 2: 10, 255: 70}))
    assert mostly == {"mostly_ignored": (Severity.WARNING, 1)}


def test_before_the_ids_are_right_classes_are_not_counted() -> None:
    total = totals({1: 100})
    total.add(SampleFacts(1, faults=(Fault("wrong_values", "x"),)))
    assert findings(total) == {}


def test_names_and_shares() -> None:
    rows = class_rows(totals({0: 30, 1: 10, 255: 60}), ["sky", "road", "car"])
    assert [(one.name, one.pixels, one.share, one.labels) for one in rows] == [
        ("sky", 30, 0.75, 1),
        ("road", 10, 0.25, 1),
        ("car", 0, 0.0, 0),
    ]
