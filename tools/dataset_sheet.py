"""The contact sheet of tools/check_dataset.py: images beside their labels, those with findings first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.findings import Finding
from paddleseg.data.check.report import Report
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.images import read_pixels
from paddleseg.visualise import color_map, colourise, overlay

__all__ = ["Card", "make_cards", "sheet_palette"]

Picture = NDArray[np.uint8]

_WIDTH = 320  # of one of the two panels
_PER_FINDING = 3
_QUALITY = 82
_MARK = (255, 0, 255)  # pixels whose value is no class
_GREY = 200


@dataclass(frozen=True)
class Card:
    """One sample on the sheet.

    Attributes:
        caption: Split, file, and what is wrong with it.
        jpeg: The image beside its label.
        finding: What it is an example of; None for a sample at random.
    """

    caption: str
    jpeg: bytes
    finding: Finding | None = None


def make_cards(report: Report, datasets: Mapping[str, SegmentationDataset], count: int) -> list[Card]:
    """Draws the sheet.

    Args:
        report: What was found.
        datasets: By split.
        count: Pictures in all; findings take up to two thirds, samples at random the rest.
    """
    cards, seen = [], set()
    for finding, split, index, text in _examples(report, datasets):
        if len(cards) >= max(1, 2 * count // 3) or count == 0:
            break
        if (split, index) not in seen:
            seen.add((split, index))
            cards.append(Card(f"{split}: {text}", _jpeg(datasets[split], index), finding))
    places = [(split, index) for split, dataset in datasets.items() for index in range(len(dataset))]
    for place in np.random.default_rng(0).permutation(len(places)).tolist():
        if len(cards) >= count:
            break
        split, index = places[place]
        if (split, index) not in seen:
            name = datasets[split].files[index].image
            cards.append(Card(f"{split}: {name}", _jpeg(datasets[split], index)))
    return cards


def _examples(
    report: Report, datasets: Mapping[str, SegmentationDataset]
) -> Iterator[tuple[Finding, str, int, str]]:
    """The first examples of each finding, the worst finding first."""
    for finding in report.findings:
        split = finding.split.rpartition("+")[2]  # of twins, the second one's
        shown = [one for one in finding.examples if one.index is not None][:_PER_FINDING]
        for one in shown if split in datasets else ():
            assert one.index is not None, "chosen above"
            yield finding, split, one.index, one.text


def _jpeg(dataset: SegmentationDataset, index: int) -> bytes:
    """Image and overlay beside each other; grey where one cannot be read."""
    image = _read(lambda: read_pixels(dataset.files[index].image, dataset.img_channels))
    label = None if dataset.files[index].label is None else _label_of(dataset, index)
    panels = [_panel(image if image is None or image.shape[2] == 3 else np.repeat(image, 3, axis=2))]
    if dataset.files[index].label is not None:
        panels.append(_panel(_painted(dataset, image, label)))
    height = max(panel.shape[0] for panel in panels)
    padded = [
        cv2.copyMakeBorder(one, 0, height - one.shape[0], 0, 4, cv2.BORDER_CONSTANT, value=(255,) * 3)
        for one in panels
    ]
    picture = cv2.cvtColor(np.hstack(padded), cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert encoded, "an RGB picture of bytes can be encoded"
    return data.tobytes()


def _read(read: Any) -> Any:
    try:
        return read()
    except Exception:  # whatever is wrong with the file is among the findings
        return None


def _label_of(dataset: SegmentationDataset, index: int) -> Any:
    label = _read(lambda: dataset.decode_label(index))
    return _read(lambda: dataset.raw_label(index)) if label is None else label


def _painted(dataset: SegmentationDataset, image: Any, label: Any) -> Picture | None:
    if label is None:
        return None
    if label.ndim == 3:
        colours: Picture = label[..., :3].astype(np.uint8)
        return colours
    palette = color_map(max(256, dataset.num_classes), palette=dataset.palette)[: dataset.num_classes]
    fits = image is not None and image.shape[:2] == label.shape
    ids = np.where(label < 0, len(palette), label)
    painted = overlay(image, ids, palette, 0.4) if fits else colourise(ids, palette)
    wrong = ((label < 0) | (label >= dataset.num_classes)) & (label != dataset.ignore_index)
    painted[wrong] = _MARK
    return painted


def _panel(picture: Picture | None) -> Picture:
    if picture is None:
        return np.full((_WIDTH // 2, _WIDTH, 3), _GREY, dtype=np.uint8)
    height, width = picture.shape[:2]
    scale = _WIDTH / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=how), dtype=np.uint8)


def sheet_palette(datasets: Sequence[SegmentationDataset]) -> list[list[int]]:
    """Colours of the classes on the sheet."""
    if not datasets:
        return []
    colours: list[list[int]] = color_map(max(256, datasets[0].num_classes), palette=datasets[0].palette)[
        : datasets[0].num_classes
    ].tolist()
    return colours
