"""What the tests of packs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from paddleseg.data.datasets import Pair, SegmentationDataset
from paddleseg.data.packing import PackOptions, build_pack


def open_files(root: Path, **options: Any) -> SegmentationDataset:
    """The pairs of a list that the fixture ``make_pairs`` wrote, without transforms."""
    lines = (root / "list.txt").read_text("utf-8").split("\n")[:-1]
    pairs = [Pair(*(str(root / name) for name in line.split(" "))) for line in lines]
    return SegmentationDataset(pairs, **{"mode": "train", "transforms": [], "num_classes": 3, **options})


def pack(root: Path, target: Path, *, dataset: dict[str, Any] | None = None, **options: Any) -> Path:
    """Packs those pairs; returns the target."""
    build_pack(open_files(root, **(dataset or {})), target, PackOptions(**options))
    return target


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_same_samples(first: SegmentationDataset, second: SegmentationDataset) -> None:
    """Equal pixels, class ids and names."""
    assert len(first) == len(second)
    for index in range(len(first)):
        one, other = first.load(index), second.load(index)
        assert np.array_equal(one.image, other.image)
        assert (one.label is None) == (other.label is None)
        assert one.label is None or np.array_equal(one.label, other.label)
        assert (one.image_path, one.label_path) == (other.image_path, other.label_path)
