"""A segmentation task that takes seconds: eight pictures, a model of a few thousand parameters, a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
import yaml
from paddle import nn

COLORS = np.array([[200, 80, 40], [90, 90, 90], [40, 60, 200], [0, 0, 0]], dtype=np.float32)


class TinySegmenter(nn.Layer):
    """Two convolutions with what training must get right around them: BN, dropout, an auxiliary output."""

    def __init__(self, num_classes: int, in_channels: int = 3, dropout_prob: float = 0.2) -> None:
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels
        self.conv = nn.Conv2D(in_channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2D(8)
        self.dropout = nn.Dropout2D(dropout_prob)
        self.classifier = nn.Conv2D(8, num_classes, 1)
        self.auxiliary = nn.Conv2D(8, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.dropout(F.leaky_relu(self.norm(self.conv(x)), 0.01))
        heads = [self.classifier, self.auxiliary] if self.training else [self.classifier]
        return [F.interpolate(head(features), x.shape[2:], mode="bilinear") for head in heads]

    @staticmethod
    def count_outputs(params: Mapping[str, Any]) -> int:
        return 2


def write_dataset(root: Path, *, count: int = 8, size: tuple[int, int] = (48, 64)) -> Path:
    """Writes ``images/``, ``labels/`` (classes 0..2 and some 255) and ``list.txt``; returns the root."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    height, width = size
    for index in range(count):
        label = np.zeros(size, dtype=np.uint8)
        top, left = rng.integers(8, height // 2), rng.integers(4, width - 20)
        label[top:] = 1
        label[top - 4 : top + 12, left : left + 14] = 2
        label[:2, :5] = 255
        image = COLORS[np.minimum(label, 3)] + rng.normal(0, 12, (*size, 3))
        cv2.imwrite(str(root / f"images/{index}.png"), image.clip(0, 255).astype(np.uint8)[..., ::-1])
        cv2.imwrite(str(root / f"labels/{index}.png"), label)
    lines = [f"images/{index}.png labels/{index}.png" for index in range(count)]
    (root / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def config_tree(data: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Six iterations of batch 2 over the data that :func:`write_dataset` wrote."""
    common = {"type": "Dataset", "dataset_root": str(data), "num_classes": 4}
    return {
        "batch_size": 2,
        "iters": 6,
        "train_dataset": {
            **common,
            "mode": "train",
            "train_path": str(data / "list.txt"),
            "transforms": [
                {"type": "RandomPaddingCrop", "crop_size": [48, 32]},
                {"type": "RandomHorizontalFlip"},
                {"type": "RandomDistort"},
                {"type": "Normalize"},
            ],
        },
        "val_dataset": {
            **common,
            "mode": "val",
            "val_path": str(data / "list.txt"),
            "transforms": [{"type": "Padding", "target_size": [80, 64]}, {"type": "Normalize"}],
        },
        "optimizer": {"type": "sgd", "momentum": 0.9, "weight_decay": 4.0e-5},
        "lr_scheduler": {
            "type": "PolynomialDecay",
            "learning_rate": 0.05,
            "end_lr": 1.0e-4,
            "power": 0.9,
        },
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1, 0.4]},
        "model": model,
    }


def write_config(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path
