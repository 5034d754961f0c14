"""Small data sets on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Maker = Callable[..., Path]


def write_pair(root: Path, name: str, size: tuple[int, int], seed: int) -> str:
    """Writes an image and a label of classes 0..2; returns the line of a list."""
    rng = np.random.default_rng(seed)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(root / f"images/{name}.png")
    Image.fromarray(rng.integers(0, 3, size).astype(np.uint8)).save(root / f"labels/{name}.png")
    return f"images/{name}.png labels/{name}.png"


@pytest.fixture
def make_pairs(tmp_path: Path) -> Maker:
    """Makes a folder with ``count`` pairs and list.txt."""

    def make(count: int = 4, size: tuple[int, int] = (12, 16), name: str = "pairs") -> Path:
        root = tmp_path / name
        lines = [write_pair(root, f"{index:03d}", size, index) for index in range(count)]
        (root / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return root

    return make
