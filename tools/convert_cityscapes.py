"""Draws the train ids of Cityscapes from its polygons: …_polygons.json becomes …_labelTrainIds.png beside it.

    python tools/convert_cityscapes.py --cityscapes_path data/cityscapes --num_workers 8

The folder holds gtFine/<part>/<city>/…_gtFine_polygons.json. tools/prepare_cityscapes.py makes the same files
faster from …_labelIds.png, and the lists as well; this tool serves own annotations in that format, too.
It may be interrupted at any time and run again.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
from dataset_tools import (
    add_overwrite_flag,
    add_workers_flag,
    check_folder,
    entry,
    made,
    new_parser,
    parallel,
    read_json,
    read_points,
    read_size,
    run_tool,
    write_new,
)
from PIL import Image, ImageDraw

from paddleseg.data.datasets.cityscapes import TRAIN_CLASSES
from paddleseg.errors import DataError, did_you_mean
from paddleseg.visualise import png_of

__all__ = ["TRAIN_IDS", "draw_train_ids", "main"]

_END = "_polygons.json"
_IGNORED = 255
_NOT_EVALUATED = (
    "unlabeled",
    "ego vehicle",
    "rectification border",
    "out of roi",
    "static",
    "dynamic",
    "ground",
    "parking",
    "rail track",
    "guard rail",
    "bridge",
    "tunnel",
    "polegroup",
    "caravan",
    "trailer",
)
_NOT_DRAWN = "license plate"
TRAIN_IDS = {
    **{name: train_id for train_id, (name, _, _) in enumerate(TRAIN_CLASSES)},
    **dict.fromkeys(_NOT_EVALUATED, _IGNORED),
}
"""Train id by name of the label, from cityscapesScripts helpers/labels.py."""


def draw_train_ids(source: Path) -> npt.NDArray[np.uint8]:
    """Draws the polygons of a file, later ones over earlier ones (cityscapesScripts json2labelImg.py).

    Args:
        source: A file ``…_polygons.json``.

    Returns:
        [H, W] train ids; 255 where there is no polygon, or one of a class that is not evaluated.

    Raises:
        DataError: The file is damaged or names an unknown label.
    """
    tree = read_json(source)
    picture = Image.new("L", read_size(tree, ("imgWidth", "imgHeight"), str(source)), _IGNORED)
    canvas = ImageDraw.Draw(picture)
    for index, item in enumerate(entry(tree, "objects", list, str(source))):
        where = f"{source}: objects[{index}]"
        label = entry(item, "label", str, where)
        if item.get("deleted"):
            continue
        if label not in TRAIN_IDS and label.endswith("group"):  # several things as one, such as cargroup
            label = label.removesuffix("group")
        if label == _NOT_DRAWN:
            continue
        if label not in TRAIN_IDS:
            raise DataError(f"{where}: unknown label '{label}'{did_you_mean(label, TRAIN_IDS)}")
        points = read_points(item, "polygon", where)
        if len(points) < 2:
            raise DataError(f"{where}: the polygon has {len(points)} point(s), expected at least 2")
        canvas.polygon(points, fill=TRAIN_IDS[label])
    return np.asarray(picture)


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
    parser.add_argument("--cityscapes_path", type=Path, required=True, help="folder that holds gtFine/")
    add_workers_flag(parser)
    add_overwrite_flag(parser)
    args = parser.parse_args(arguments)
    folder = check_folder(args.cityscapes_path / "gtFine", "the annotations; --cityscapes_path holds gtFine/")
    sources = sorted(path for path in folder.glob(f"*/*/*{_END}") if not path.name.startswith("."))
    if not sources:
        raise DataError(f"{folder}: holds no <part>/<city>/…{_END}; unpack gtFine_trainvaltest.zip there")
    convert = functools.partial(_convert, args)
    written = parallel(convert, sources, workers=args.num_workers, title="drawing")
    print(f"{folder}: {made(sum(written), len(sources), 'label pictures')}")
    return 0


def _convert(args: argparse.Namespace, source: Path) -> bool:
    target = source.with_name(source.name.removesuffix(_END) + "_labelTrainIds.png")
    return write_new(target, png_of(draw_train_ids(source)), overwrite=args.overwrite)


if __name__ == "__main__":
    sys.exit(main())
