"""Image and label files tampered with in many ways, for ``bad_images.py`` and ``command_lines.py``."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from harness import mutants
from PIL import Image

__all__ = ["HEIGHT", "NUM_CLASSES", "WIDTH", "ImageMutant", "good_file", "image_mutants"]

HEIGHT, WIDTH, NUM_CLASSES = 48, 64, 4
IMAGE_FORMATS = ("png", "jpg", "bmp", "tif", "webp", "ppm", "gif", "jp2")
LABEL_FORMATS = ("png", "bmp", "tif", "gif", "pgm")
EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 64 48
%%EndComments
showpage
%%EOF
"""


@dataclass
class ImageMutant:
    """A file that takes the place of an image or of a label.

    Attributes:
        kind: Class of the mutation.
        what: What was done.
        is_label: Which of the two files of the sample it is.
        suffix: Of the file's name.
        write: Makes the file (or folder, link, pipe) at a path.
        original: Pixels before the damage, where a decoder can notice it: the format has a checksum, or the
            file ends too early.
        name: In place of ``image`` or ``label`` with the suffix.
    """

    kind: str
    what: str
    is_label: bool
    suffix: str
    write: Callable[[Path], object]
    original: np.ndarray | None = None
    name: str | bytes | None = None


@cache
def pixels(is_label: bool) -> np.ndarray:
    """The sound picture or mask, RGB or class ids."""
    rng = np.random.default_rng(3)
    if is_label:
        return rng.integers(0, NUM_CLASSES, (HEIGHT, WIDTH)).astype(np.uint8)
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


