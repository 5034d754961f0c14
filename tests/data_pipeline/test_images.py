"""Decoding and the messages for broken files."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cv2.utils import logging as opencv_log
from PIL import Image

from paddleseg.data.images import (
    check_label,
    decode_image,
    decode_pixels,
    read_image,
    read_label,
    read_pixels,
    wrong_values,
)
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


def test_orientation_of_a_photograph_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to be seen upright
    Image.fromarray(np.zeros((8, 24, 3), np.uint8)).save(tmp_path / "phone.jpg", exif=exif)
    assert read_image(str(tmp_path / "phone.jpg")).shape == (24, 8, 3)


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


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (np.array([[0, 1], [2, 255]], np.uint8), "L"),
        (np.array([[0, 1], [2, 255]], np.uint8), "P"),
        (np.array([[0, 1], [2, 40000]], np.uint16), "I;16"),
        (np.array([[0, 1], [2, 70000]], np.int32), "I"),
    ],
)
def test_label_of_every_one_channel_mode(tmp_path: Path, array: np.ndarray, mode: str) -> None:
    path = tmp_path / ("label.tif" if mode == "I" else "label.png")
    image = Image.fromarray(array)
    if mode == "P":
        image.putpalette([value for index in range(256) for value in (255 - index, index, 7)])
    assert image.mode == mode
    image.save(path)
    label = read_label(str(path))
    assert label.dtype == (np.uint8 if mode in "LP" else np.int32)  # no wider than the file
    assert label.tolist() == array.tolist()


@pytest.mark.parametrize("damage", ["orientation", "transparency", "gamma"])
def test_nothing_but_the_values_of_a_grey_label_counts(tmp_path: Path, damage: str) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(8, 32)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    options = {"orientation": {"exif": orientation}, "transparency": {"transparency": 3}, "gamma": {}}[damage]
    path = tmp_path / "label.png"
    Image.fromarray(values).save(path, **options)
    if damage == "gamma":
        chunk = b"gAMA" + struct.pack(">I", 100000)
        data = path.read_bytes()
        whole = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(data[:33] + whole + data[33:])
    assert read_label(str(path)).tolist() == values.tolist()


def test_one_bit_label(tmp_path: Path) -> None:
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bit.png")
    assert read_label(str(tmp_path / "bit.png")).tolist() == [[0, 1]]


def test_colour_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png: the label is a colour mask \(mode RGB\)"):
        read_label(str(tmp_path / "mask.png"))


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_label(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "y.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"y\.png"):
        read_label(str(path))


def test_a_cut_off_label_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (64, 64)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"cut\.png: the label cannot be read"):
        read_label(str(path))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_wrong_values_are_found_one_by_one(dtype: type) -> None:
    label = np.arange(256).astype(dtype).reshape(16, 16)
    label.setflags(write=False)
    assert wrong_values(label, range(256)) == []
    assert wrong_values(label % 20, range(20)) == []
    assert wrong_values(label % 20, [*range(20), 255]) == []
    assert wrong_values(label % 21, [*range(20), 255]) == [20]
    assert wrong_values(label % 21, range(20)) == [20]
    assert wrong_values(label[-1:], [*range(20), 255]) == [*range(240, 255)]
    assert wrong_values(label, [*range(3), *range(5, 255), -1, 256]) == [3, 4, 255]


def test_class_ids_and_ignore_index_pass() -> None:
    check_label(np.array([[0, 18, 255]], np.uint8), "l.png", num_classes=19, ignore_index=255)
    check_label(np.array([[0, 18, 255]], np.int32), "l.png", num_classes=19, ignore_index=255)
    check_label(np.array([[0, 1, -1]], np.int32), "l.png", num_classes=2, ignore_index=-1)


@pytest.mark.parametrize(
    ("values", "num_classes", "ignore_index", "cause"),
    [
        ([0, 1, 255], 3, 0, "set ignore_index: 255"),
        ([0, 255], 2, 254, "0/255 mask"),
        ([1, 2, 3], 3, 255, "Subtract 1, or set num_classes: 4"),
        ([7, 11, 23, 26, 33], 19, 255, "Cityscapes label ids"),
        ([*range(40, 250)], 11, 255, "grey levels"),
        ([0, 5, 6], 4, 255, "too small"),
        ([0, -1], 4, 255, "too small"),
    ],
)
def test_wrong_values_are_named_with_the_likely_cause(
    values: list[int], num_classes: int, ignore_index: int, cause: str
) -> None:
    wrong = [v for v in values if v != ignore_index and not 0 <= v < num_classes]
    with pytest.raises(DataError, match=cause) as caught:
        check_label(np.array([values], np.int32), "l.png", num_classes=num_classes, ignore_index=ignore_index)
    message = str(caught.value)
    if min(values) >= 0:
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            check_label(
                np.array([values], np.uint8), "l.png", num_classes=num_classes, ignore_index=ignore_index
            )
    assert message.startswith(f"l.png: the label holds {', '.join(map(str, wrong[:8]))}")
    assert f"on {len(wrong)} pixels; expected 0..{num_classes - 1}" in message


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
