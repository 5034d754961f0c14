"""One small model, exported in every way that the tests of deployment need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from PIL import Image
from small_task import TinySegmenter

from paddleseg.engine.exporter import export_model

PALETTE = [[255, 0, 0], [0, 9, 0], [0, 0, 7]]
SIZES = {"a.png": (40, 56), "b.png": (33, 47), "c.png": (40, 56)}

Export = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny() -> TinySegmenter:
    """Conv, BN, LeakyReLU and bilinear interpolation: what Paddle Inference's oneDNN passes fail on."""
    paddle.seed(2)
    model = TinySegmenter(3)
    model.eval()
    return model


@pytest.fixture(scope="session")
def export(tiny: TinySegmenter, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Makes deploy.yaml of the model: ``export("none", shape=(1, 3, 32, 40))``. Copy it before a change."""

    @cache
    def make(
        output_op: Any = "none",
        *,
        file_format: Any = "all",
        shape: tuple[int, ...] | None = None,
    ) -> Path:
        folder = tmp_path_factory.mktemp("export")
        description = {
            "transforms": [{"type": "Normalize"}],
            "num_classes": 3,
            "class_names": ["sky", "road", "car"],
            "palette": PALETTE,
        }
        export_model(
            tiny,
            folder,
            output_op=output_op,
            input_shape=shape,
            description=description,
            file_format=file_format,
        )
        return folder / "deploy.yaml"

    return make


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three images, two of one size. Not to be changed."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, (name, size) in enumerate(SIZES.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder
