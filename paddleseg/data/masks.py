"""Reading of label files, and the likely cause where they hold something else than class ids."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from paddleseg.data.images import decode_silently
from paddleseg.data.transforms.sample import ByteImage, LabelArray
from paddleseg.errors import DataError

__all__ = ["check_label", "read_colours", "read_label", "read_mask", "wrong_values"]

# Pillow modes of one channel of whole numbers; P holds palette indices, which are the class ids.
_ID_MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B")
_ID_AND_ALPHA_MODES = ("LA", "PA")
_COLOUR_MODES = ("RGB", "RGBA", "RGBX")
_TIFF_BITS = 258

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH_AND_COLOUR = slice(24, 26)  # in a PNG's header
_GREY, _DEEP_COLOURS = b"\x08\x00", (b"\x10\x02", b"\x10\x04", b"\x10\x06")
_SCALED = (b"\x02\x00", b"\x04\x00")  # grey of 2 or 4 bits: decoders make 0, 85, 170, 255 of 0, 1, 2, 3
_DECODING_ERRORS = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_mask(path: str) -> NDArray[Any]:
    """Decodes a label file as it is.

    A file of several channels that are all equal counts as one of ids; alpha is dropped, and an orientation
    in EXIF data is not applied.

    Args:
        path: Any lossless file: grey or palette (its indices are read; of a GIF's greys their values), or
            colours.

    Returns:
        [H, W] uint8 values, of grey files with 16 or 32 bits int32; or [H, W, 3] uint8 colours in RGB.

    Raises:
        DataError: The file is missing, unreadable, in a lossy format or of a kind that cannot hold ids.
    """
    data = _read_bytes(path)
    if data.startswith(_PNG) and data[_DEPTH_AND_COLOUR] in _SCALED:
        raise DataError(
            f"{path}: a label of {data[_DEPTH_AND_COLOUR][0]}-bit grey, which programs read as ids or as "
            "grey levels; save it as a PNG of 8 bits or with a palette"
        )
    try:
        if (values := _decode_png(data, _GREY, cv2.IMREAD_GRAYSCALE)) is not None:
            return values
        with Image.open(io.BytesIO(data)) as image:
            _refuse_lossy(path, _lossy_kind(image))
            mode, deep = image.mode, _is_deep_colour(image, data)
            pixels = None if deep else _pixels(image)
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error
    if pixels is None:
        kind = "16-bit colours" if deep else "decimal numbers" if mode == "F" else f"mode {mode}"
        raise DataError(f"{path}: a label of {kind} cannot hold class ids; save it as a grey or palette PNG")
    if pixels.ndim == 3 and _is_grey(pixels):
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def read_label(path: str) -> LabelArray:
    """Decodes a mask whose pixel values are class ids: :func:`read_mask`, without colours.

    Returns:
        [H, W] uint8, of files of 16 or 32 bits int32.

    Raises:
        DataError: As of :func:`read_mask`, or the file holds colours.
    """
    label = read_mask(path)
    if label.ndim == 3:
        raise DataError(
            f"{path}: the label is a colour mask, expected one channel of class ids; name the colours of the "
            "classes in color_map, or save it as a grey or palette PNG of ids 0, 1, 2 …"
        )
    return label


def read_colours(path: str) -> ByteImage:
    """Decodes a mask whose colours stand for classes; grey and palette files become RGB.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DataError: The file is missing, unreadable, in a lossy format or of more than 8 bits a channel.
    """
    data = _read_bytes(path)
    try:
        for kind in (b"\x08\x02", b"\x08\x06", b"\x08\x03", _GREY):
            if (colours := _decode_png(data, kind, cv2.IMREAD_COLOR_RGB)) is not None:
                return colours
        with Image.open(io.BytesIO(data)) as image:
            _refuse_lossy(path, _lossy_kind(image))
            mode = image.mode
            if mode in ("1", "L", "LA", "P", "PA", *_COLOUR_MODES) and not _is_deep_colour(image, data):
                return np.ascontiguousarray(np.asarray(image.convert("RGBA"))[..., :3])
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error
    raise DataError(f"{path}: a label whose colours are classes needs 8 bits a channel, got mode {mode}")


def _pixels(image: Image.Image) -> NDArray[Any] | None:
    if image.format == "GIF" and image.mode == "P" and _is_grey(np.asarray(image.convert("RGB"))):
        return np.asarray(image.convert("L"))  # a GIF of greys has them in an order of its own
    if image.mode in _ID_MODES:
        values = np.asarray(image)
        return values.astype(np.uint8) if values.dtype.itemsize == 1 else values.astype(np.int32)
    if image.mode in _ID_AND_ALPHA_MODES:
        return np.asarray(image.getchannel(0))
    return np.asarray(image)[..., :3] if image.mode in _COLOUR_MODES else None


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Whether there are 16 bits a channel in colour, of which Pillow reads the upper 8."""
    if data.startswith(_PNG):
        return data[_DEPTH_AND_COLOUR] in _DEEP_COLOURS
    bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))
    return len(bits) > 1 and max(bits) > 8