@cache
def good_file(is_label: bool, suffix: str) -> bytes:
    """The sound picture or mask in a format."""
    array = pixels(is_label)
    if suffix == "jp2":
        return bytes(cv2.imencode(".jp2", array[..., ::-1])[1])
    target = io.BytesIO()
    name = {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
    options = {"compression": "tiff_lzw"} if suffix == "tif" else {}
    Image.fromarray(array).save(target, name, **options)
    return target.getvalue()


def _bytes_mutant(
    kind: str, what: str, is_label: bool, suffix: str, data: bytes, **more: object
) -> ImageMutant:
    return ImageMutant(kind, what, is_label, suffix, lambda path: path.write_bytes(data), **more)  # type: ignore[arg-type]


def _pick(rng: random.Random) -> tuple[bool, str]:
    is_label = rng.random() < 0.5
    formats = LABEL_FORMATS if is_label else IMAGE_FORMATS
    return is_label, rng.choice(["png", "png", *formats])


def truncated(rng: random.Random) -> ImageMutant:
    is_label, suffix = _pick(rng)
    data = good_file(is_label, suffix)
    keep = rng.choice([rng.randrange(len(data)), rng.randrange(40), len(data) - rng.randint(1, 40)])
    original = pixels(is_label) if suffix != "jpg" else None
    what = f"{suffix} cut to {keep} of {len(data)} bytes"
    return _bytes_mutant("truncated", what, is_label, suffix, data[: max(keep, 0)], original=original)


def flipped(rng: random.Random) -> ImageMutant:
    is_label, suffix = _pick(rng)
    data = bytearray(good_file(is_label, suffix))
    places = [rng.randrange(len(data)) for _ in range(rng.choice([1, 1, 4, 30]))]
    if rng.random() < 0.4:  # where headers are
        places = [at % 60 for at in places]
    for at in places:
        data[at] ^= 1 << rng.randrange(8)
    original = pixels(is_label) if suffix == "png" else None
    return _bytes_mutant(
        "bits flipped", f"{suffix} at {places}", is_label, suffix, bytes(data), original=original
    )


def spliced(rng: random.Random) -> ImageMutant:
    """Pieces of a file removed, doubled, exchanged with another format's, or overwritten."""
    is_label, suffix = _pick(rng)
    data = good_file(is_label, suffix)
    other = good_file(is_label, rng.choice(LABEL_FORMATS if is_label else IMAGE_FORMATS))
    at, length = rng.randrange(len(data)), rng.randint(1, 200)
    deed = rng.choice(["remove", "double", "other", "zeros", "random"])
    piece = {
        "remove": b"",
        "double": data[at : at + length] * 2,
        "other": other[at : at + length],
        "zeros": bytes(length),
        "random": rng.randbytes(length),
    }[deed]
    spoilt = data[:at] + piece + data[at + length :]
    return _bytes_mutant("spliced", f"{suffix} {deed} {at}+{length}", is_label, suffix, spoilt)


def png(width: int, height: int, bits: int = 8, colour: int = 2, body: bytes = b"0") -> bytes:
    """A PNG whose header says what it likes, with sound checksums."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def bombs(rng: random.Random) -> ImageMutant:
    """Headers that declare far more pixels than there are bytes."""
    is_label = rng.random() < 0.5
    side = rng.choice([9000, 13_000, 20_000, 30_000, 32_767, 40_000, 60_000, 2**31 - 1])
    width, height = rng.choice([(side, side), (side, 1), (1, side), (0, side), (0, 0)])
    form = rng.choice(["png", "bmp", "ppm", "tif", "gif", "jpg", "webp"])
    if form == "png":
        bits, colour = rng.choice([(8, 2), (16, 2), (8, 0), (1, 0), (8, 3), (8, 6), (3, 7), (0, 2)])
        data = png(width, height, bits, colour, rng.choice([b"0", bytes(10**6)]))
    elif form == "ppm":
        data = b"%s\n%d %d\n255\n123" % (b"P5" if is_label else b"P6", width, height)
    else:
        data = _resized_header(form, good_file(is_label and form != "jpg", form), width, height)
    return _bytes_mutant("declared sizes", f"{form} {width}×{height}", is_label, form, data)


def _resized_header(form: str, data: bytes, width: int, height: int) -> bytes:
    """Overwrites the size in the header of a sound file."""
    spoilt = bytearray(data)
    small = struct.pack("<HH", width % 65536, height % 65536)
    if form == "bmp":
        spoilt[18:26] = struct.pack("<ii", width, height)
    elif form == "gif":
        spoilt[6:10] = small
        at = spoilt.find(b"\x2c", 13)
        spoilt[at + 5 : at + 9] = small
    elif form == "jpg":
        at = spoilt.find(b"\xff\xc0")
        spoilt[at + 5 : at + 9] = struct.pack(">HH", height % 65536, width % 65536)
    elif form == "tif":
        for tag, value in ((256, width), (257, height)):
            at = spoilt.find(struct.pack("<HH", tag, 3))
            at = spoilt.find(struct.pack("<HH", tag, 4)) if at < 0 else at
            spoilt[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    else:
        at = spoilt.find(b"VP8 ") + 14
        spoilt[at : at + 4] = small
    return bytes(spoilt)


def other_kinds(rng: random.Random) -> ImageMutant:
    """Sound files of an unexpected kind: depths, palettes, alpha, several frames, other sizes."""
    is_label = rng.random() < 0.5
    array, target = pixels(is_label), io.BytesIO()
    grey = array if is_label else array[..., 0]
    rgb = np.repeat(grey[..., None], 3, axis=2)
    exif = Image.Exif()
    exif[0x0112] = rng.randint(0, 9)
    wrong = grey.copy()
    wrong[:3] = rng.choice([4, 7, 200, 255, 254])
    made: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "16 bits": (Image.fromarray(grey.astype(np.uint16) * rng.choice([1, 257, 300])), "PNG", {}),
        "32 bits": (Image.fromarray(grey.astype(np.int32) * rng.choice([1, -1, 10**6])), "TIFF", {}),
        "float": (Image.fromarray(grey.astype(np.float32) * rng.choice([1.0, np.nan, 1e30])), "TIFF", {}),
        "palette": (Image.fromarray(grey, "L").convert("P"), rng.choice(["PNG", "GIF", "BMP"]), {}),
        "alpha": (Image.fromarray(rgb).convert("RGBA"), rng.choice(["PNG", "WEBP", "TIFF"]), {}),
        "animated": (
            Image.fromarray(grey),
            rng.choice(["GIF", "WEBP", "PNG", "TIFF"]),
            {"save_all": True, "append_images": [Image.fromarray(grey[::-1])] * 3},
        ),
        "size": (Image.fromarray(array[: rng.randint(1, HEIGHT - 1)]), "PNG", {}),
        "rotated": (Image.fromarray(np.rot90(array).copy()), "PNG", {}),
        "exif": (Image.fromarray(array), rng.choice(["JPEG", "PNG", "TIFF", "WEBP"]), {"exif": exif}),
        "one bit": (Image.fromarray(grey > 1), rng.choice(["PNG", "BMP", "TIFF"]), {}),
        "colour": (Image.fromarray(rgb), rng.choice(["PNG", "BMP", "JPEG"]), {}),
        "CMYK": (Image.fromarray(rgb).convert("CMYK"), rng.choice(["JPEG", "TIFF"]), {}),
        "LAB": (Image.fromarray(rgb, "RGB").convert("YCbCr"), rng.choice(["JPEG", "TIFF"]), {}),
        "ids": (Image.fromarray(wrong), "PNG", {}),
        "grey": (Image.fromarray(grey), rng.choice(["PNG", "JPEG", "BMP"]), {}),
        "one pixel": (Image.fromarray(array[:1, :1]), "PNG", {}),
        "two channels": (Image.fromarray(rgb).convert("LA"), "PNG", {}),
    }
    kind = rng.choice(list(made))
    image, form, options = made[kind]
    image.save(target, form, **options)
    return _bytes_mutant("other kinds", f"{kind} {form}", is_label, form.lower(), target.getvalue())


def no_pictures(rng: random.Random) -> ImageMutant:
    """Contents that are no picture at all, under a picture's name."""
    contents = {
        "empty": b"",
        "one byte": b"\x89",
        "text": b"hello\n" * rng.randint(1, 1000),
        "web page": b"<!DOCTYPE html><html><body>404</body></html>",
        "random": rng.randbytes(rng.randint(1, 5000)),
        "zeros": bytes(rng.randint(1, 5000)),
        "zip": b"PK\x03\x04" + rng.randbytes(100),
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "PostScript": EPS,
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='48'/>",
        "PDF": b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF",
        "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "PNG signature": b"\x89PNG\r\n\x1a\n" + rng.randbytes(rng.randint(0, 80)),
        "JPEG signature": b"\xff\xd8\xff\xe0" + rng.randbytes(rng.randint(0, 80)),
        "TIFF signature": b"II*\x00" + rng.randbytes(rng.randint(4, 80)),
        "GIF signature": b"GIF89a" + rng.randbytes(rng.randint(0, 80)),
        "BMP signature": b"BM" + rng.randbytes(rng.randint(0, 80)),
        "WebP signature": b"RIFF\x40\0\0\0WEBPVP8L" + rng.randbytes(rng.randint(0, 80)),
        "EXR signature": b"\x76\x2f\x31\x01" + rng.randbytes(80),
        "HDR signature": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999 +X 99999\n",
        "PFM": b"PF\n99999 99999\n-1.0\n",
        "PAM": b"P7\nWIDTH 64\nHEIGHT 48\nDEPTH 9\nMAXVAL 255\nENDHDR\n" + bytes(99),
    }
    what = rng.choice(list(contents))
    return _bytes_mutant("no pictures", what, rng.random() < 0.5, "png", contents[what])


def no_files(rng: random.Random) -> ImageMutant:
    """Folders, links, pipes and devices where a file should be, and strange names."""
    is_label, data = rng.random() < 0.5, good_file(False, "png")
    makers: dict[str, Callable[[Path], object]] = {
        "folder": lambda path: path.mkdir(),
        "loop of links": lambda path: path.symlink_to(path.name),
        "dead link": lambda path: path.symlink_to("nowhere"),
        "link to a folder": lambda path: path.symlink_to(path.parent),
        "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "link to /dev/null": lambda path: path.symlink_to("/dev/null"),
        "pipe": lambda path: os.mkfifo(path),
        "missing": lambda path: None,
        "without permission": lambda path: (path.write_bytes(data), path.chmod(0)),
    }
    what = rng.choice([*makers, "name"])
    if what != "name":
        return ImageMutant("no files", what, is_label, "png", makers[what])
    name = rng.choice(
        ["ü ☃.png", "%s{0}.png", "x" * 240 + ".png", "-rf.png", "a\tb.png", b"\xff\xfe.png", "..png"]
    )
    mutant = _bytes_mutant("no files", f"name {name[:20]!r}", is_label, "png", good_file(is_label, "png"))
    mutant.name = name
    return mutant


GENERATORS: dict[Callable[[random.Random], ImageMutant], int] = {
    truncated: 3,
    flipped: 4,
    spliced: 3,
    bombs: 2,
    other_kinds: 3,
    no_pictures: 3,
    no_files: 2,
}


def image_mutants(count: int, seed: int) -> Iterator[ImageMutant]:
    return mutants("image", GENERATORS, count, seed)
