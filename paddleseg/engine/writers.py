"""Where metrics go besides the log: a JSON-lines file and VisualDL."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from paddleseg.errors import OutputError
from paddleseg.files import write_whole
from paddleseg.log import get_logger

__all__ = ["JsonLinesWriter", "MetricWriter", "PictureWriter", "VisualDLWriter"]

_LENGTH = struct.Struct("<Q")
_EVALUATION = "Evaluate/"
_logger = get_logger(__name__)

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
        evaluates_again: Whether the resumed run begins with the evaluation of that iteration, whose rows
            would be there twice.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, *, resumed_at: int | None = None, evaluates_again: bool = False) -> None:
        self._path = path
        try:
            if path.is_file():
                if resumed_at is None:
                    _set_aside(path)
                else:
                    _cut(path, resumed_at, evaluates_again)
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
        with contextlib.suppress(OSError):  # told when the row could not be written
            self._file.close()


def _set_aside(path: Path) -> None:
    names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    path.rename(next(name for name in names if not name.exists()))


def _cut(path: Path, iteration: int, evaluates_again: bool) -> None:
    kept = [line for line in path.read_bytes().splitlines() if _stays(line, iteration, evaluates_again)]
    write_whole(path, b"".join(line + b"\n" for line in kept))


def _stays(line: bytes, iteration: int, evaluates_again: bool) -> bool:
    """A line that a crash cut short or damaged goes."""
    try:
        row = json.loads(line)
        names, number = list(row), int(row["iter"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return False
    again = evaluates_again and any(name.startswith(_EVALUATION) for name in names)
    return 0 <= number < iteration + (not again)


class VisualDLWriter:
    """VisualDL's log; look at it with ``visualdl --logdir SAVE_DIR``.

    VisualDL shows the newest file of a folder only, so a resumed run goes on in it. Rows are in the file when
    :meth:`scalars` returns.

    Args:
        folder: Where the log file goes.
        resumed_at: Iteration after which a resumed run goes on: records up to it stay, later ones and those
            that a crash damaged go. None for a new run, which has a file of its own.
        evaluates_again: As of :class:`JsonLinesWriter`.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, folder: Path, *, resumed_at: int | None = None, evaluates_again: bool = False) -> None:
        from visualdl import LogWriter

        files = sorted(folder.glob("vdlrecords.*.log"))
        try:
            goes_on = (
                resumed_at is not None and files and _cut_records(files[-1], resumed_at, evaluates_again)
            )
            name = files[-1].name if goes_on else _new_name(files)
            # It prints that it adds to an existing file.
            with contextlib.redirect_stdout(io.StringIO()):
                self._writer = LogWriter(logdir=str(folder), file_name=name)
        except OSError as error:
            raise OutputError(f"{folder}: VisualDL's log cannot be written ({error.strerror})") from error

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        for name, value in values.items():
            if math.isfinite(value):
                # VisualDL refuses this character, which a class name may hold.
                self._writer.add_scalar(tag=name.replace("%", "_"), value=value, step=iteration)
        self._writer.flush()

    def picture(self, name: str, picture: Picture, iteration: int) -> None:
        self._writer.add_image(tag=name, img=picture, step=iteration, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


def _new_name(files: Sequence[Path]) -> str:
    """VisualDL's own kind of name, and after those that are there: it shows the last one."""
    numbers = [int(number) for file in files if (number := file.name.split(".")[1]).isdigit()]
    return f"vdlrecords.{max([int(time.time()), *(number + 1 for number in numbers)]):010d}.log"


def _cut_records(file: Path, iteration: int, evaluates_again: bool) -> bool:
    """Removes later and damaged records. False, after a warning, where the file is no log of VisualDL."""
    data = file.read_bytes()
    kept = [
        record
        for step, tag, record in _records(data)
        if step < iteration + (not (evaluates_again and tag.startswith(_EVALUATION)))
    ]
    if not kept:
        _logger.warning(f"{file}: not readable as VisualDL's log; it stays, and a new one is begun")
        return False
    write_whole(file, b"".join(kept))
    return True


def _records(data: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Step, tag and bytes of each record up to the first damaged one: a length, then a protocol buffer."""
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record

    start = 0
    while start + _LENGTH.size <= len(data):
        end = start + _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
        if end > len(data):
            return
        try:
            values = Record.FromString(data[start + _LENGTH.size : end]).values
        except DecodeError:
            return
        if len(values) != 1:
            return
        yield values[0].id, values[0].tag, data[start:end]
        start = end
