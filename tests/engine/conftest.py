"""The small task as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_task import TinySegmenter, config_tree, write_config, write_dataset

from paddleseg import build, registry
from paddleseg.build import load_config
from paddleseg.config.config import Config
from paddleseg.data.datasets.file_list import Dataset
from paddleseg.data.transforms import Normalize


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pairs of 64×48 pixels with list.txt."""
    return write_dataset(tmp_path_factory.mktemp("small_task"))


@pytest.fixture
def val_set(data_root: Path) -> Dataset:
    return Dataset("val", str(data_root), [Normalize()], 4, val_path=str(data_root / "list.txt"))


@pytest.fixture
def make_config(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Makes the checked configuration of the small task, with the tiny model."""
    build.import_components()
    monkeypatch.setattr(registry.MODELS, "_components", dict(registry.MODELS._components))
    registry.MODELS.register(TinySegmenter)

    def make(*overrides: str, **blocks: Any) -> Config:
        tree = config_tree(data_root, {"type": "TinySegmenter"}) | blocks
        return load_config(write_config(tmp_path / "config.yml", tree), overrides)

    return make
