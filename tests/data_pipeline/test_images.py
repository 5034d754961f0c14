"""Decoding and the messages for broken files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cv2.utils import logging as opencv_log
from PIL import Image, ImageOps

from paddleseg.data.images import decode_image, decode_pixels, read_image, read_pixels
from paddleseg.errors import DataError

COLOURS = np.array([[[255, 0, 10], [0, 200, 20]], [[1, 2, 3], [9, 8, 7]]], dtype=np.uint8)


def test_image_is_rgb_float32(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a b ü.png")
    image = read_image(str(tmp_path / "a b ü.png"))
    assert image.dtype == np.float32
    assert image.tolist() == COLOURS.tolist()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp", "tiff", "gif"])
def test_pixels_are_bytes_in_the_order_rgb(tmp_path: Path, kind: str, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 17, 3)).astype(np.uint8)
    path = str(tmp_path / f"picture.{kind}")
    Image.fromarray(picture).save(path)
    pixels = read_pixels(path, channels)
    assert pixels.dtype == np.uint8
    assert (read_image(path, channels) == pixels).all()
    assert (decode_pixels(Path(path).read_bytes(), "x", channels) == pixels).all()
    if channels == 3:
        assert (pixels[..., ::-1] == cv2.imread(path)).all()
    if channels == 3 and kind in ("png", "bmp", "tiff"):  # no loss
        assert (pixels == picture).all()


def test_bytes_in_memory_are_decoded_as_files_are(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    assert decode_image(data, "the upload").tolist() == COLOURS.tolist()
    for wrong, message in ((b"", "is empty"), (data[:50], "damaged"), (jpeg_header(9000), "too few")):
        with pytest.raises(DataError, match=f"^the upload: .*{message}"):
            decode_image(wrong, "the upload")


def test_grey_file_as_three_channels_and_as_one(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[..., 0]).save(tmp_path / "g.png")
    assert read_image(str(tmp_path / "g.png"), 3).tolist() == np.repeat(COLOURS[..., :1], 3, 2).tolist()
    assert read_image(str(tmp_path / "g.png"), 1).tolist() == COLOURS[..., :1].tolist()


def test_alpha_is_dropped_and_sixteen_bits_become_eight(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([COLOURS, COLOURS[..., 0]])).save(tmp_path / "alpha.png")
    assert read_image(str(tmp_path / "alpha.png")).tolist() == COLOURS.tolist()
    cv2.imwrite(str(tmp_path / "deep.png"), np.array([[256 * 77 + 5]], dtype=np.uint16))
    assert read_image(str(tmp_path / "deep.png")).tolist() == [[[77, 77, 77]]]


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def patches(mode: str) -> Image.Image:
    """A picture of six colours in a mode of Pillow; where there is alpha, it differs from patch to patch."""
    seeds = np.random.default_rng(7).integers(0, 256, (2, 3, 4)).astype(np.uint8)
    picture = Image.fromarray(np.kron(seeds, np.ones((8, 8, 1), np.uint8)))
    return picture if mode == "RGBA" else picture.convert("LA" if mode == "LA" else "RGB").convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGBA")),
        *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK")),
        *(("BMP", mode) for mode in ("1", "L", "P", "RGBA")),
        ("WEBP", "RGBA"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
    ],
)
def test_every_kind_becomes_rgb_without_its_alpha(kind: str, mode: str) -> None:
    """Oracle: Pillow's conversion; where there is alpha, its first channels."""
    options: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encode(patches(mode), kind, **options)
    with Image.open(io.BytesIO(data)) as file:
        whole = file.convert("RGBA" if "A" in file.mode else "RGB")
    wanted = np.asarray(whole)[..., :3].astype(int)
    got = decode_pixels(data, "x").astype(int)
    # JPEG decoders and conversions from CMYK round in their own ways.
    assert abs(got - wanted).max() <= (2 if kind == "JPEG" else 0)
    grey = decode_pixels(data, "x", 1).astype(int)
    assert abs(grey - wanted @ [[0.299], [0.587], [0.114]]).max() <= 2


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_of_sixteen_bits_the_upper_eight_are_kept(kind: str) -> None:
    values = np.array([[0, 255, 256, 511, 40000, 65535]], np.uint16)
    grey = cv2.imencode(f".{kind}", values)[1].tobytes()
    assert decode_pixels(grey, "x", 1).ravel().tolist() == [0, 0, 1, 1, 156, 255]
    colour = decode_pixels(cv2.imencode(f".{kind}", np.dstack([values] * 3))[1].tobytes(), "x")
    if kind == "png":
        assert colour[..., 1].tolist() == [[0, 0, 1, 1, 156, 255]]
    else:  # rounded: v / 257
        assert colour[..., 1].tolist() == [[0, 1, 1, 2, 156, 255]]


