"""Makes the labels of Pascal Context (59 classes and background) from its annotation file.

    python tools/convert_voc2010.py --voc_path data/VOCdevkit/VOC2010 --annotation_path data/VOCdevkit/VOC2010

Download first: VOCtrainval_03-May-2010.tar (makes VOCdevkit/VOC2010) and trainval_merged.json, which is read
here without the `detail` package. Writes VOC2010/Context/<image>.png and VOC2010/ImageSets/Segmentation/
{train,val,trainval}_context.txt. Class 0 is the background. It may be interrupted at any time and run again.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    read_size,
    run_tool,
    write_files,
    write_new,
)
from run_lengths import decode_mask

from paddleseg.data.datasets.pairs import name_some
from paddleseg.errors import DataError
from paddleseg.visualise import png_of

__all__ = ["CATEGORIES", "draw_label", "main"]

CATEGORIES = (
    0, 2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115,
    144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349,
    354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip
"""Category ids of the annotation file; their places are the classes (Mottaghi et al., CVPR 2014)."""
_CLASS_OF = {category: place for place, category in enumerate(CATEGORIES)}
_PHASES = ("train", "val")


def draw_label(
    size: tuple[int, int], annotations: Sequence[dict[str, Any]], where: str
) -> npt.NDArray[np.uint8]:
    """Draws the annotations of an image, later ones over earlier ones (detail's ``getMask``).

    Args:
        size: Width and height of the image.
        annotations: Entries of ``annos_segmentation``.
        where: What messages call the image.

    Returns:
        [H, W] classes 0 to 59.

    Raises:
        DataError: An annotation is damaged or of an unknown category.
    """
    width, height = size
    label = np.zeros((height, width), dtype=np.uint8)
    for annotation in annotations:
        place = f"{where}: annotation {annotation.get('id')}"
        category = entry(annotation, "category_id", int, place)
        if category not in _CLASS_OF:
            raise DataError(f"{place}: category {category} is none of Pascal Context's 59 and background")
        mask = decode_mask(entry(annotation, "segmentation", dict, place), place)
        if mask.shape != label.shape:
            raise DataError(f"{place}: a mask of {mask.shape[1]}×{mask.shape[0]}, the image {width}×{height}")
        label[mask] = _CLASS_OF[category]
    return label


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when labels and lists are there, 2 when they cannot be made, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--voc_path", type=Path, required=True, help="folder that holds JPEGImages/")
    parser.add_argument(
        "--annotation_path",
        type=Path,
        help="folder that holds trainval_merged.json (default: that of --voc_path)",
    )
    add_workers_flag(parser)
    add_overwrite_flag(parser)
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    images = check_folder(args.voc_path / "JPEGImages", "the images of VOC 2010; see --voc_path")
    source = (args.annotation_path or args.voc_path) / "trainval_merged.json"
    if not source.is_file():
        raise DataError(
            f"{source}: no such file; download Pascal Context's annotations; see --annotation_path"
        )
    print(f"reading {source} (this takes a while)", flush=True)
    tree = read_json(source)
    wanted = _wanted_images(tree, source)
    there = {path.name for path in images.glob("*.jpg")}
    if missing := [name for names in wanted.values() for name, _ in names.values() if name not in there]:
        raise DataError(f"{images}: lacks {len(missing)} images of {source.name}:\n{name_some(missing)}")
    drawings = _drawings(tree, wanted, source)
    target = args.voc_path / "Context"
    convert = functools.partial(_convert, target, args.overwrite)
    written = parallel(convert, drawings, workers=args.num_workers, title="drawing")
    lists = {phase: sorted(Path(name).stem for name, _ in wanted[phase].values()) for phase in _PHASES}
    lists["trainval"] = sorted(lists["train"] + lists["val"])
    folder = args.voc_path / "ImageSets" / "Segmentation"
    files = {
        folder / f"{part}_context.txt": "".join(f"{name}\n" for name in names).encode()
        for part, names in lists.items()
    }
    write_files(files, overwrite=args.overwrite)
    counts = ", ".join(f"{part} {len(names)}" for part, names in lists.items())
    print(f"{target}: {made(sum(written), len(drawings), 'labels')}; lists: {counts}")
    return 0


_Image = tuple[str, tuple[int, int]]


def _wanted_images(tree: dict[str, Any], source: Path) -> dict[str, dict[int, _Image]]:
    """Name and size of the images of train and of val, by their ids."""
    wanted: dict[str, dict[int, _Image]] = {phase: {} for phase in _PHASES}
    names, numbers = set(), set()
    for index, image in enumerate(entry(tree, "images", list, str(source))):
        where = f"{source}: images[{index}]"
        phase = entry(image, "phase", str, where)
        name = entry(image, "file_name", str, where)
        if Path(name).name != name or not name.endswith(".jpg") or name in names:
            raise DataError(f"{where}: file_name {name!r}, expected another name of a .jpg file each")
        names.add(name)
        number = entry(image, "image_id", int, where)
        if number in numbers:
            raise DataError(f"{where}: image_id {number} is another image's, too")
        numbers.add(number)
        if phase in wanted:
            wanted[phase][number] = (name, read_size(image, ("width", "height"), where))
    if not all(wanted.values()):
        raise DataError(f"{source}: names no images of phase train or none of val")
    return wanted


_Drawing = tuple[_Image, list[dict[str, Any]], str]


def _drawings(tree: dict[str, Any], wanted: dict[str, dict[int, _Image]], source: Path) -> list[_Drawing]:
    """Each image with its annotations."""
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for index, annotation in enumerate(entry(tree, "annos_segmentation", list, str(source))):
        where = f"{source}: annos_segmentation[{index}]"
        by_image[entry(annotation, "image_id", int, where)].append(annotation)
    return [
        (image, by_image[number], f"{source}: {image[0]}")
        for images in wanted.values()
        for number, image in images.items()
    ]


def _convert(folder: Path, overwrite: bool, drawing: _Drawing) -> bool:
    (name, size), annotations, where = drawing
    data = png_of(draw_label(size, annotations, where))
    return write_new(folder / f"{Path(name).stem}.png", data, overwrite=overwrite)


if __name__ == "__main__":
    sys.exit(main())
