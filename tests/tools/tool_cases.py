"""What the tests of the data-set tools share: pictures, trees of files, and running a tool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

Main = Callable[[Sequence[str]], int]


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        write_text(root / name, "")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def succeed(main: Main, *arguments: object) -> None:
    assert main([str(one) for one in arguments]) == 0


def refusal(main: Main, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a tool that must end with status 2; returns its one message, which is no traceback."""
    capsys.readouterr()
    assert main([str(one) for one in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    return message.removeprefix("error: ")
