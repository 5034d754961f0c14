"""What is wrong with the files of a split, with the likely cause; from its totals."""

from __future__ import annotations

from paddleseg.data.check.causes import Cause, cause_of_colours, cause_of_values, hidden_foreground
from paddleseg.data.check.findings import Finding, Severity
from paddleseg.data.check.inspection import wrong_of
from paddleseg.data.check.totals import SplitTotals

__all__ = ["label_findings"]

_PLAIN = {
    "unreadable_image": (
        Severity.ERROR,
        "images that cannot be read",
        "copy them again, or take the pairs out",
    ),
    "unreadable_label": (
        Severity.ERROR,
        "labels that cannot be read",
        "export them again, or take the pairs out",
    ),
    "size_mismatch": (
        Severity.ERROR,
        "labels that are not as large as their images",
        "are they the labels of other images, or was a photograph's EXIF orientation lost when labelling?",
    ),
    "lossy_mask": (
        Severity.ERROR,
        "labels in a lossy format (JPEG or WebP), which changes ids along edges",
        "export them again from their source as PNG; a converted copy keeps the damage",
    ),
    "wrong_values": (Severity.ERROR, "", ""),
    "unmapped_ids": (
        Severity.ERROR,
        "labels with ids that label_map does not list",
        "list them, or add 'other: ignore'",
    ),
    "colour_mask": (
        Severity.ERROR,
        "labels that are colour pictures instead of class ids",
        "name the colours of the classes in color_map",
    ),
    "unmapped_colours": (
        Severity.ERROR,
        "labels with colours that color_map does not list",
        "list them, or add 'other: ignore'",
    ),
    "unlabelled": (
        Severity.WARNING,
        "labels that hold ignored pixels alone",
        "take the pairs out, or label them",
    ),
}


def label_findings(split: str, totals: SplitTotals) -> list[Finding]:
    """Tells what the faults of the samples come to.

    Args:
        split: Which.
        totals: Of the split.
    """
    known = {"num_classes": totals.num_classes, "ignore_index": totals.ignore_index}
    hidden = None if totals.is_mapped else hidden_foreground(totals.values, **known)
    findings = []
    for code, seen in totals.faults.items():
        if code == "unlabelled" and hidden is not None and totals.num_classes == 2:
            continue  # masks that are all foreground
        severity, text, fix = _PLAIN[code]
        cause = Cause("", fix)
        if code == "wrong_values":
            cause, text = cause_of_values(totals.values, **known), _values_text(totals)
        elif totals.colours and code in ("colour_mask", "unmapped_colours"):
            cause = cause_of_colours(totals.colours, has_color_map=code == "unmapped_colours")
        likely = f"; likely {cause.text}" if cause.text else ""
        message = f"{text}: {seen.count}{likely}"
        findings.append(Finding(severity, code, split, message, cause.fix, seen.count, tuple(seen.kept)))
    if hidden is not None:
        # With more classes the others may just be rare, or not in this split.
        severity = Severity.ERROR if totals.num_classes == 2 else Severity.WARNING
        finding = Finding(severity, "hidden_foreground", split, hidden.text, hidden.fix, totals.labels)
        findings.append(finding)
    return findings


def _values_text(totals: SplitTotals) -> str:
    wrong = sorted(wrong_of(totals.values, totals.num_classes, totals.ignore_index))
    listed = ", ".join(map(str, wrong[:8])) + (", …" if len(wrong) > 8 else "")
    expected = f"0..{totals.num_classes - 1} or ignore_index {totals.ignore_index}"
    return f"labels with values {listed}, expected {expected}"
