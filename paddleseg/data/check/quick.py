"""The check at the start of a training run: some labels, in a second or so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from paddleseg.data.check.findings import Finding, Severity, printable
from paddleseg.data.check.inspection import Fault, SampleFacts, inspect_label, size_text
from paddleseg.data.check.label_findings import label_findings
from paddleseg.data.check.scan import pick
from paddleseg.data.check.totals import SplitTotals
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.images import read_pixels
from paddleseg.errors import DataError
from paddleseg.log import get_logger

__all__ = ["check_sample", "refuse_wrong_labels"]

_SAMPLES = 64
_SECONDS = 1.0
_FEW = 8  # labels of slow storage, which being bad says little of the others
_ORIENTATION = 0x0112  # an EXIF tag
_logger = get_logger(__name__)


def refuse_wrong_labels(
    dataset: SegmentationDataset,
    block: str,
    *,
    config: str = "YOUR_CONFIG",
    skip_bad: bool = False,
    seconds: float = _SECONDS,
) -> None:
    """Looks at some labels and stops where they are wrong.

    What comes from a pack, or is loaded by the data set's class in a way of its own, is not looked at.

    Args:
        dataset: Its transforms are not applied.
        block: What the config calls it: ``"train_dataset"``.
        config: The config's file, for the message.
        skip_bad: Single bad files are passed over later, so they only give a warning; all bad are refused.
        seconds: No further label is begun after this time.

    Raises:
        DataError: Labels are wrong; the message says which, the likely cause and what to do.
    """
    own_loading = type(dataset).load is not SegmentationDataset.load
    if dataset.pack is not None or own_loading or dataset.files[0].label is None:
        return
    began = time.monotonic()
    totals = check_sample(dataset, seconds=seconds)
    looked = f"{totals.samples} of {len(dataset)} labels"
    errors = [one for one in label_findings(block, totals) if one.severity is Severity.ERROR]
    if not errors:
        _logger.info(f"{block}: {looked} looked at in {time.monotonic() - began:.1f} s, nothing wrong")
        return
    message = _message(block, looked, errors, config)
    are_few = totals.samples < min(_FEW, len(dataset))
    if skip_bad and (are_few or all(one.count < totals.samples for one in errors)):
        _logger.warning(message)
        return
    raise DataError(f"{message}; check_data: false (--no_data_check) starts all the same")


def check_sample(
    dataset: SegmentationDataset,
    *,
    samples: int = _SAMPLES,
    seconds: float = _SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> SplitTotals:
    """Looks at labels that are spread evenly over a data set, and at the sizes that image headers name.

    Args:
        dataset: With labels.
        samples: How many labels.
        seconds: No further label is begun after this time; one is looked at in any case.
        clock: Seconds.
    """
    totals = SplitTotals.of(dataset)
    end = clock() + seconds
    # In an order that an early end does not bias.
    for index in np.random.default_rng(0).permutation(pick(len(dataset), samples)).tolist():
        if totals.samples and clock() >= end:
            break
        totals.add(_with_size(dataset, inspect_label(dataset, index)))
    return totals


def _with_size(dataset: SegmentationDataset, facts: SampleFacts) -> SampleFacts:
    if facts.label is None:
        return facts
    pair = dataset.files[facts.index]
    try:
        with Image.open(pair.image) as image:
            size = image.size
            is_turned = image.getexif().get(_ORIENTATION, 1) != 1
        if is_turned or size != facts.label.size:  # what counts is how it is decoded
            height, width = read_pixels(pair.image, dataset.img_channels).shape[:2]
            size = width, height
    except Exception as error:
        # Some kinds are read by OpenCV alone; damaged ones are found when they are loaded.
        if not isinstance(error, DataError):
            return facts
        return replace(facts, faults=(*facts.faults, Fault("unreadable_image", str(error))))
    if size == facts.label.size:
        return facts
    text = size_text(pair.image, size, facts.label.size)
    return replace(facts, faults=(*facts.faults, Fault("size_mismatch", text)))


def _message(block: str, looked: str, errors: list[Finding], config: str) -> str:
    lines = [f"{block}: {looked} looked at, some are wrong:"]
    for error in errors:
        _, *rest = error.lines(examples=3)
        lines += [f"  {printable(error.message)}", *rest]
    return "\n".join([*lines, f"python tools/check_dataset.py --config {config} looks at all files"])
