"""How pixels and images spread over the classes, and the weights that would balance them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.findings import Example, Finding, Severity
from paddleseg.data.check.totals import SplitTotals

__all__ = ["ClassRow", "class_findings", "class_rows", "enet_weights", "median_frequency_weights"]

_RARE_PIXELS, _RARE_IMAGES = 0.001, 0.01  # of the labelled pixels, of the labels
_ENET_C = 1.02
_MOSTLY_IGNORED = 0.5


@dataclass(frozen=True)
class ClassRow:
    """One class of one split.

    Attributes:
        name: As the data set has it; its id where there is none.
        pixels: How many are labelled so.
        share: Of all labelled pixels; ignored ones do not count.
        labels: Label files that hold it.
    """

    id: int
    name: str
    pixels: int
    share: float
    labels: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def class_rows(totals: SplitTotals, names: Sequence[str] | None) -> list[ClassRow]:
    """Counts each class of a split.

    Args:
        totals: Of the split.
        names: Of the classes, if known.
    """
    pixels, labels = totals.class_pixels, totals.class_labels
    whole = max(1, int(pixels.sum()))
    return [
        ClassRow(one, names[one] if names else str(one), int(count), int(count) / whole, int(labels[one]))
        for one, count in enumerate(pixels.tolist())
    ]


def enet_weights(pixels: NDArray[np.int64]) -> list[float]:
    """1 / ln(1.02 + p), p being the class's share of the labelled pixels: 1.4, to 50.5 for an absent class.

    Source: Paszke et al., ENet, 2016, section 5.2.

    Args:
        pixels: Of each class.
    """
    shares = pixels / max(1, int(pixels.sum()))
    return [round(1 / math.log(_ENET_C + share), 4) for share in shares.tolist()]


def median_frequency_weights(pixels: NDArray[np.int64], support: NDArray[np.int64]) -> list[float]:
    """median(f) / f, f being the class's share of the labelled pixels in images that hold it; 0 where absent.

    Source: Eigen and Fergus, 2015, section 6.3; the median is over the classes that occur.

    Args:
        pixels: Of each class.
        support: By class, the labelled pixels of the images that hold it.
    """
    frequencies = [
        count / whole if count else 0.0
        for count, whole in zip(pixels.tolist(), support.tolist(), strict=True)
    ]
    present = [one for one in frequencies if one]
    median = float(np.median(present)) if present else 0.0
    return [round(median / one, 4) if one else 0.0 for one in frequencies]


def class_findings(split: str, totals: SplitTotals, rows: Sequence[ClassRow]) -> list[Finding]:
    """Absent and rare classes, a split of one class, and one that is mostly ignored."""
    if not totals.labels or totals.faults.get("wrong_values"):
        return []  # before the ids are right, counts of classes mislead
    absent = [row for row in rows if not row.pixels and row.id != totals.ignore_index]
    present = [row for row in rows if row.pixels]
    few = _RARE_IMAGES * totals.labels
    rare = [row for row in present if row.share < _RARE_PIXELS or row.labels <= few]
    findings = []
    if len(present) <= 1 and totals.num_classes > 1:
        severity = Severity.ERROR if split == "train" else Severity.WARNING
        what = f"class {present[0].name} alone" if present else "no class at all"
        findings.append(
            Finding(severity, "one_class", split, f"the labels hold {what}", "are these the right masks?")
        )
    elif absent:
        findings.append(
            _about_classes(Severity.WARNING, "absent_class", split, "classes that never occur", absent)
        )
    if rare and len(present) > 1:
        text = f"rare classes, in under {_RARE_PIXELS:.1%} of the pixels or {_RARE_IMAGES:.0%} of the images"
        findings.append(_about_classes(Severity.NOTE, "rare_class", split, text, rare))
    labelled = int(totals.class_pixels.sum())
    ignored = totals.ignored_pixels / max(1, totals.ignored_pixels + labelled)
    if ignored > _MOSTLY_IGNORED and present:
        text = f"{ignored:.0%} of the pixels are ignored (ignore_index {totals.ignore_index})"
        findings.append(Finding(Severity.WARNING, "mostly_ignored", split, text, "is ignore_index a class?"))
    return findings


def _about_classes(severity: Severity, code: str, split: str, text: str, rows: Sequence[ClassRow]) -> Finding:
    fixes = {
        "absent_class": "nothing can be learned or measured of them: add images, or lower num_classes",
        "rare_class": "class weights, or crops that look for them, help; see the table",
    }
    examples = [Example(f"{row.id} {row.name}: {row.pixels} pixels, {row.labels} images") for row in rows]
    message = f"{text}: {len(rows)}"
    return Finding(severity, code, split, message, fixes[code], len(rows), tuple(examples[:10]))
