"""Makes a data set from labelme's annotations: photographs with a .json file each.

    python tools/labelme2seg.py photos data/mine
    python tools/split_dataset_list.py data/mine images annotations

Writes data/mine/images/a.jpg, data/mine/annotations/a.png (class ids, with colours to look at) and
data/mine/class_names.txt: line 1 is class 0, `_background_`, which is all that no shape covers. The other
classes are numbered as they appear, file by file in the order of names; --classes gives another order, such
as that of an earlier class_names.txt. What is labelled `__ignore__` becomes 255 and takes no part.

Shapes are drawn as labelme does, in their order, so that later ones cover earlier ones. An image is the file
that `imagePath` names, or else the `imageData` in the .json. A photograph that its EXIF data turns is upright
in labelme and in training, so its label is upright, too.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dataset_lists import find_files
from dataset_tools import (
    add_overwrite_flag,
    add_workers_flag,
    check_folder,
    entry,
    made,
    new_parser,
    parallel,
    read_bytes,
    read_json,
    read_text,
    refuse_same_folder,
    run_tool,
    write_new,
)
from labelme_shapes import Shape, decode_base64, draw_shapes, read_shapes

from paddleseg.data.images import decode_pixels
from paddleseg.errors import DataError, OutputError, UsageError, did_you_mean
from paddleseg.visualise import color_map, palette_png_of

__all__ = ["Annotation", "Summary", "class_ids", "main", "read_annotation"]

_BACKGROUND, _IGNORE = "_background_", "__ignore__"
_IGNORED = 255
_PICTURES = ("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp")
_STARTS = {b"\x89PNG": (".png",), b"\xff\xd8\xff": (".jpg", ".jpeg")}


@dataclass(frozen=True)
class Annotation:
    """What a labelme file says.

    Attributes:
        source: The file.
        key: Its path below the input folder, without ``.json``.
        shapes: What is drawn.
        size: Width and height of the image; None where an old labelme did not say.
        image: The image file; None where the JSON file holds the image.
        embedded: That image; None where there is a file.
        suffix: How the image's name ends.
    """

    source: Path
    key: str
    shapes: list[Shape]
    size: tuple[Any, Any] | None
    image: Path | None
    embedded: bytes | None
    suffix: str


@dataclass(frozen=True)
class Summary:
    """What is kept of an annotation until all are read: shapes and images would fill the memory.

    Attributes:
        source: The file.
        labels: Of its shapes, each once, in their order.
        image: The image file; None where the JSON file holds the image.
    """

    source: Path
    labels: tuple[str, ...]
    image: Path | None


def read_annotation(folder: Path, key: str) -> Annotation:
    """Reads and checks a labelme file.

    Args:
        folder: The input folder.
        key: Path of the file below it, without ``.json``.

    Raises:
        DataError: It is no labelme file, is damaged, or its image is missing.
    """
    source = folder / f"{key}.json"
    tree = read_json(source)
    shapes = read_shapes(tree, str(source))
    path = PureWindowsPath(entry(tree, "imagePath", str, str(source)))  # reads both kinds of slashes
    image = source.parent / path.as_posix()
    width, height = tree.get("imageWidth"), tree.get("imageHeight")
    size = None if width is None or height is None else (width, height)
    if path.name and image.is_file():
        return Annotation(source, key, shapes, size, image, None, path.suffix)
    if not tree.get("imageData"):
        raise DataError(
            f"{source}: its image {image} does not exist, and there is no imageData in the file; put it "
            "there, or correct imagePath"
        )
    data = decode_base64(entry(tree, "imageData", str, str(source)), f"{source}: imageData")
    suffixes = next((ends for first, ends in _STARTS.items() if data.startswith(first)), None)
    if suffixes is None:
        raise DataError(
            f"{source}: imageData is no PNG or JPEG picture, and the image {image} does not exist"
        )
    suffix = path.suffix if path.suffix.lower() in suffixes else suffixes[0]
    return Annotation(source, key, shapes, size, None, data, suffix)


def _summarise(folder: Path, key: str) -> Summary:
    annotation = read_annotation(folder, key)
    labels = dict.fromkeys(shape.label for shape in annotation.shapes)
    return Summary(annotation.source, tuple(labels), annotation.image)


def class_ids(annotations: Sequence[Summary], given: Sequence[str] | None) -> dict[str, int]:
    """Numbers the classes; ``_background_`` is 0, ``__ignore__`` 255.

    Args:
        annotations: All of them.
        given: Names in the wanted order; None for the order in which they appear.

    Raises:
        DataError: There are too many, or a label is not among the given ones.
    """
    names = [label for annotation in annotations for label in annotation.labels]
    wanted = dict.fromkeys([_BACKGROUND, *(names if given is None else given)])
    wanted.pop(_IGNORE, None)
    for annotation in annotations:
        for label in annotation.labels:
            if label not in wanted and label != _IGNORE:
                near = did_you_mean(label, wanted)
                raise DataError(f"{annotation.source}: label '{label}' is not in --classes{near}")
    if len(wanted) > _IGNORED:
        raise DataError(f"{len(wanted)} classes, expected at most {_IGNORED}: a label picture has 8 bits")
    return {**{name: index for index, name in enumerate(wanted)}, _IGNORE: _IGNORED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the data set is there, 2 when it cannot be made, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("input_dir", type=Path, help="folder of .json files and images, at any depth")
    parser.add_argument("output_dir", type=Path, help="folder of the data set")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the classes, one a line")
    add_workers_flag(parser)
    add_overwrite_flag(parser)
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    check_folder(args.input_dir, "the folder with labelme's .json files")
    refuse_same_folder(args.input_dir, args.output_dir, "output_dir")
    keys = list(find_files(args.input_dir, "json", skip=args.output_dir))
    if not keys:
        raise DataError(f"{args.input_dir}: holds no .json file; annotate the photographs with labelme first")
    summarise = functools.partial(_summarise, args.input_dir)
    annotations = parallel(summarise, keys, workers=args.num_workers, title="reading")
    ids = class_ids(annotations, None if args.classes is None else _read_classes(args.classes))
    names = [name for name in ids if name != _IGNORE]
    _write_names(args.output_dir / "class_names.txt", names, overwrite=args.overwrite)
    convert = functools.partial(_convert, args.input_dir, args.output_dir, ids, args.overwrite)
    written = parallel(convert, keys, workers=args.num_workers, title="drawing")
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    print(f"{args.output_dir}: {made(sum(written), len(keys), 'pairs')}; {len(names)} classes: {listed}")
    if left := _without_annotation(args, annotations):
        print(f"{args.input_dir}: left out, as they have no .json file: {left} picture(s)")
    return 0


def _read_classes(path: Path) -> list[str]:
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not names:
        raise UsageError(f"--classes {path}: the file names no class")
    return names


def _write_names(path: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Writes the classes, before any label: labels with two numberings must not meet in one folder."""
    if path.is_file() and not overwrite:
        before = read_text(path).splitlines()
        if list(names[: len(before)]) != before:
            raise OutputError(
                f"{path}: numbers the classes otherwise: {', '.join(before[:20])}; keep this order with "
                "--classes and a copy of that file, new names at its end, or renew all with --overwrite"
            )
    write_new(path, "".join(f"{name}\n" for name in names).encode(), overwrite=True)


