"""Configurations that the tests of build.py and build_checks.py share."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from paddleseg.build import load_config
from paddleseg.errors import ConfigError

REFERENCE = "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml"
SMALL = ["model.backbone.type=ResNet18_vd", "model.backbone.pretrained=null"]


def write_list_config(tmp_path: Path) -> Path:
    """A small configuration over a list-file data set, which is not there."""
    data = {"type": "Dataset", "dataset_root": str(tmp_path / "data"), "num_classes": 4, "transforms": []}
    tree = {
        "batch_size": 2,
        "iters": 10,
        "model": {"type": "CCNet", "backbone": {"type": "ResNet18_vd", "output_stride": 32}},
        "train_dataset": {**data, "train_path": "train.txt"},
        "val_dataset": {**data, "val_path": "val.txt"},
        "optimizer": {"type": "sgd"},
        "learning_rate": {"value": 0.1, "decay": {"type": "poly", "power": 1.0}},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1, 0.4]},
    }
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(tree))
    return path


def complaints(path: Path, overrides: list[str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value).splitlines()
