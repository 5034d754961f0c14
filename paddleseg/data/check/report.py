"""The result of a check: as JSON and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paddleseg.data.check.classes import ClassRow
from paddleseg.data.check.crops import CropFacts
from paddleseg.data.check.findings import Finding, Severity, printable
from paddleseg.data.check.pictures import PictureFacts

__all__ = ["Report", "SplitReport", "flow"]

_FORMAT = 1


@dataclass(frozen=True)
class SplitReport:
    """The figures of one split.

    Attributes:
        split: ``"train"``, ``"val"`` or ``"test"``.
        pairs: Samples of the data set.
        looked_at: How many of them were read.
        classes: One row a class; empty without labels.
        ignored: Share of all pixels that are ignored.
        pictures: Sizes and brightness; None where no image could be read.
        crop: None where no crop could be judged.
        enet_weights: See :func:`paddleseg.data.check.classes.enet_weights`; empty without labels.
        median_frequency_weights: See :func:`paddleseg.data.check.classes.median_frequency_weights`.
    """

    split: str
    pairs: int
    looked_at: int
    classes: Sequence[ClassRow] = ()
    ignored: float = 0.0
    pictures: PictureFacts | None = None
    crop: CropFacts | None = None
    enet_weights: Sequence[float] = ()
    median_frequency_weights: Sequence[float] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pairs": self.pairs,
            "looked_at": self.looked_at,
            "ignored": self.ignored,
            "classes": [row.as_dict() for row in self.classes],
            "weights": {
                "enet": list(self.enet_weights),
                "median_frequency": list(self.median_frequency_weights),
            },
            "images": None if self.pictures is None else self.pictures.as_dict(),
            "crop": None if self.crop is None else self.crop.as_dict(),
        }


@dataclass(frozen=True)
class Report:
    """All that a check found.

    Attributes:
        source: What was checked: the config's or the folder's name.
        splits: Figures by split.
        findings: The worst first.
    """

    source: str
    splits: Sequence[SplitReport]
    findings: Sequence[Finding] = field(default=())

    def count(self, severity: Severity) -> int:
        """Findings of one severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": _FORMAT,
            "source": self.source,
            "counts": {severity.value: self.count(severity) for severity in Severity},
            "findings": [finding.as_dict() for finding in self.findings],
            "splits": {split.split: split.as_dict() for split in self.splits},
        }

    def lines(self) -> list[str]:
        """The report for a terminal."""
        lines: list[str] = []
        for split in self.splits:
            lines += [*_split_lines(split), ""]
        table = _class_table(self.splits)
        lines += [*table, ""] if table else []
        for finding in self.findings:
            lines += finding.lines()
        return [*lines, self.summary()]

    def summary(self) -> str:
        """One line: how many findings of each kind."""
        errors, warnings, notes = map(self.count, Severity)
        if not errors + warnings + notes:
            return f"{printable(self.source)}: nothing found"
        verdict = "must be fixed" if errors else "can be trained on"
        return f"{printable(self.source)}: {errors} errors, {warnings} warnings, {notes} notes: {verdict}"


def flow(values: Sequence[float]) -> str:
    """Numbers as YAML takes them: ``[1.0, 0.25]``."""
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _split_lines(split: SplitReport) -> list[str]:
    part = "" if split.looked_at == split.pairs else f", {split.looked_at} of them looked at"
    lines = [f"{split.split}: {split.pairs} pairs{part}"]
    images = split.pictures
    if images is not None:
        sizes = ", ".join(f"{count} of {width}×{height}" for width, height, count in images.common_sizes)
        smallest, median, largest = (f"{w}×{h}" for w, h in (images.smallest, images.median, images.largest))
        if images.sizes > len(images.common_sizes):
            sizes += f", … {images.sizes} sizes in all"
        lines.append(f"  sizes: {sizes}")
        if images.sizes > 1:
            lines.append(f"  from {smallest} to {largest}, median {median}")
        lines.append(f"  Normalize: mean: {flow(images.mean)}, std: {flow(images.std)} would centre them")
    if split.crop is not None:
        width, height = split.crop.crop
        lines.append(
            f"  crop {width}×{height}: {split.crop.reach:.0%} of the images are as large, "
            f"{split.crop.padding:.0%} of a crop is padding, it shows {split.crop.seen:.0%} of an image"
        )
    if split.classes:
        lines.append(f"  ignored: {split.ignored:.1%} of the pixels")
    if split.split == "train" and split.enet_weights:
        lines.append(f"  balancing weights (ENet, 1/ln(1.02+share)): weight: {flow(split.enet_weights)}")
        median = flow(split.median_frequency_weights)
        lines.append(f"  balancing weights (median frequency): weight: {median}")
    return lines


def _class_table(splits: Sequence[SplitReport]) -> list[str]:
    """Share of the pixels and number of images by class, a pair of columns a split."""
    shown = [split for split in splits if split.classes]
    if not shown:
        return []
    rows = max((split.classes for split in shown), key=len)
    names = [printable(f"{row.id} {row.name}" if row.name != str(row.id) else row.name) for row in rows]
    width = max(len("class"), *map(len, names))
    head = "".join(f"{split.split + ' pixels':>15}{'images':>9}" for split in shown)
    lines = [f"{'class':<{width}}{head}"]
    for place, name in enumerate(names):
        cells = "".join(
            f"{one.classes[place].share:>15.3%}{one.classes[place].labels:>9}"
            if place < len(one.classes)
            else " " * 24
            for one in shown
        )
        lines.append(f"{name:<{width}}{cells}")
    return lines
