"""Gives grey label pictures colours to look at; the class ids stay readable in them (palette PNG).

All labels of a folder, at any depth:
    python tools/gray2pseudo_color.py DATA/annotations DATA/annotations_colour
Those that a list names, as `image label` from a data set's folder:
    python tools/gray2pseudo_color.py DATA/train.txt DATA/colour --dataset_dir DATA --file_separator ' '

Class 0 is dark red, as in PaddleSeg's pictures. Masks in formats other than PNG become PNG files.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from dataset_lists import find_files
from dataset_tools import (
    add_overwrite_flag,
    add_workers_flag,
    made,
    new_parser,
    parallel,
    read_text,
    refuse_same_folder,
    run_tool,
    write_new,
)

from paddleseg.data.masks import read_label
from paddleseg.errors import DataError, UsageError
from paddleseg.visualise import color_map, palette_png_of

__all__ = ["main", "paint"]

_FORMATS = ("png", "bmp", "tif", "tiff", "webp", "gif")


def paint(source: Path) -> bytes:
    """Gives a label colours.

    Args:
        source: A one-channel picture of class ids from 0 to 255.

    Returns:
        The bytes of a palette PNG with the same ids.

    Raises:
        DataError: It cannot be read, has several channels or higher ids.
    """
    label = read_label(str(source))
    if label.min() < 0 or label.max() > 255:
        raise DataError(
            f"{source}: holds {label.min()} to {label.max()}; a palette has colours for 0 to 255 only: is it "
            "a file of instances?"
        )
    return palette_png_of(label.astype(np.uint8), color_map())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the pictures are there, 2 when they cannot be made, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("dir_or_file", type=Path, help="folder of grey labels, or a list file")
    parser.add_argument("output_dir", type=Path, help="folder for the pictures; sub-folders as in the input")
    parser.add_argument("--dataset_dir", type=Path, help="where the names in the list start")
    parser.add_argument("--file_separator", help="stands between image and label in the list")
    add_workers_flag(parser)
    add_overwrite_flag(parser)
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    if args.dir_or_file.is_dir():
        root, names = args.dir_or_file, _names_in(args.dir_or_file, args.output_dir)
    elif args.dir_or_file.is_file():
        root, names = args.dataset_dir, _names_listed(args)
    else:
        raise UsageError(f"{args.dir_or_file}: no such folder or list file")
    refuse_same_folder(root, args.output_dir, "output_dir")
    targets = {name: Path(name).with_suffix(".png").as_posix() for name in names}
    by_target: dict[str, str] = {}
    for name, target in targets.items():
        if by_target.setdefault(target, name) != name:
            raise DataError(f"{root}: {by_target[target]} and {name} would both become {target}; rename one")
    write = functools.partial(_convert, root, args.output_dir, targets, args.overwrite)
    written = parallel(write, names, workers=args.num_workers, title="painting")
    print(f"{args.output_dir}: {made(sum(written), len(names), 'pictures')}")
    return 0


def _convert(root: Path, output: Path, targets: dict[str, str], overwrite: bool, name: str) -> bool:
    return write_new(output / targets[name], paint(root / name), overwrite=overwrite)


def _names_in(folder: Path, output: Path) -> list[str]:
    """Paths of the labels below a folder; an output folder in it is not looked into."""
    names = sorted(name for suffix in _FORMATS for name in find_files(folder, suffix, skip=output).values())
    if not names:
        listed = ", ".join(f".{suffix}" for suffix in _FORMATS)
        raise DataError(f"{folder}: holds no label picture; expected {listed} (JPEG blurs class ids)")
    return names


def _names_listed(args: argparse.Namespace) -> list[str]:
    """The labels of a list, as paths below the data set's folder."""
    if args.dataset_dir is None or not args.file_separator:
        raise UsageError(
            f"{args.dir_or_file}: is a list; it needs --dataset_dir and --file_separator (such as ' ')"
        )
    root = args.dataset_dir.resolve()
    names = []
    for number, line in enumerate(read_text(args.dir_or_file).splitlines(), start=1):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.strip().split(args.file_separator)]
        where = f"{args.dir_or_file}:{number}"
        if len(columns) != 2 or not all(columns):
            raise DataError(f"{where}: expected 'image{args.file_separator}label', got {line.strip()!r}")
        path = (root / columns[1]).resolve()
        if not path.is_relative_to(root):
            raise DataError(f"{where}: {columns[1]} is not in --dataset_dir {args.dataset_dir}")
        names.append(path.relative_to(root).as_posix())
    if not names:
        raise DataError(f"{args.dir_or_file}: the list is empty")
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    sys.exit(main())
