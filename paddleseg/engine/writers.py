"""Where metrics go besides the log: a JSON-lines file and VisualDL."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from paddleseg.errors import OutputError
from paddleseg.files import write_whole

__all__ = ["JsonLinesWriter", "MetricWriter", "PictureWriter", "VisualDLWriter"]

Picture = npt.NDArray[np.uint8]


class MetricWriter(Protocol):
    """Takes numbers of an iteration."""

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Writes named numbers; NaN means undefined."""

    def close(self) -> None:
        """Writes what is buffered."""


@runtime_checkable
class PictureWriter(MetricWriter, Protocol):
    """Takes pictures too."""

    def picture(self, name: str, picture: Picture, iteration: int) -> None:
        """Writes an H×W×3 uint8 RGB picture."""


class JsonLinesWriter:
    """One JSON object a line: ``{"iter": 100, "Train/loss": 1.2, …}``; undefined numbers are null.

    A new run starts the file anew; that of an earlier run stays, as ``metrics.jsonl.1``, ``.2`` …

    Args:
        path: The file.
        resumed_at: Iteration after which a resumed run goes on: rows up to it stay, later ones go. None for a
            new run.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, *, resumed_at: int | None = None) -> None:
        self._path = path
        try:
            if path.is_file():
                if resumed_at is None:
                    _set_aside(path)
                else:
                    _cut(path, resumed_at)
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

    def close(self) -> None:
        self._file.close()


def _set_aside(path: Path) -> None:
    names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    path.rename(next(name for name in names if not name.exists()))


def _cut(path: Path, iteration: int) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if 0 <= _iteration_of(line) <= iteration]
    write_whole(path, "".join(f"{line}\n" for line in kept).encode())


def _iteration_of(line: str) -> int:
    """−1 for a line that a crash cut short."""
    try:
        return int(json.loads(line)["iter"])
    except (ValueError, TypeError, KeyError):
        return -1


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
