"""Divides a folder of images and a folder of labels by chance: writes train.txt, val.txt and test.txt.

Seven tenths of DATA/images with DATA/annotations for training, three for validation:
    python tools/split_dataset_list.py DATA images annotations
Other parts, and names that hold spaces:
    python tools/split_dataset_list.py DATA images annotations --split 0.8 0.1 0.1 --separator ';'

Images and labels pair by their names, at any depth. The same --seed gives the same lists everywhere; when
files are added, few others change from one list to another.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dataset_lists import add_pairing_flags, check_separator, list_bytes, pair_by_name
from dataset_tools import check_folder, new_parser, run_tool, write_files

from paddleseg.errors import DataError, UsageError

__all__ = ["divide", "main"]

_PARTS = ("train", "val", "test")


def divide(names: Sequence[str], shares: Sequence[float], seed: int) -> list[list[str]]:
    """Divides names by chance.

    Args:
        names: Each once.
        shares: Share of each part; together 1.
        seed: Another number, another division.

    Returns:
        The parts, sorted; their sizes are the shares rounded so that they add up.
    """
    # The order by hashes depends on the names alone: a name that is added takes its place among the others.
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode(errors="replace")).digest())
    ends = [round(total * len(order)) for total in itertools.accumulate(shares)]
    return [sorted(order[start:end]) for start, end in itertools.pairwise([0, *ends])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the lists are written, 2 when they cannot be, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("dataset_root", type=Path, help="folder of the data set; the lists go there")
    parser.add_argument("images_dir_name", help="folder of the images in it")
    parser.add_argument("labels_dir_name", help="folder of the labels in it")
    parser.add_argument(
        "--split",
        nargs=3,
        type=float,
        default=[0.7, 0.3, 0.0],
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares, together 1 (default: 0.7 0.3 0)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another number, another division (default: 0)")
    add_pairing_flags(parser)
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    check_separator(args.separator)
    if not all(0 <= share <= 1 for share in args.split) or abs(sum(args.split) - 1) > 1e-8:
        shares = " ".join(f"{share:g}" for share in args.split)
        raise UsageError(f"--split {shares}: expected three shares of 0 to 1 that are 1 together")
    root = args.dataset_root
    names = (Path(args.images_dir_name), Path(args.labels_dir_name))
    folders = (
        check_folder(root / names[0], "the folder of the images"),
        check_folder(root / names[1], "the folder of the labels"),
    )
    images, labels = pair_by_name(folders, args.format, args.postfix)
    if not labels:
        raise DataError(f"{folders[1]}: no file ends in {args.postfix[1]}.{args.format[1]}; see --format")
    parts = divide(list(images), args.split, args.seed)
    for part, share, keys in zip(_PARTS, args.split, parts, strict=True):
        if share and not keys:
            raise DataError(f"{folders[0]}: {len(images)} images are too few: {part} would get none of them")
    lists = {
        root / f"{part}.txt": list_bytes(
            [((names[0] / images[key]).as_posix(), (names[1] / labels[key]).as_posix()) for key in keys],
            args.separator,
        )
        for part, keys in zip(_PARTS, parts, strict=True)
    }
    write_files(lists, overwrite=args.overwrite)
    for path, keys in zip(lists, parts, strict=True):
        print(f"{path}: {len(keys)} pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
