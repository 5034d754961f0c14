"""What the samples of a split add up to, in some 300 bytes a sample."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.findings import Examples
from paddleseg.data.check.fingerprints import FingerprintStore
from paddleseg.data.check.inspection import ImageFacts, LabelFacts, SampleFacts
from paddleseg.data.datasets.base import SegmentationDataset

__all__ = ["SplitTotals"]

_MOST_VALUES = 1000  # distinct values or colours of a split that are told apart


class SplitTotals:
    """Adds up the samples of one split.

    Args:
        num_classes: Of the data set.
        ignore_index: Of the data set.
        is_mapped: Whether the data set maps what the files hold.

    Attributes:
        samples: How many were added.
        faults: What is wrong, by code.
        fingerprints: Of all images.
        values: Pixels by value of the labels, of the first thousand values.
        value_labels: Labels by value.
        class_support: By class, the labelled pixels of the labels that hold it.
        colours: Pixels by colour, of labels that are colour pictures without a whole mapping.
        labels: How many labels could be read.
    """

    def __init__(self, num_classes: int, ignore_index: int, *, is_mapped: bool = False) -> None:
        self.num_classes, self.ignore_index, self.is_mapped = num_classes, ignore_index, is_mapped
        self.samples = self.labels = 0
        self.faults: dict[str, Examples] = {}
        self.fingerprints = FingerprintStore()
        self.values: Counter[int] = Counter()
        self.value_labels: Counter[int] = Counter()
        self.class_support = np.zeros(num_classes, dtype=np.int64)
        self.colours: Counter[int] = Counter()
        self._indices = array("q")
        self._sizes, self._means, self._stds = array("i"), array("f"), array("f")

    @classmethod
    def of(cls, dataset: SegmentationDataset) -> SplitTotals:
        """Totals for the samples of a data set, none yet."""
        coding = dataset.coding
        is_mapped = coding.reduce_zero_label or coding.label_map is not None or coding.colours is not None
        return cls(dataset.num_classes, dataset.ignore_index, is_mapped=is_mapped)

    def add(self, facts: SampleFacts) -> None:
        """Adds one sample."""
        self.samples += 1
        for fault in facts.faults:
            self.faults.setdefault(fault.code, Examples()).add(fault.text, facts.index)
        if facts.image is not None:
            self._add_image(facts.index, facts.image)
        if facts.label is not None:
            self._add_label(facts.label)
        _add_bounded(self.colours, facts.colours)

    @property
    def image_indices(self) -> NDArray[np.int64]:
        """Sample of each image that could be read."""
        return np.array(self._indices, dtype=np.int64)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """N×2: width and height of each image."""
        return np.array(self._sizes, dtype=np.int64).reshape(-1, 2)

    @property
    def means(self) -> NDArray[np.float64]:
        """N×C: mean of each image's channels, 0..255."""
        return self._per_image(self._means)

    @property
    def stds(self) -> NDArray[np.float64]:
        """N×C: standard deviation of each image's channels."""
        return self._per_image(self._stds)

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """Pixels of each class."""
        return self._per_class(self.values)

    @property
    def class_labels(self) -> NDArray[np.int64]:
        """Labels in which each class occurs."""
        return self._per_class(self.value_labels)

    @property
    def ignored_pixels(self) -> int:
        return self.values[self.ignore_index]

    def _add_image(self, index: int, image: ImageFacts) -> None:
        self._indices.append(index)
        self._sizes.extend(image.size)
        self._means.extend(image.mean)
        self._stds.extend(image.std)
        self.fingerprints.add(index, image.fingerprint)

    def _add_label(self, label: LabelFacts) -> None:
        self.labels += 1
        _add_bounded(self.values, label.values, self.num_classes, self.ignore_index)
        once = dict.fromkeys(label.values, 1)
        _add_bounded(self.value_labels, once, self.num_classes, self.ignore_index)
        present = [
            value for value in label.values if 0 <= value < self.num_classes and value != self.ignore_index
        ]
        self.class_support[present] += sum(label.values[value] for value in present)

    def _per_image(self, values: array[float]) -> NDArray[np.float64]:
        return np.array(values, dtype=np.float64).reshape(max(1, len(self._indices)), -1)[
            : len(self._indices)
        ]

    def _per_class(self, counts: Counter[int]) -> NDArray[np.int64]:
        ids = range(self.num_classes)
        return np.array([0 if one == self.ignore_index else counts[one] for one in ids], dtype=np.int64)


def _add_bounded(
    total: Counter[int], more: Mapping[int, int], num_classes: int = 0, ignore_index: int = -1
) -> None:
    """Classes and ignored pixels always count; other values only while there are few."""
    for value, count in more.items():
        expected = 0 <= value < num_classes or value == ignore_index
        if expected or value in total or len(total) < _MOST_VALUES:
            total[value] += count
