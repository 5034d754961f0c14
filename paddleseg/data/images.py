"""Reading of images and label files, with errors that name the file and the likely cause."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt
from cv2.utils import logging as opencv_log
from PIL import Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile

from paddleseg.data.transforms.sample import ByteImage, ImageArray, LabelArray
from paddleseg.errors import DataError

__all__ = [
    "check_label",
    "decode_image",
    "decode_pixels",
    "read_image",
    "read_label",
    "read_pixels",
    "wrong_values",
]

# Pillow modes of one channel of whole numbers; P holds palette indices, which are the class ids.
LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B")

# Formats whose decoders fill in what a file lacks: of a kilobyte they make OpenCV's limit of 2³⁰ pixels, in
# 15 seconds and 6 GB. By first bytes: the reader of the header, and more pixels a byte than any whole picture
# has. One of a single colour has 256 as JPEG (512 would be one bit a block), 127 as BMP, 1350 as GIF. PNG,
# WebP and TIFF need no such bound: their decoders refuse what is cut short.
_FILLED_IN: dict[bytes, tuple[Callable[[IO[bytes]], Image.Image], int]] = {
    b"\xff\xd8\xff": (JpegImageFile, 1024),
    b"BM": (BmpImageFile, 1024),
    b"GIF8": (GifImageFile, 4096),
}
_LARGE = 2**24
_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH_AND_COLOUR = slice(24, 26)  # in a PNG's header; 8 bits, and 0 for grey without a palette


def read_image(path: str, channels: int = 3) -> ImageArray:
    """:func:`read_pixels` as float32, for prediction."""
    return read_pixels(path, channels).astype(np.float32)


def decode_image(data: bytes, name: str, channels: int = 3) -> ImageArray:
    """:func:`decode_pixels` as float32, for prediction."""
    return decode_pixels(data, name, channels).astype(np.float32)


def read_pixels(path: str, channels: int = 3) -> ByteImage:
    """Decodes an image file: see :func:`decode_pixels`.

    Args:
        path: The file.
        channels: 3 for RGB, 1 for grey.

    Returns:
        [H, W, channels] uint8.

    Raises:
        DataError: The file is missing, empty, truncated or no image, or too short for its size in pixels.
    """
    return decode_pixels(_read_bytes(path), path, channels)


def decode_pixels(data: bytes, name: str, channels: int = 3) -> ByteImage:
    """Decodes an image file that is in memory.

    The orientation noted in a photograph's EXIF data is applied, as in PaddleSeg and in labelling tools.
    16-bit images are reduced to 8 bits, an alpha channel is dropped.

    Args:
        data: The file's bytes.
        name: What messages call it.
        channels: 3 for RGB, 1 for grey.

    Returns:
        [H, W, channels] uint8.

    Raises:
        DataError: It is empty, truncated or no image, or too short for its size in pixels.
    """
    if not data:
        raise DataError(f"{name}: the image file is empty (0 bytes); copy it again")
    _refuse_too_few_bytes(data, name)
    flag = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image = _decode_silently(data, flag)
    except cv2.error as error:
        raise DataError(f"{name}: cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise DataError(
            f"{name}: cannot be decoded as an image: damaged, cut off or of another kind; copy it again"
        )
    pixels: ByteImage = image.reshape(*image.shape[:2], channels)
    return pixels


def read_label(path: str) -> LabelArray:
    """Decodes a mask whose pixel values are class ids.

    Args:
        path: A one-channel file: grey of 1, 8, 16 or 32 bits, or a palette image (its indices are read).

    Returns:
        [H, W] uint8, of files of 16 or 32 bits int32.

    Raises:
        DataError: The file is missing, unreadable, or has several channels.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such label file")
    values: npt.NDArray[Any] | None
    try:
        data = Path(path).read_bytes()
        if (values := _decode_grey_png(data)) is not None:
            return values
        with Image.open(io.BytesIO(data)) as label:
            mode = label.mode
            values = np.asarray(label) if mode in LABEL_MODES else None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: the label cannot be read ({error}); copy or export it again") from error
    if values is None:
        raise DataError(
            f"{path}: the label is a colour mask (mode {mode}), expected one channel of class ids; "
            "map its colours to ids 0, 1, 2 … and save it as a grey or palette PNG"
        )
    return values.astype(np.uint8) if values.dtype.itemsize == 1 else values.astype(np.int32)


def _decode_grey_png(data: bytes) -> ByteImage | None:
    """A PNG of 8-bit grey, by OpenCV as a sixth faster; None of other files, and of damaged ones."""
    if not (data.startswith(_PNG) and data[_DEPTH_AND_COLOUR] == b"\x08\x00"):
        return None
    try:
        return _decode_silently(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _decode_silently(data: bytes, flag: int) -> ByteImage | None:
    # OpenCV's decoders also complain on stderr, without the name of the file.
    verbosity = opencv_log.setLogLevel(opencv_log.LOG_LEVEL_SILENT)
    try:
        decoded: ByteImage | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    finally:
        opencv_log.setLogLevel(verbosity)
    return decoded


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
            return "; a 0/255 mask? Save the foreground as 1"
        return "; 255 often marks unlabelled pixels: then set ignore_index: 255"
    if wrong == [num_classes]:
        return f"; ids from 1 instead of 0? Subtract 1, or set num_classes: {num_classes + 1}"
    if num_classes == 19 and wrong[-1] <= 33:
        return "; Cityscapes label ids? type: Cityscapes maps files named …_gtFine_labelIds.png"
    if num_classes <= 64 < wrong[-1] and len(wrong) > 8:
        return "; grey levels of a picture or a colour mask instead of class ids?"
    return f"; is num_classes ({num_classes}) too small, or ignore_index wrong?"


def _refuse_too_few_bytes(data: bytes, name: str) -> None:
    for start, (open_header, most_pixels_per_byte) in _FILLED_IN.items():
        if not data.startswith(start):
            continue
        try:
            width, height = open_header(io.BytesIO(data)).size
        except Exception:  # damaged, or of a kind that OpenCV alone reads: for the decoder to say
            return
        if width * height > max(_LARGE, most_pixels_per_byte * len(data)):
            raise DataError(
                f"{name}: {len(data)} bytes are too few for a picture of {width}×{height} pixels (damaged or "
                "cut short?); copy it again"
            )


def _read_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such image file") from None
    except OSError as error:
        raise DataError(f"{path}: the image cannot be read: {error.strerror}") from error
