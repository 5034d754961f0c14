"""Reading of images, with errors that name the file and the likely cause."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from cv2.utils import logging as opencv_log
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile

from paddleseg.data.transforms.sample import ByteImage, ImageArray
from paddleseg.errors import DataError

__all__ = ["decode_image", "decode_pixels", "decode_silently", "read_image", "read_pixels"]

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
_TIFF = (b"II*\0", b"MM\0*")


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

    Grey, palette and CMYK images become RGB. The orientation noted in a photograph's EXIF data is applied, as
    in PaddleSeg and in labelling tools. Of 16 bits the upper 8 are kept (a TIFF of several channels is
    rounded), an alpha channel is dropped, of several pages or frames the first is read.

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
    if data.startswith(_TIFF) and (opaque := _without_alpha(data)) is not None:
        return opaque if channels == 3 else cv2.cvtColor(opaque, cv2.COLOR_RGB2GRAY)[..., None]
    try:
        image = decode_silently(data, flag)
    except cv2.error as error:
        raise DataError(f"{name}: cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise DataError(
            f"{name}: cannot be decoded as an image: damaged, cut off or of another kind (decimal numbers? "
            "more than four channels?); copy it again, or convert it to 8 bits and RGB"
        )
    pixels: ByteImage = image.reshape(*image.shape[:2], channels)
    return pixels


def _without_alpha(data: bytes) -> ByteImage | None:
    """The colours of a TIFF that has an alpha channel, which OpenCV multiplies with it; None of others."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode != "RGBA":
                return None
            return np.array(ImageOps.exif_transpose(image))[..., :3].copy()
    except Exception:  # damaged, or of a kind that OpenCV alone reads: for its decoder to say
        return None


def decode_silently(data: bytes, flag: int) -> ByteImage | None:
    """OpenCV's ``imdecode``, whose decoders would also complain on stderr, without the name of the file."""
    verbosity = opencv_log.setLogLevel(opencv_log.LOG_LEVEL_SILENT)
    try:
        decoded: ByteImage | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    finally:
        opencv_log.setLogLevel(verbosity)
    return decoded


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
