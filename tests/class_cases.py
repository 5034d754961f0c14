"""Configurations and folders that the tests of build_labels.py and build_classes.py share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from paddleseg.build import load_config
from paddleseg.config.config import Config

CITY = {"type": "Cityscapes", "dataset_root": "d", "transforms": []}
FOLDER = {"type": "FolderDataset", "dataset_root": "d", "transforms": []}
MODEL = {"type": "CCNet", "backbone": {"type": "ResNet18_vd", "output_stride": 32}}


def load(root: Path, tree: dict[str, Any], **options: Any) -> Config:
    path = root / "config.yml"
    path.write_text(yaml.safe_dump(tree))
    return load_config(path, **{"required": (), **options})


def make_folder(root: Path, values: dict[str, list[int]]) -> Path:
    """A folder data set: by split, the values of its only label."""
    for split, ids in values.items():
        for kind, pixels in (
            ("images", np.zeros((2, len(ids), 3), np.uint8)),
            ("masks", np.uint8([ids] * 2)),
        ):
            (root / kind / split).mkdir(parents=True)
            Image.fromarray(pixels).save(root / kind / split / "a.png")
    return root
