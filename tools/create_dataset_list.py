"""Writes train.txt, val.txt and test.txt for a data set that is in folders train, val and test already.

Own data, DATA/images/train/a.jpg with DATA/annotations/train/a.png:
    python tools/create_dataset_list.py DATA
Labels named a_mask.png, in folders of other names, and no test set:
    python tools/create_dataset_list.py DATA --folder photos masks --postfix '' _mask \\
        --second_folder train val
Cityscapes, after tools/convert_cityscapes.py:
    python tools/create_dataset_list.py data/cityscapes --type cityscapes

Images and labels pair by their names, at any depth. Where a part has no label at all, its images are listed
alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dataset_lists import add_pairing_flags, check_separator, list_bytes, pair_by_name
from dataset_tools import check_folder, new_parser, run_tool, write_files

from paddleseg.errors import DataError, UsageError

__all__ = ["main"]

_PARTS = ("train", "val", "test")


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
    parser.add_argument(
        "--type", choices=("custom", "cityscapes"), default="custom", help="cityscapes sets the next flags"
    )
    parser.add_argument(
        "--folder",
        nargs=2,
        default=["images", "annotations"],
        metavar=("IMAGES", "LABELS"),
        help="names of the two folders (default: images annotations)",
    )
    parser.add_argument(
        "--second_folder",
        nargs="+",
        metavar="PART",
        help="the folders in them, one for each list (default: those of train val test that are there)",
    )
    add_pairing_flags(parser)
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    check_separator(args.separator)
    root = check_folder(args.dataset_root, "the data set's folder")
    if args.type == "cityscapes":
        args.folder, args.format = ["leftImg8bit", "gtFine"], ["png", "png"]
        args.postfix = ["_leftImg8bit", "_gtFine_labelTrainIds"]
    check_folder(root / args.folder[0], "the folder of the images; see --folder")
    rows = {part: _rows(args, part) for part in _parts(args)}
    lists = {root / f"{part}.txt": list_bytes(found, args.separator) for part, found in rows.items()}
    write_files(lists, overwrite=args.overwrite)
    for (path, _), found in zip(lists.items(), rows.values(), strict=True):
        what = "pairs" if len(found[0]) == 2 else f"images, no labels (none in {root / args.folder[1]} fits)"
        print(f"{path}: {len(found)} {what}")
    return 0


def _parts(args: argparse.Namespace) -> list[str]:
    """The parts to list; named ones must be there."""
    images = args.dataset_root / args.folder[0]
    if args.second_folder is None:
        found = [part for part in _PARTS if (images / part).is_dir()]
        if not found:
            raise DataError(
                f"{images}: holds no folder train, val or test; name them with --second_folder, or let "
                "tools/split_dataset_list.py divide the images"
            )
        return found
    for part in args.second_folder:
        if Path(part).name != part:
            raise UsageError(f"--second_folder {part!r}: expected the name of a folder")
        check_folder(images / part, "a folder of images; see --second_folder")
    return list(dict.fromkeys(args.second_folder))


def _rows(args: argparse.Namespace, part: str) -> list[tuple[str, ...]]:
    """The lines of a list: paths from the data set's folder."""
    folders = [Path(folder, part) for folder in args.folder]
    paths = (args.dataset_root / folders[0], args.dataset_root / folders[1])
    images, labels = pair_by_name(paths, args.format, args.postfix)
    image_names = {key: (folders[0] / name).as_posix() for key, name in images.items()}
    if not labels:
        return [(name,) for name in image_names.values()]
    return [(name, (folders[1] / labels[key]).as_posix()) for key, name in image_names.items()]


if __name__ == "__main__":
    sys.exit(main())
