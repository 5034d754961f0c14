"""Made-up data sets with known faults, for the tests of the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddleseg.data.datasets import FolderDataset
from paddleseg.data.datasets.base import SegmentationDataset

SIZE = 48, 64  # height, width


def scene(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture like no other: smooth noise with contrast, [H, W, 3] uint8."""
    coarse = np.random.default_rng(seed).integers(20, 236, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))


def mask(classes: int = 3, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Stripes of all classes, of equal width where the width divides evenly."""
    return np.repeat((np.arange(size[1]) * classes // size[1])[np.newaxis], size[0], axis=0).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    """Writes a picture; RGB where it has three channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return path


def write_tree(
    root: Path,
    *,
    train: int = 4,
    val: int = 2,
    label: Callable[[int], np.ndarray] = lambda _: mask(),
) -> Path:
    """Writes ``images/{train,val}/N.png`` and ``masks/{train,val}/N.png``, without a fault."""
    for split, first, count in (("train", 0, train), ("val", 100, val)):
        for index in range(count):
            write(root / f"images/{split}/{index}.png", scene(first + index))
            write(root / f"masks/{split}/{index}.png", label(index))
    return root


def open_tree(root: Path, mode: str = "train", **options: Any) -> SegmentationDataset:
    """The folder as a data set of three classes."""
    options = {"transforms": [], "num_classes": 3, **options}
    return FolderDataset(mode=mode, dataset_root=str(root), **options)


def counts(values: Mapping[int, int]) -> dict[int, int]:
    """Values with their pixels, plain and in order."""
    return {int(value): int(values[value]) for value in sorted(values)}
