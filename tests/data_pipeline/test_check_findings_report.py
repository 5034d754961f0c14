"""What people and programs get to read."""

from __future__ import annotations

import json

from paddleseg.data.check.classes import ClassRow
from paddleseg.data.check.findings import Example, Examples, Finding, Severity, printable, sort_findings
from paddleseg.data.check.report import Report, SplitReport, flow

FINDING = Finding(
    Severity.ERROR,
    "wrong_values",
    "train",
    "labels with 7: 12",
    "num_classes: 8",
    12,
    (Example("a", 0),) * 10,
)


def test_lines_of_a_finding() -> None:
    assert FINDING.lines(examples=2) == [
        "error: train: labels with 7: 12",
        "    a",
        "    a",
        "    … and 10 more",
        "    → num_classes: 8",
    ]
    assert Finding(Severity.NOTE, "x", "val", "a fact").lines() == ["note: val: a fact"]


def test_the_worst_comes_first() -> None:
    order = [Severity.NOTE, Severity.ERROR, Severity.WARNING, Severity.ERROR]
    found = sort_findings(Finding(one, str(place), "", "") for place, one in enumerate(order))
    assert [one.code for one in found] == ["1", "3", "2", "0"]


def test_examples_are_bounded() -> None:
    assert (Examples.of(map(str, range(99))).count, len(Examples.of(map(str, range(99))).kept)) == (99, 10)


def test_names_that_would_change_a_terminal() -> None:
    name = "a\x1b[31m\nb\udcffé\t日"
    assert printable(name) == r"a\x1b[31m\nb\udcffé\t日"
    json.dumps(Finding(Severity.NOTE, "x", "val", name, examples=(Example(name),)).as_dict())


def split(name: str, *classes: ClassRow) -> SplitReport:
    return SplitReport(name, 10, 8, classes, enet_weights=(1.5, 2.0), median_frequency_weights=(1.0, 0.5))


def test_a_report_as_table_and_json() -> None:
    rows = ClassRow(0, "sky", 3, 0.75, 4), ClassRow(1, "road", 1, 0.25, 2)
    report = Report("c.yml", [split("train", *rows), split("val", *rows)], [FINDING])
    lines = report.lines()
    assert "train: 10 pairs, 8 of them looked at" in lines
    assert "  balancing weights (ENet, 1/ln(1.02+share)): weight: [1.5, 2]" in lines
    assert "class    train pixels   images     val pixels   images" in lines
    assert "1 road        25.000%        2        25.000%        2" in lines
    assert lines[-1] == "c.yml: 1 errors, 0 warnings, 0 notes: must be fixed"
    tree = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert tree["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert tree["findings"][0]["count"] == 12
    assert tree["splits"]["val"]["classes"][1] == {
        "id": 1,
        "name": "road",
        "pixels": 1,
        "share": 0.25,
        "labels": 2,
    }
    assert tree["splits"]["train"]["weights"]["median_frequency"] == [1.0, 0.5]


def test_summaries() -> None:
    assert Report("x", []).summary() == "x: nothing found"
    note = Finding(Severity.NOTE, "n", "val", "a fact")
    assert Report("x", [], [note]).summary() == "x: 0 errors, 0 warnings, 1 notes: can be trained on"
    assert flow([1.0, 0.25]) == "[1, 0.25]"
