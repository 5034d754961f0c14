"""What the data-set tools share: flags, progress, reading and writing of files, and how a run ends."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from tqdm import tqdm

from paddleseg import runtime
from paddleseg.cli.common import run_program
from paddleseg.cli.flags import positive_int
from paddleseg.errors import DataError, OutputError, UsageError
from paddleseg.files import write_whole

__all__ = [
    "add_overwrite_flag",
    "add_workers_flag",
    "check_folder",
    "entry",
    "made",
    "new_parser",
    "parallel",
    "read_bytes",
    "read_json",
    "read_points",
    "read_size",
    "read_text",
    "refuse_same_folder",
    "run_tool",
    "write_files",
    "write_new",
]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_LARGEST_SIDE, _MOST_PIXELS = 100_000, 2**30  # OpenCV reads no larger picture


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows the description as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_overwrite_flag(parser: argparse.ArgumentParser) -> None:
    """What becomes of files that are there."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there with other content"
    )


def add_workers_flag(parser: argparse.ArgumentParser) -> None:
    """How many files are worked on at once."""
    parser.add_argument(
        "--num_workers",
        type=positive_int,
        default=runtime.available_cores(),
        help="files worked on at once (default: the cores this process has, %(default)s)",
    )


def run_tool(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None) -> int:
    """Runs a tool's body; a polite kill ends it as Ctrl-C does.

    Args:
        main: Takes the arguments, returns the exit status.
        arguments: Command line without the program's name; None takes the process's own.

    Returns:
        What ``main`` returned; 2 with one message for an error that the user can fix; 130 when interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        return run_program(main, arguments)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run_program(main, arguments)
    finally:
        signal.signal(signal.SIGTERM, before)


def parallel(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int, title: str
) -> list[_Result]:
    """Works on several items at once, in threads: decoding and writing of pictures leave the interpreter.

    Args:
        function: What to do with an item.
        items: The items.
        workers: How many at once.
        title: Stands before the progress bar.

    Returns:
        The results in the order of the items. When one raises, the first error in that order is raised, and
        work that has not begun is dropped; likewise at Ctrl-C.
    """
    executor = ThreadPoolExecutor(workers)
    try:
        futures = [executor.submit(function, item) for item in items]
        bar = tqdm(futures, desc=title, unit="file", disable=None)
        return [future.result() for future in bar]
    finally:
        executor.shutdown(cancel_futures=True)


def check_folder(folder: Path, expected: str) -> Path:
    """Makes sure that a folder is there.

    Args:
        folder: The folder.
        expected: What it should be, for the message.

    Raises:
        DataError: It is missing or a file.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}; expected {expected}")
    return folder


def refuse_same_folder(source: Path, target: Path, flag: str) -> None:
    """Stops where the results would replace what they are made from.

    Raises:
        UsageError: Both are one folder.
    """
    if source.resolve() == target.resolve():
        raise UsageError(f"{flag} {target}: is the input folder, whose files would be replaced; name another")


def read_bytes(path: Path) -> bytes:
    """Reads a file of the data.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def read_text(path: Path) -> str:
    """Reads a text file.

    Raises:
        DataError: It cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Raises:
        DataError: It cannot be read, is no JSON, or holds something else.
    """
    try:
        tree = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({error}); export or copy it again") from error
    if not isinstance(tree, dict):
        raise DataError(f"{path}: expected a JSON object {{…}}, got {type(tree).__name__}")
    return tree


def entry(tree: Any, key: str, kinds: type | tuple[type, ...], where: str) -> Any:
    """Takes an entry of a JSON object.

    Args:
        tree: The object.
        key: Name of the entry.
        kinds: What it may be.
        where: File and place, for the message.

    Raises:
        DataError: The tree is no object, or the entry is missing or something else.
    """
    if not isinstance(tree, dict) or key not in tree:
        raise DataError(f"{where}: expected an entry '{key}'")
    value = tree[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise DataError(f"{where}: {key} is {str(value)[:40]!r}, not what is expected there")
    return value


def read_size(tree: Any, keys: tuple[str, str], where: str) -> tuple[int, int]:
    """Takes the width and the height of a picture from a JSON object.

    Raises:
        DataError: They are missing or no size of a picture.
    """
    width, height = (entry(tree, key, int, where) for key in keys)
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE and width * height <= _MOST_PIXELS):
        raise DataError(f"{where}: {width}×{height} is no size of a picture")
    return width, height


def read_points(tree: Any, key: str, where: str) -> list[tuple[float, float]]:
    """Takes a list of points [x, y] from a JSON object.

    Raises:
        DataError: It is missing or holds something else.
    """
    points = []
    for point in entry(tree, key, list, where):
        numbers = point if isinstance(point, list) and len(point) == 2 else []
        if not numbers or not all(_is_coordinate(number) for number in numbers):
            raise DataError(f"{where}: {key} holds {str(point)[:40]}, expected [x, y] in pixels")
        points.append((numbers[0], numbers[1]))
    return points


def _is_coordinate(value: object) -> bool:
    # Pillow counts in 32 bits: what lies far outside would come round again. NaN is not within either.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 10 * _LARGEST_SIDE


def write_new(path: Path, data: bytes, *, overwrite: bool) -> bool:
    """Writes a file whole. One with the same content stays, so that a tool can be run again and goes on.

    Args:
        path: Where to; missing folders are made.
        data: All of the file.
        overwrite: Replace a file with other content.

    Returns:
        Whether it was written.

    Raises:
        OutputError: It cannot be written, or one with other content is there.
    """
    if not _may_write(path, data, overwrite):
        return False
    write_whole(path, data)
    return True


def write_files(files: Mapping[Path, bytes], *, overwrite: bool) -> int:
    """As :func:`write_new` for several files; none is written where one may not be.

    Returns:
        How many were written.
    """
    wanted = {path: data for path, data in files.items() if _may_write(path, data, overwrite)}
    for path, data in wanted.items():
        write_whole(path, data)
    return len(wanted)


def _may_write(path: Path, data: bytes, overwrite: bool) -> bool:
    if not os.path.lexists(path):
        return True
    if path.is_file() and _is_same(read_bytes(path), data):
        return False
    if not overwrite:
        raise OutputError(f"{path}: is there already with other content; --overwrite replaces it")
    return True


def _is_same(first: bytes, second: bytes) -> bool:
    """Whether the bytes are the same, or the pictures, which another program may have packed otherwise."""
    if first == second:
        return True
    with contextlib.suppress(Exception):  # no pictures, or damaged ones
        one, other = (Image.open(io.BytesIO(data)) for data in (first, second))
        return (
            one.mode == other.mode
            and one.size == other.size
            and one.getpalette() == other.getpalette()
            and one.tobytes() == other.tobytes()
        )
    return False


def made(written: int, total: int, what: str) -> str:
    """Says how many files were written, and how many were there: ``"wrote 3 labels (2 were there)"``."""
    return f"wrote {written} {what}" + (f" ({total - written} were there already)" if written < total else "")
