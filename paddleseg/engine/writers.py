"""Where metrics go besides the log: a JSON-lines file and VisualDL."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from paddleseg.errors import OutputError

__all__ = ["JsonLinesWriter", "MetricWriter", "VisualDLWriter"]

Picture = npt.NDArray[np.uint8]


class MetricWriter(Protocol):
    """Takes numbers and pictures of an iteration."""

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Writes named numbers; NaN means undefined."""

    def picture(self, name: str, picture: Picture, iteration: int) -> None:
        """Writes an H×W×3 uint8 RGB picture."""

    def close(self) -> None:
        """Writes what is buffered."""


class JsonLinesWriter:
    """One JSON object a line: ``{"iter": 100, "Train/loss": 1.2, …}``; undefined numbers are null.

    Args:
        path: File to append to.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        row = {"iter": iteration, **{k: v if math.isfinite(v) else None for k, v in values.items()}}
        try:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written ({error.strerror})") from error

    def picture(self, name: str, picture: Picture, iteration: int) -> None:
        """Pictures have no place in this file."""

    def close(self) -> None:
        self._file.close()


class VisualDLWriter:
    """VisualDL's log; look at it with ``visualdl --logdir SAVE_DIR``.

    Args:
        folder: Where the log file goes.
    """

    def __init__(self, folder: Path) -> None:
        from visualdl import LogWriter

        self._writer = LogWriter(logdir=str(folder))

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        for name, value in values.items():
            if math.isfinite(value):
                # VisualDL refuses this character, which a class name may hold.
                self._writer.add_scalar(tag=name.replace("%", "_"), value=value, step=iteration)

    def picture(self, name: str, picture: Picture, iteration: int) -> None:
        self._writer.add_image(tag=name, img=picture, step=iteration, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()
