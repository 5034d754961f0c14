"""What the tests of the documents share: finding commands, running them, looking at the pictures."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [content for kind, content in FENCED.findall(text) if kind == language]


def commands(text: str) -> list[str]:
    """The shell commands, each on one line."""
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def run(command: str, folder: Path, *overrides: str) -> str:
    """Runs a command in a shell with this environment's programs; returns what it printed."""
    whole = " ".join([command, *map(shlex.quote, overrides)])
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", whole], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{whole}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def pictures(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """The pictures of one kind that a prediction wrote, by relative path."""
    found = sorted((folder / kind).rglob("*.png"))
    return {str(p.relative_to(folder / kind)): cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in found}


def check_predictions(folder: Path, *, count: int, shape: tuple[int, int], classes: int) -> None:
    labels = pictures(folder, "label")
    assert {(p.shape, p.dtype.name) for p in labels.values()} == {(shape, "uint8")}
    assert len(labels) == count
    assert max(p.max() for p in labels.values()) < classes
    for kind in ("pseudo_color_prediction", "added_prediction"):
        assert {p.shape[:2] for p in pictures(folder, kind).values()} == {shape}
        assert pictures(folder, kind).keys() == labels.keys()


def check_same_labels(first: Path, second: Path, *, share: float = 0.999) -> None:
    """The exported model predicts what the trained one does."""
    expected, got = pictures(first, "label"), pictures(second, "label")
    assert expected.keys() == got.keys()
    assert all(np.mean(expected[name] == got[name]) >= share for name in expected)