def _is_grey(pixels: NDArray[Any]) -> bool:
    red = pixels[..., 0]
    return np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2])


def _decode_png(data: bytes, kind: bytes, flag: int) -> ByteImage | None:
    """A PNG of a kind, by OpenCV as a sixth faster; None of other files, and of damaged ones."""
    if not (data.startswith(_PNG) and data[_DEPTH_AND_COLOUR] == kind):
        return None
    try:
        return decode_silently(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _read_bytes(path: str) -> bytes:
    if not Path(path).is_file():
        raise DataError(f"{path}: no such label file")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise DataError(f"{path}: the label file is empty (0 bytes); copy or export it again")
    _refuse_lossy(path, "JPEG" if data.startswith(_JPEG) else "WebP" if b"VP8 " in _webp_chunks(data) else "")
    return data


def _refuse_lossy(path: str, kind: str) -> None:
    if kind:
        raise DataError(
            f"{path}: the label is a lossy {kind} file: its compression changes class ids at edges; export "
            "it from the labelling tool again, as PNG (a converted copy keeps the damage)"
        )


def _lossy_kind(image: Image.Image) -> str:
    """Which lossy compression there is within a format that has lossless ones too, and AVIF."""
    if image.format == "AVIF":
        return "AVIF"
    return "TIFF (JPEG)" if "jpeg" in str(image.info.get("compression")) else ""


def _webp_chunks(data: bytes) -> Iterator[bytes]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return
    start = 12
    while start + 8 <= len(data):
        yield data[start : start + 4]
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        start += 8 + size + size % 2


def _unreadable(path: str, error: Exception) -> DataError:
    why = "it is no image" if isinstance(error, UnidentifiedImageError) else error
    return DataError(f"{path}: the label cannot be read ({why}); copy or export it again")


def check_label(label: LabelArray, path: str, *, num_classes: int, ignore_index: int) -> None:
    """Makes sure that every value is a class id or ``ignore_index``.

    Raises:
        DataError: Some value is neither; the message names the values and what they look like.
    """
    values = wrong_values(label, [*range(num_classes), ignore_index])
    if not values:
        return
    count = np.isin(label, values).sum()
    listed = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
    raise DataError(
        f"{path}: the label holds {listed} on {count} pixels; expected 0..{num_classes - 1} or "
        f"ignore_index {ignore_index}{_likely_cause(values, label, num_classes)}"
    )


def wrong_values(label: LabelArray, allowed: Sequence[int]) -> list[int]:
    """The values of a label that are not among the allowed ones, sorted."""
    if label.dtype == np.uint8:
        table = np.ones(256, dtype=np.uint8)
        table[[value for value in allowed if 0 <= value < 256]] = 0
        # Usually 255 and 0 to some n are allowed: one up, the largest value tells, in a third of the time.
        if (label + np.uint8(1)).max(initial=0) < np.roll(table, 1).argmax():
            return []
        is_wrong = cv2.LUT(label, table).view(bool)
    else:
        is_wrong = ~np.isin(label, allowed)
    return np.unique(label[is_wrong]).tolist() if is_wrong.any() else []


def _likely_cause(wrong: list[int], label: LabelArray, num_classes: int) -> str:
    if wrong == [255]:
        if set(np.unique(label).tolist()) == {0, 255} and num_classes == 2:
            return "; a 0/255 mask? Set label_map: {0: 0, 255: 1}"
        return "; 255 often marks unlabelled pixels: then set ignore_index: 255"
    if wrong == [num_classes]:
        return (
            f"; ids from 1 instead of 0? Set reduce_zero_label: True where 0 is no class, or "
            f"num_classes: {num_classes + 1}"
        )
    if num_classes == 19 and wrong[-1] <= 33:
        return "; Cityscapes label ids? type: Cityscapes maps files named …_gtFine_labelIds.png"
    if num_classes == 171 and wrong[-1] <= 181:
        return "; COCO-Stuff's own ids? Name their folder stuffthingmaps, or run tools/convert_cocostuff.py"
    if num_classes <= 64 < wrong[-1] and len(wrong) > 8:
        return "; grey levels of a picture or a colour mask instead of class ids?"
    return (
        f"; is num_classes ({num_classes}) too small, or ignore_index wrong? label_map can merge and drop ids"
    )
