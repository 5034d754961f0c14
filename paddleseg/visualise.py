"""Pictures of labels: palettes, overlays, comparisons and the confusion matrix.

Pictures are H×W×3 uint8 in RGB order throughout; images may be H×W×1 too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from paddleseg.errors import UsageError

__all__ = [
    "color_map",
    "colourise",
    "confusion_picture",
    "overlay",
    "palette_png_of",
    "png_of",
    "side_by_side",
]

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]

_GREY = 224


def color_map(
    num: int = 256,
    custom: Sequence[int] | None = None,
    *,
    palette: Sequence[Sequence[int]] | None = None,
) -> Picture:
    """Makes the table from class id to colour.

    Without more, PaddleSeg's colours: those of PASCAL VOC, which spread a number's bits over the channels,
    from number 1 on, so that class 0 is dark red.

    Args:
        num: Number of colours.
        custom: Red, green, blue of class 0, then of class 1, … as ``--custom_color`` gives; the rest stay.
        palette: The data set's own colours (r, g, b); ``custom`` goes before them.

    Returns:
        num×3 uint8.

    Raises:
        UsageError: ``custom`` is not made of triples of 0..255, or has more than ``num``.
    """
    numbers = np.arange(1, num + 1)
    colors = np.zeros((num, 3), dtype=np.uint8)
    for group in range(8):
        bits = numbers[:, None] >> (3 * group + np.arange(3))
        colors |= ((bits & 1) << (7 - group)).astype(np.uint8)
    if palette is not None:
        colors[: len(palette)] = np.asarray(palette[:num], dtype=np.uint8)
    if custom:
        bytes_only = all(isinstance(value, int) and 0 <= value <= 255 for value in custom)
        if len(custom) % 3 or len(custom) > 3 * num or not bytes_only:
            raise UsageError(
                f"custom_color: expected red green blue of each class, whole numbers 0..255, for at most "
                f"{num} classes; got {len(custom)} values: {list(custom)[:12]}"
            )
        colors[: len(custom) // 3] = np.asarray(custom, dtype=np.uint8).reshape(-1, 3)
    return colors


def colourise(label: Labels, palette: Picture) -> Picture:
    """Paints class ids.

    Args:
        label: H×W ids from 0.
        palette: Colours by id, N×3 uint8.

    Returns:
        H×W×3; ids without a colour (ignored pixels) are black.
    """
    table = np.vstack([palette, np.zeros((1, 3), dtype=np.uint8)])
    return table[np.minimum(label.astype(np.int64), len(palette))]


def overlay(image: Picture, label: Labels, palette: Picture, alpha: float = 0.6) -> Picture:
    """Lays the painted labels over the image.

    Args:
        image: H×W×3 or H×W×1.
        label: H×W class ids.
        palette: Colours by id.
        alpha: Weight of the image; the colours get the rest. PaddleSeg's default.

    Returns:
        H×W×3.
    """
    painted = colourise(label, palette)
    return np.asarray(cv2.addWeighted(_in_rgb(image), alpha, painted, 1 - alpha, 0), dtype=np.uint8)


def side_by_side(
    image: Picture, label: Labels | None, prediction: Labels, palette: Picture, *, max_width: int = 2048
) -> Picture:
    """Puts an image, its true labels and the predicted ones next to each other.

    Args:
        image: H×W×3 or H×W×1.
        label: H×W true class ids; None leaves that panel out.
        prediction: H×W predicted class ids.
        palette: Colours by id.
        max_width: The whole is scaled down to this many pixels.

    Returns:
        The panels, separated by white lines.
    """
    maps = [prediction] if label is None else [label, prediction]
    line = np.full((image.shape[0], max(2, image.shape[1] // 100), 3), 255, dtype=np.uint8)
    panels = [_in_rgb(image)]
    for classes in maps:
        panels += [line, colourise(classes, palette)]
    picture = np.hstack(panels)
    height, width = picture.shape[:2]
    if width > max_width:
        size = (max_width, max(1, round(height * max_width / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return picture


def confusion_picture(
    matrix: npt.NDArray[np.int64], class_names: Sequence[str], *, cell: int = 44
) -> Picture:
    """Draws a confusion matrix: each row (true class) in per cent of its pixels.

    Args:
        matrix: C×C pixel counts, rows true, columns predicted.
        class_names: C names; one with letters that OpenCV's font lacks is written as its class number.
        cell: Side of a cell in pixels.

    Returns:
        A picture; rows of classes without a labelled pixel are grey.
    """
    names = [name if name.isascii() else str(c) for c, name in enumerate(class_names)]
    margin = 16 + max(_text_width(name) for name in names)
    totals = matrix.sum(axis=1)
    picture = np.full((margin + cell * len(names), margin + cell * len(names), 3), 255, dtype=np.uint8)
    for row, name in enumerate(names):
        _write_text(picture, name, margin - 8 - _text_width(name), margin + row * cell + cell // 2 + 4)
        for column in range(len(names)):
            share = matrix[row, column] / totals[row] if totals[row] else None
            top, left = margin + row * cell, margin + column * cell
            _draw_cell(picture[top : top + cell, left : left + cell], share)
    # Column names are written sideways: as rows of the picture turned by a quarter.
    turned = np.ascontiguousarray(np.rot90(picture, k=-1))
    for column, name in enumerate(names):
        left = turned.shape[1] - margin + 8
        _write_text(turned, name, left, margin + column * cell + cell // 2 + 4)
    return np.ascontiguousarray(np.rot90(turned))


def png_of(array: npt.NDArray[np.uint8 | np.uint16]) -> bytes:
    """Encodes a picture or class ids.

    Args:
        array: H×W×3 uint8 RGB, or H×W uint8 or uint16 (class ids).

    Returns:
        The bytes of a PNG file.
    """
    pixels = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    encoded, data = cv2.imencode(".png", pixels)
    assert encoded, f"not an image: {array.shape} {array.dtype}"
    return data.tobytes()


def palette_png_of(label: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], palette: Picture) -> bytes:
    """Encodes class ids together with their colours (mode P).

    Ids above a byte do not fit into a palette image: a label that is not uint8 is painted in RGB.

    Args:
        label: H×W ids.
        palette: Colours by id; at most 256 for a uint8 label.

    Returns:
        The bytes of a PNG file.
    """
    if label.dtype != np.uint8:
        return png_of(colourise(label, palette))
    picture = Image.fromarray(label)
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _in_rgb(image: Picture) -> Picture:
    """Pictures are in colour, also those of a grey image (H×W×1)."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _draw_cell(cell: Picture, share: float | None) -> None:
    """Paints one cell of the matrix in place: white to blue, with the per cent in it."""
    if share is None:
        cell[...] = _GREY
        return
    cell[...] = np.rint(255 - share * (255 - np.array([8, 48, 107])))
    if share >= 0.005:
        text = f"{100 * share:.0f}"
        left = (cell.shape[1] - _text_width(text)) // 2
        _write_text(cell, text, left, cell.shape[0] // 2 + 4, light=share > 0.5)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0])


def _write_text(picture: Picture, text: str, left: int, bottom: int, *, light: bool = False) -> None:
    color = (255, 255, 255) if light else (0, 0, 0)
    cv2.putText(picture, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)
