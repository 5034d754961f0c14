"""The check of a whole data set: every sample of every split, and the splits against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np

from paddleseg.data.check.classes import (
    class_findings,
    class_rows,
    enet_weights,
    median_frequency_weights,
)
from paddleseg.data.check.crops import crop_facts, crop_findings
from paddleseg.data.check.duplicates import Duplicates, find_duplicates
from paddleseg.data.check.findings import Example, Examples, Finding, Severity, sort_findings
from paddleseg.data.check.inspection import SampleFacts
from paddleseg.data.check.label_findings import label_findings
from paddleseg.data.check.pictures import picture_facts, picture_findings
from paddleseg.data.check.report import Report, SplitReport
from paddleseg.data.check.scan import ScanOptions, pick, scan
from paddleseg.data.check.totals import SplitTotals
from paddleseg.data.datasets.base import Found, SegmentationDataset

__all__ = ["Split", "check_datasets"]

_Progress: TypeAlias = Callable[[Iterable[SampleFacts], str, int], Iterable[SampleFacts]]


class Split:
    """A data set to check.

    Args:
        dataset: Its whole pairs; None where there are none.
        found: Files without a partner, and missing ones; None where there are none.
    """

    def __init__(self, dataset: SegmentationDataset | None, found: Found | None = None) -> None:
        self.dataset = dataset
        self.found = found


def check_datasets(
    splits: Mapping[str, Split],
    *,
    source: str,
    options: ScanOptions | None = None,
    progress: _Progress = lambda facts, *_: facts,
) -> Report:
    """Looks at everything.

    Args:
        splits: By name: train, val, test.
        source: What is checked, for the report.
        options: How samples are read; by default all of them, in this process.
        progress: Wraps the records of a split, with its name and their number.

    Raises:
        DataError: Processes cannot be started, or die without end.
    """
    options = options or ScanOptions()
    reports, findings = [], []
    totals: dict[str, SplitTotals] = {}
    for name, split in splits.items():
        findings += _pairing_findings(name, split.found)
        dataset = split.dataset
        if dataset is None:
            reports.append(SplitReport(name, 0, 0))
            continue
        total = SplitTotals.of(dataset)
        count = len(pick(len(dataset), options.limit))
        for facts in progress(scan(dataset, options), name, count):
            total.add(facts)
        totals[name] = total
        reports.append(_split_report(name, dataset, total))
        findings += _split_findings(name, dataset, total)
    findings += _class_differences(totals)
    findings += _duplicate_findings(splits, totals)
    return Report(source, reports, sort_findings(findings))


def _split_report(name: str, dataset: SegmentationDataset, total: SplitTotals) -> SplitReport:
    pictures, crop = picture_facts(total), crop_facts(dataset.transforms, total.sizes)
    if not total.labels:
        return SplitReport(name, len(dataset), total.samples, pictures=pictures, crop=crop)
    pixels = total.class_pixels
    every = max(1, int(pixels.sum()) + total.ignored_pixels)
    return SplitReport(
        name,
        len(dataset),
        total.samples,
        class_rows(total, dataset.class_names),
        total.ignored_pixels / every,
        pictures,
        crop,
        enet_weights(pixels) if pixels.any() else (),
        median_frequency_weights(pixels, total.class_support) if pixels.any() else (),
    )


def _split_findings(name: str, dataset: SegmentationDataset, total: SplitTotals) -> list[Finding]:
    def image_of(index: int) -> str:
        return dataset.files[index].image

    facts = crop_facts(dataset.transforms, total.sizes)
    return [
        *label_findings(name, total),
        *class_findings(name, total, class_rows(total, dataset.class_names)),
        *picture_findings(name, total, image_of),
        *crop_findings(name, facts, dataset.transforms, total.sizes),
    ]


def _pairing_findings(split: str, found: Found | None) -> list[Finding]:
    if found is None:
        return []
    kinds = {
        "missing_file": (
            found.missing,
            "listed files that do not exist",
            "correct the list, or add them",
        ),
        "image_without_label": (
            found.without_label,
            "images without a label",
            "add the labels, or take them out",
        ),
        "label_without_image": (
            found.without_image,
            "labels without an image",
            "add the images, or take them out",
        ),
    }
    return [
        Finding(
            Severity.ERROR, code, split, f"{text}: {len(files)}", fix, len(files), Examples.of(files).kept
        )
        for code, (files, text, fix) in kinds.items()
        if files
    ]


def _class_differences(totals: Mapping[str, SplitTotals]) -> list[Finding]:
    """Classes that are measured and never learned."""
    train = totals.get("train")
    findings = []
    for name, total in totals.items():
        if train is None or name == "train" or total.num_classes != train.num_classes:
            continue
        only_here = np.flatnonzero((total.class_pixels > 0) & (train.class_pixels == 0)).tolist()
        if only_here and train.labels:
            text = f"classes that occur in {name} and never in train: {', '.join(map(str, only_here))}"
            fix = "split again, so that train holds every class"
            finding = Finding(Severity.WARNING, "unlearned_class", f"train+{name}", text, fix, len(only_here))
            findings.append(finding)
    return findings


def _duplicate_findings(splits: Mapping[str, Split], totals: Mapping[str, SplitTotals]) -> list[Finding]:
    if not totals:
        return []

    def image_of(name: str, index: int) -> str:
        dataset = splits[name].dataset
        assert dataset is not None, "only splits with samples have twins"
        return dataset.files[index].image

    found: Duplicates = find_duplicates({name: total.fingerprints for name, total in totals.items()})
    findings = []
    for twins in found.twins:
        first, second = twins.splits
        within = first == second
        kind = "are equal, pixel by pixel, to" if twins.exact else "look the same as"
        other = "others" if within else f"images of {first}"
        why = "" if twins.exact else "; saved again, or neighbouring frames of a film?"
        text = f"images of {second} that {kind} {other}: {twins.count}{why}"
        examples = [Example(f"{image_of(second, b)} and {image_of(first, a)}", b) for a, b in twins.pairs]
        exact = "duplicate" if twins.exact else "near_duplicate"
        code = exact if within else f"{exact}_across_splits"
        across = Severity.ERROR if twins.exact else Severity.WARNING
        severity = Severity.NOTE if within else across
        fix = "" if within else f"take them out of {first} or {second}: what was trained on measures nothing"
        split = first if within else f"{first}+{second}"
        findings.append(Finding(severity, code, split, text, fix, twins.count, tuple(examples)))
    if found.cut_short:
        text = "too many images look alike to compare them all: there may be more near duplicates"
        findings.append(Finding(Severity.NOTE, "duplicates_cut_short", "+".join(totals), text))
    return findings
