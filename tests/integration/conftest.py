"""A folder that looks like a checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from documents import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the README's relative paths mean what they mean in a checkout."""
    for name in ("train.py", "val.py", "predict.py", "export.py", "tools", "deploy", "slim"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path
