"""Numbers the classes of COCO-Stuff 164k from 0 to 170 without gaps.

    python tools/convert_cocostuff.py --annotation_path data/cocostuff/annotations \\
        --save_path data/cocostuff/convert_annotations

The annotation folder holds train2017/ and val2017/ with the pictures of stuffthingmaps_trainval2017.zip; the
folder of the results is laid out likewise. The data set type CocoStuff also reads the downloaded pictures
themselves, from a folder stuffthingmaps/. It may be interrupted at any time and run again.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import numpy.typing as npt
from dataset_tools import (
    add_overwrite_flag,
    add_workers_flag,
    check_folder,
    made,
    new_parser,
    parallel,
    refuse_same_folder,
    run_tool,
    write_new,
)

from paddleseg.data.datasets.coco_stuff import LABEL_ID_TO_CLASS
from paddleseg.data.datasets.coco_stuff_classes import LABEL_IDS
from paddleseg.data.masks import read_label, wrong_values
from paddleseg.errors import DataError
from paddleseg.visualise import png_of

__all__ = ["convert_label", "main"]

_PARTS = ("train2017", "val2017")
_ALLOWED = (*LABEL_IDS, 255)


def convert_label(source: Path) -> npt.NDArray[np.uint8]:
    """Maps a downloaded label picture.

    Args:
        source: Its values are 0 to 181 without eleven that have no annotation, and 255 for unlabelled.

    Returns:
        [H, W] classes 0 to 170, and 255.

    Raises:
        DataError: It cannot be read or holds another value.
    """
    label = read_label(str(source))
    if unknown := wrong_values(label, _ALLOWED):
        raise DataError(
            f"{source}: holds {str(unknown[:8])[1:-1]}, which COCO-Stuff does not use: is it a file of "
            "stuffthingmaps_trainval2017.zip, not converted already?"
        )
    return np.asarray(cv2.LUT(label.astype(np.uint8, copy=False), LABEL_ID_TO_CLASS), dtype=np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the labels are there, 2 when they cannot be made, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _main(arguments: Sequence[str]) -> int:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--annotation_path",
        type=Path,
        default=Path("annotations"),
        help="folder of the downloaded labels (default: annotations)",
    )
    parser.add_argument(
        "--save_path",
        type=Path,
        default=Path("convert_annotations"),
        help="folder of the results (default: convert_annotations)",
    )
    add_workers_flag(parser)
    add_overwrite_flag(parser)
    args = parser.parse_args(arguments)
    source = check_folder(args.annotation_path, "the downloaded labels; see --annotation_path")
    refuse_same_folder(source, args.save_path, "--save_path")
    names = [
        Path(part, path.name)
        for part in _PARTS
        for path in sorted((source / part).glob("*.png"))
        if not path.name.startswith(".")
    ]
    if not names:
        raise DataError(f"{source}: holds no train2017/*.png and no val2017/*.png")
    convert = functools.partial(_convert, args)
    written = parallel(convert, names, workers=args.num_workers, title="mapping")
    counts = ", ".join(f"{part} {sum(name.parts[0] == part for name in names)}" for part in _PARTS)
    print(f"{args.save_path}: {made(sum(written), len(names), 'labels')}; {counts}")
    return 0


def _convert(args: argparse.Namespace, name: Path) -> bool:
    data = png_of(convert_label(args.annotation_path / name))
    return write_new(args.save_path / name, data, overwrite=args.overwrite)


if __name__ == "__main__":
    sys.exit(main())