def _convert(folder: Path, output: Path, ids: dict[str, int], overwrite: bool, key: str) -> bool:
    """Writes an image and its label; says whether one of them was not there."""
    annotation = read_annotation(folder, key)
    source = annotation.source
    data = read_bytes(annotation.image) if annotation.image is not None else annotation.embedded or b""
    name = str(annotation.image or f"{source}: imageData")
    height, width = decode_pixels(data, name).shape[:2]
    if annotation.size not in (None, (width, height)):
        turned = annotation.size == (height, width)
        cause = "it was annotated lying, and EXIF data turns it" if turned else "was it replaced or resized?"
        says = " × ".join(map(str, annotation.size or ()))
        raise DataError(
            f"{source}: drawn on an image of {says} pixels, {name} has {width} × {height}: {cause}"
        )
    label = palette_png_of(draw_shapes((width, height), annotation.shapes, ids), color_map())
    # Both take the name of the .json file, so that they pair by name whatever the image was called.
    new_label = write_new(output / "annotations" / f"{annotation.key}.png", label, overwrite=overwrite)
    image = output / "images" / f"{annotation.key}{annotation.suffix}"
    return write_new(image, data, overwrite=overwrite) or new_label


def _without_annotation(args: argparse.Namespace, annotations: Sequence[Summary]) -> int:
    used = {annotation.image.resolve() for annotation in annotations if annotation.image is not None}
    pictures = [
        (args.input_dir / name).resolve()
        for suffix in _PICTURES
        for name in find_files(args.input_dir, suffix, skip=args.output_dir).values()
    ]
    return len(set(pictures) - used)


if __name__ == "__main__":
    sys.exit(main())