def test_a_tiff_of_decimals_is_refused() -> None:
    data = cv2.imencode(".tiff", np.float32([[0, 0.5, 1]]))[1].tobytes()
    with pytest.raises(DataError, match=r"^x: cannot be decoded .*decimal numbers\?.* convert it to 8 bits"):
        decode_pixels(data, "x")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("PNG", "RGB"), ("TIFF", "RGB"), ("TIFF", "RGBA"), ("WEBP", "RGB")]
)
def test_orientation_of_a_photograph_is_applied(kind: str, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encode(patches(mode), kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as file:
        wanted = np.asarray(ImageOps.exif_transpose(file))[..., :3].astype(int)
    got = decode_pixels(data, "x")
    assert got.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    assert abs(got.astype(int) - wanted).max() <= (2 if kind == "JPEG" else 0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_cut_off_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(picture).save(path)
    read_image(str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        read_image(str(path))


def test_a_size_beyond_the_decoder_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"0")), chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + bytes(2**19))
    with pytest.raises(DataError, match=r"huge\.png: cannot be decoded as an image: .*MAX_IMAGE_PIXELS"):
        read_image(str(tmp_path / "huge.png"))


def test_a_whole_jpeg_with_bytes_after_its_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trailer.jpg"
    Image.fromarray(COLOURS).save(path)
    path.write_bytes(path.read_bytes() + b"camera maker's trailer")
    assert read_image(str(path)).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such image file"), (b"", "empty"), (b"hello", "cannot be decoded")],
)
def test_what_is_no_image(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.png: .*{message}"):
        read_image(str(path))


def test_the_decoder_itself_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    before = opencv_log.getLogLevel()
    with pytest.raises(DataError):
        read_image(str(path))
    assert capfd.readouterr().err == ""
    assert opencv_log.getLogLevel() == before


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_image(str(tmp_path))


def jpeg_header(side: int) -> bytes:
    """The start of a JPEG that declares side × side pixels and then ends."""
    _, data = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    whole = bytearray(data.tobytes())
    frame = whole.index(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = side.to_bytes(2, "big") * 2
    return bytes(whole)


def rle_bmp(side: int) -> bytes:
    """A BMP that declares side × side pixels and ends at once."""
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1080, 0, 0, 1078) + head + bytes(1024) + b"\x00\x01"


def gif_header(side: int) -> bytes:
    """A GIF that declares side × side pixels and ends at once."""
    sizes = struct.pack("<HH", side, side)
    return b"GIF89a" + sizes + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + sizes + b"\0\x02\x02\x44\x01\0;"


@pytest.mark.parametrize("make", [jpeg_header, rle_bmp, gif_header])
@pytest.mark.parametrize("side", [5000, 32767])
def test_bytes_too_few_for_the_size_are_refused(tmp_path: Path, make: Any, side: int) -> None:
    path = tmp_path / "short"
    path.write_bytes(make(side))
    with pytest.raises(DataError, match=rf"short: \d+ bytes are too few .* {side}×{side} pixels \(damaged"):
        read_image(str(path))


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("sky.png", "L", {"compress_level": 9}),
        ("sky.png", "RGB", {"compress_level": 9}),
        ("mask.png", "1", {"compress_level": 9}),
        ("sky.webp", "RGB", {"lossless": True}),
        ("sky.jpg", "L", {"quality": 1, "optimize": True}),
        ("sky.jpg", "RGB", {"quality": 1, "progressive": True, "subsampling": 2}),
        ("sky.gif", "L", {}),
        ("sky.bmp", "1", {}),
        ("sky.tif", "1", {"compression": "group4"}),
    ],
)
def test_a_large_picture_of_one_colour_is_read(
    tmp_path: Path, name: str, mode: str, options: dict[str, Any]
) -> None:
    path = str(tmp_path / name)
    Image.new(mode, (4200, 4200), 1 if mode == "1" else "#c8c8c8").save(path, **options)
    image = read_image(path, 1)
    assert image.shape == (4200, 4200, 1)
    # A JPEG of quality 1 rounds a block's sum to a multiple of 255.
    assert image.min() == image.max() == pytest.approx(255 if mode == "1" else 200, abs=255 / 8 / 2)
