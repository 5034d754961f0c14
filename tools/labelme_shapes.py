"""Shapes of labelme, read from its JSON files and drawn as labelme draws them (labelme utils/shape.py)."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from dataset_tools import entry, read_points
from PIL import Image, ImageDraw

from paddleseg.errors import DataError

__all__ = ["Shape", "decode_base64", "draw_shapes", "read_shapes"]

_LINE_WIDTH, _POINT_RADIUS = 10, 5
# How many points a shape has: exactly, or at least.
_EXACTLY = {"point": 1, "line": 2, "circle": 2, "rectangle": 2, "mask": 2, "oriented_rectangle": 4}
_AT_LEAST = {"polygon": 3, "linestrip": 2}
_Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One shape of an annotation.

    Attributes:
        label: Name of its class.
        kind: ``polygon``, ``rectangle``, ``circle``, …
        points: [x, y] in pixels of the upright image.
        mask: Pixels of a shape ``mask``, [H, W] bool; else None.
    """

    label: str
    kind: str
    points: tuple[_Point, ...]
    mask: npt.NDArray[np.bool_] | None = None


def read_shapes(tree: Mapping[str, Any], where: str) -> list[Shape]:
    """Reads and checks the shapes of a labelme file.

    Args:
        tree: Content of the file.
        where: Its name, for messages.

    Returns:
        The shapes in their order.

    Raises:
        DataError: It is no labelme file, or a shape cannot be drawn.
    """
    if "shapes" not in tree:
        raise DataError(
            f"{where}: holds no 'shapes', so it is no labelme annotation; take it out of the folder"
        )
    shapes = entry(tree, "shapes", list, where)
    return [_read_shape(shape, f"{where}: shapes[{index}]") for index, shape in enumerate(shapes)]


def _read_shape(tree: Any, where: str) -> Shape:
    label = entry(tree, "label", str, where)
    where = f"{where} ({label!r})"
    if not label or label != label.strip() or not label.isprintable():
        raise DataError(f"{where}: the label is empty, or begins or ends with a space; correct it in labelme")
    kind = tree.get("shape_type") or "polygon"  # labelme 3 did not name it
    points = tuple(read_points(tree, "points", where))
    kind = str(kind)
    exactly, at_least = _EXACTLY.get(kind), _AT_LEAST.get(kind)
    if exactly is None and at_least is None:
        known = ", ".join(sorted({*_EXACTLY, *_AT_LEAST}))
        raise DataError(f"{where}: unknown shape_type {kind[:40]!r}, expected one of {known}")
    if len(points) != exactly if exactly is not None else len(points) < (at_least or 0):
        count = exactly if exactly is not None else f"at least {at_least}"
        raise DataError(
            f"{where}: a {kind} of {len(points)} point(s), expected {count}; correct it in labelme"
        )
    return Shape(label, kind, points, _read_mask(tree, points, where) if kind == "mask" else None)


def _read_mask(tree: Any, points: Sequence[_Point], where: str) -> npt.NDArray[np.bool_]:
    """The pixels of a shape ``mask``; whole-numbered corners cut them."""
    data = decode_base64(entry(tree, "mask", str, where), f"{where}: mask")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            mask = np.asarray(picture)
    except Exception as error:  # whatever a damaged picture makes of Pillow
        raise DataError(f"{where}: the mask is no readable picture ({error})") from error
    if mask.ndim != 2:
        raise DataError(f"{where}: the mask has several channels, expected one")
    (left, top), (right, bottom) = points
    if all(float(number).is_integer() for point in points for number in point):
        height, width = int(bottom - top) + 1, int(right - left) + 1
        if not (0 < height <= mask.shape[0] and 0 < width <= mask.shape[1]):
            raise DataError(
                f"{where}: a mask of {mask.shape[1]}×{mask.shape[0]} pixels between corners {width}×{height} "
                "apart"
            )
        mask = mask[:height, :width]
    return mask.astype(bool)


def decode_base64(text: str, where: str) -> bytes:
    """Decodes what a JSON file holds of a binary file.

    Raises:
        DataError: It is not base64.
    """
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: is not base64 ({error})") from error


def draw_shapes(
    size: tuple[int, int], shapes: Sequence[Shape], ids: Mapping[str, int]
) -> npt.NDArray[np.uint8]:
    """Draws shapes, later ones over earlier ones.

    Args:
        size: Width and height.
        shapes: What to draw.
        ids: Class id by label.

    Returns:
        [H, W] class ids; 0 where nothing is drawn.
    """
    picture = Image.new("L", size, 0)
    canvas = ImageDraw.Draw(picture)
    for shape in shapes:
        if shape.mask is not None:
            left, top = (round(number) for number in shape.points[0])
            picture.paste(ids[shape.label], (left, top), Image.fromarray(shape.mask))
        else:
            _draw(canvas, shape, ids[shape.label])
    return np.asarray(picture)


def _draw(canvas: ImageDraw.ImageDraw, shape: Shape, value: int) -> None:
    points = list(shape.points)
    if shape.kind == "circle":  # its centre, and a point on it
        canvas.ellipse(_box(points[0], math.dist(*points)), fill=value, outline=value)
    elif shape.kind == "point":
        canvas.ellipse(_box(points[0], _POINT_RADIUS), fill=value, outline=value)
    elif shape.kind == "rectangle":  # two opposite corners in any order
        (left, right), (top, bottom) = (sorted(numbers) for numbers in zip(*points, strict=True))
        canvas.rectangle((left, top, right, bottom), fill=value, outline=value)
    elif shape.kind == "line":
        canvas.line(points, fill=value, width=_LINE_WIDTH)
    elif shape.kind == "linestrip":
        canvas.line(points, fill=value, width=_LINE_WIDTH, joint="curve")
    else:
        canvas.polygon(points, fill=value, outline=value)


def _box(centre: _Point, radius: float) -> tuple[float, float, float, float]:
    x, y = centre
    return x - radius, y - radius, x + radius, y + radius
