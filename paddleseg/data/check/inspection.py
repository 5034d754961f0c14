"""One pair of image and label, looked at: a small record that travels between processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.fingerprints import Fingerprint, fingerprint_of
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.images import read_pixels
from paddleseg.data.transforms.sample import ByteImage, LabelArray
from paddleseg.errors import DataError

__all__ = [
    "Fault",
    "ImageFacts",
    "LabelFacts",
    "SampleFacts",
    "count_values",
    "inspect_label",
    "inspect_sample",
    "size_text",
    "wrong_of",
]

_MOST_VALUES = 300  # of a label, kept: all that a byte holds
_BLOCK = 2**24  # up to here OpenCV's histogram, in float32, counts every pixel
_JPEG = b"\xff\xd8\xff"
_HEAD = 16


@dataclass(frozen=True)
class Fault:
    """What is wrong with one sample.

    Attributes:
        code: The finding that it belongs to.
        text: The file and what is the matter with it.
    """

    code: str
    text: str


@dataclass(frozen=True)
class ImageFacts:
    """What is kept of an image.

    Attributes:
        size: Width, height.
        mean: Of each channel, 0..255.
        std: Likewise.
        fingerprint: To find it again in other files.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: Fingerprint


@dataclass(frozen=True)
class LabelFacts:
    """What is kept of a label.

    Attributes:
        size: Width, height.
        values: Pixels by value, of the most frequent values.
    """

    size: tuple[int, int]
    values: Mapping[int, int]


@dataclass(frozen=True)
class SampleFacts:
    """What is kept of a sample.

    Attributes:
        index: Its place in the data set.
        image: None where it cannot be read.
        label: None where it cannot be read, or there is none.
        colours: Pixels by colour (0xRRGGBB), where the label is a colour picture that is not, or cannot be,
            mapped.
        faults: What is wrong with it.
    """

    index: int
    image: ImageFacts | None = None
    label: LabelFacts | None = None
    colours: Mapping[int, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def inspect_sample(dataset: SegmentationDataset, index: int) -> SampleFacts:
    """Decodes a pair and looks at it. No file makes it raise.

    Args:
        dataset: Its ``load`` is used only where its class has one of its own.
        index: Which sample.
    """
    faults: list[Fault] = []
    pair = dataset.files[index]
    if type(dataset).load is not SegmentationDataset.load:
        return _inspect_loaded(dataset, index)
    image = None
    try:
        image = _image_facts(read_pixels(pair.image, dataset.img_channels))
    except Exception as error:
        faults.append(Fault("unreadable_image", _text_of(error, pair.image)))
    if pair.label is None:
        return SampleFacts(index, image, faults=tuple(faults))
    of_label = inspect_label(dataset, index)
    label = of_label.label
    if image is not None and label is not None and image.size != label.size:
        faults.append(Fault("size_mismatch", size_text(pair.image, image.size, label.size)))
    return SampleFacts(index, image, label, of_label.colours, (*faults, *of_label.faults))


def inspect_label(dataset: SegmentationDataset, index: int) -> SampleFacts:
    """Like :func:`inspect_sample`, without the image."""
    path = dataset.files[index].label
    assert path is not None, "only data sets with labels are asked for them"
    try:
        label = dataset.decode_label(index)
    except Exception as error:
        code, colours = _why_undecoded(dataset, index, path)
        return SampleFacts(index, colours=colours, faults=(Fault(code, _text_of(error, path)),))
    return _with_value_faults(dataset, index, path, _label_facts(label))


def count_values(label: LabelArray) -> dict[int, int]:
    """Counts the pixels of each value that occurs."""
    if label.dtype != np.uint8:
        values, counts = np.unique(label, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))
    rows = max(1, _BLOCK // max(1, label.shape[1]))
    counts = np.zeros(256, dtype=np.int64)
    for top in range(0, label.shape[0], rows):
        histogram = cv2.calcHist([label[top : top + rows]], [0], None, [256], [0, 256])
        counts += histogram.ravel().astype(np.int64)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _inspect_loaded(dataset: SegmentationDataset, index: int) -> SampleFacts:
    """For a class that reads in its own way; it checks its labels itself."""
    pair = dataset.files[index]
    try:
        sample = dataset.load(index)
    except Exception as error:
        return SampleFacts(index, faults=(Fault("unreadable_image", _text_of(error, pair.image)),))
    image = _image_facts(sample.image.astype(np.uint8, copy=False))
    if sample.label is None:
        return SampleFacts(index, image)
    label = _label_facts(sample.label)
    found = _with_value_faults(dataset, index, pair.label or pair.image, label)
    return SampleFacts(index, image, label, faults=found.faults)


def _with_value_faults(dataset: SegmentationDataset, index: int, path: str, label: LabelFacts) -> SampleFacts:
    faults = []
    wrong = wrong_of(label.values, dataset.num_classes, dataset.ignore_index)
    if wrong:
        listed = ", ".join(map(str, sorted(wrong)[:8])) + (", …" if len(wrong) > 8 else "")
        faults.append(Fault("wrong_values", f"{path}: holds {listed} on {sum(wrong.values())} pixels"))
    if set(label.values) <= {dataset.ignore_index}:
        faults.append(Fault("unlabelled", path))
    return SampleFacts(index, label=label, faults=tuple(faults))


def wrong_of(values: Mapping[int, int], num_classes: int, ignore_index: int) -> dict[int, int]:
    """Those values, with their pixels, that are no class and not ignored."""
    return {
        value: count
        for value, count in values.items()
        if not 0 <= value < num_classes and value != ignore_index
    }


def _image_facts(image: ByteImage) -> ImageFacts:
    mean, std = cv2.meanStdDev(image)
    height, width = image.shape[:2]
    return ImageFacts(
        (width, height), tuple(mean.ravel().tolist()), tuple(std.ravel().tolist()), fingerprint_of(image)
    )


def _label_facts(label: LabelArray) -> LabelFacts:
    values = count_values(label)
    height, width = label.shape
    return LabelFacts((width, height), _most_frequent(values))


def _most_frequent(counts: Mapping[int, int]) -> dict[int, int]:
    return dict(counts) if len(counts) <= _MOST_VALUES else dict(Counter(counts).most_common(_MOST_VALUES))


def _why_undecoded(dataset: SegmentationDataset, index: int, path: str) -> tuple[str, dict[int, int]]:
    """The code of a label that cannot become class ids, and its colours where it has any."""
    coding = dataset.coding
    try:
        raw = dataset.raw_label(index)
    except Exception:
        return "lossy_mask" if _is_lossy(path) else "unreadable_label", {}
    if raw.ndim == 2:
        return "unmapped_ids", {}
    packed: NDArray[np.int32] = raw.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    values, counts = np.unique(packed, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    for (red, green, blue), _ in coding.colours or ():
        found.pop(red << 16 | green << 8 | blue, None)
    return "colour_mask" if coding.colours is None else "unmapped_colours", _most_frequent(found)


def _is_lossy(path: str) -> bool:
    """Whether a file is JPEG or lossy WebP, whatever its name says."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head.startswith(_JPEG) or (head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8 ")


def _text_of(error: Exception, path: str) -> str:
    if isinstance(error, DataError):
        return str(error)
    return f"{path}: cannot be decoded ({type(error).__name__}: {error})"


def size_text(path: str, image: tuple[int, int], label: tuple[int, int]) -> str:
    """Says how large an image and its label are, (width, height) each."""
    turned = ", turned by a quarter" if image == label[::-1] else ""
    return f"{path}: {image[0]}×{image[1]}, its label {label[0]}×{label[1]}{turned}"
