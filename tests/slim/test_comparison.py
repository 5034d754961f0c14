"""The figures that compare two models, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_onnx import write_export

from deploy.python.description import read_description
from deploy.python.engines.base import Floats, Output
from deploy.python.exported_model import ExportedModel
from paddleseg.data.transforms import Sample
from slim.quant import comparison
from slim.quant.comparison import compare


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


class Fixed:
    """An engine that answers the same labels after a while."""

    name = "fixed"

    def __init__(self, labels: list[list[int]], clock: Clock, seconds: float) -> None:
        self._labels, self._clock, self._seconds = np.array([labels], dtype=np.int32), clock, seconds

    def run(self, batch: Floats) -> Output:
        self._clock.now += self._seconds
        return self._labels


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ExportedModel, ExportedModel]:
    clock = Clock()
    monkeypatch.setattr(comparison, "time", clock)
    description = read_description(write_export(tmp_path, output_op="argmax"))
    slow, fast = Fixed([[0, 0, 1, 1]], clock, 6), Fixed([[0, 1, 1, 1]], clock, 2)
    return ExportedModel(description, slow), ExportedModel(description, fast)


def picture(label: list[int] | None) -> Sample:
    pixels = np.zeros((1, 4, 3), dtype=np.float32)
    return Sample(pixels, None if label is None else np.array([label], dtype=np.int32))


def test_equal_labels_speed_and_miou(models: tuple[ExportedModel, ExportedModel]) -> None:
    found = compare(models, [picture([0, 0, 1, 255]), picture([0, 1, 1, 255])], num_classes=2)
    assert found.pictures == 2
    assert found.equal_labels == 0.75
    assert found.speed == 3
    # Float: class 0 has 3 right of 4 in the union, class 1 2 of 3; int8: 2 of 3 and 3 of 4.
    assert found.miou == pytest.approx(((3 / 4 + 2 / 3) / 2, (2 / 3 + 3 / 4) / 2))


def test_without_labels(models: tuple[ExportedModel, ExportedModel]) -> None:
    assert compare(models, [picture(None)], num_classes=2).miou is None
