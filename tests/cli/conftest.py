"""The small project that the tests of the programs run in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_project import Project

from paddleseg import registry
from paddleseg.build import import_components

REGISTRIES = ("MODELS", "BACKBONES", "DATASETS", "TRANSFORMS", "LOSSES", "OPTIMIZERS", "SCHEDULES")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    """A fresh folder. What its plugin registers is forgotten afterwards."""
    import_components()
    for name in REGISTRIES:
        table = getattr(registry, name)
        monkeypatch.setattr(table, "_components", dict(table._components))
    monkeypatch.delitem(sys.modules, "tiny_net", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Project(tmp_path, capsys)
