"""Decoding of label files, and the messages where they hold something else than class ids."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from paddleseg.data.masks import check_label, read_colours, read_label, read_mask, wrong_values
from paddleseg.errors import DataError

COLOURS = np.array([[[255, 0, 10], [0, 200, 20]], [[1, 2, 3], [9, 8, 7]]], dtype=np.uint8)
IDS = np.array([[0, 1], [2, 255]], np.uint8)


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


@pytest.mark.parametrize(("bits", "row"), [(2, 0b00011011), (4, 0x13)])
def test_two_and_four_bits_of_grey_are_refused(tmp_path: Path, bits: int, row: int) -> None:
    """Pillow and OpenCV scale them, so that the id 3 of two bits would be 255."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 8 // bits, 1, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes([0, row]))) + chunk(b"IEND", b"")
    (tmp_path / "y.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(DataError, match=rf"y\.png: a label of {bits}-bit grey, .* PNG of 8 bits"):
        read_label(str(tmp_path / "y.png"))


def test_colour_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png: the label is a colour mask, .* in color_map"):
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


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", r"y\.png: the label file is empty"), (b"no image", r"cannot be read \(it is no image\); copy")],
)
def test_what_a_bad_file_is_called(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "y.png").write_bytes(content)
    for read in (read_label, read_colours):
        with pytest.raises(DataError, match=message):
            read(str(tmp_path / "y.png"))


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
        ([0, 255], 2, 254, r"0/255 mask\? Set label_map: {0: 0, 255: 1}"),
        ([1, 2, 3], 3, 255, "reduce_zero_label: True .* or num_classes: 4"),
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


@pytest.mark.parametrize(
    ("name", "options"), [("y.bmp", {}), ("y.tif", {}), ("y.gif", {}), ("y.webp", {"lossless": True})]
)
def test_ids_in_other_lossless_formats(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    Image.fromarray(IDS).save(tmp_path / name, **options)
    label = read_label(str(tmp_path / name))
    assert label.dtype == np.uint8
    assert label.tolist() == IDS.tolist()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_are_one_and_alpha_is_dropped(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(IDS).convert(mode)
    if mode != "RGB":
        picture.putalpha(Image.fromarray(np.array([[0, 255], [7, 9]], np.uint8)))
    picture.save(tmp_path / "y.png")
    assert read_label(str(tmp_path / "y.png")).tolist() == IDS.tolist()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("y.jpg", {"quality": 100}),
        ("y.webp", {"quality": 100}),
        ("y.tif", {"compression": "jpeg"}),
        ("y.avif", {}),
    ],
)
@pytest.mark.parametrize("read", [read_label, read_mask, read_colours])
def test_lossy_formats_are_refused(tmp_path: Path, name: str, options: dict[str, Any], read: Any) -> None:
    path = tmp_path / name
    Image.fromarray(np.kron(COLOURS, np.ones((8, 8, 1), np.uint8))).save(path, **options)
    with pytest.raises(DataError, match=rf"{name}: the label is a lossy .*, as PNG"):
        read(str(path))
    path.rename(tmp_path / "named.png")
    with pytest.raises(DataError, match="lossy"):
        read(str(tmp_path / "named.png"))


def test_lossy_webp_behind_other_chunks_is_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(np.dstack([np.kron(IDS, np.ones((8, 8), np.uint8))] * 4))
    picture.save(tmp_path / "y.webp")
    data = (tmp_path / "y.webp").read_bytes()
    assert data[12:16] == b"VP8X"  # alpha comes first
    with pytest.raises(DataError, match="lossy WebP"):
        read_label(str(tmp_path / "y.webp"))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bit_colours_are_refused(tmp_path: Path, kind: str) -> None:
    """Pillow would give their upper bytes: every id below 256 would be 0."""
    path = str(tmp_path / f"y.{kind}")
    cv2.imwrite(path, np.dstack([np.array([[0, 1, 2, 300]], np.uint16)] * 3))
    for read in (read_label, read_colours):
        with pytest.raises(DataError, match=rf"y\.{kind}: a label .*(16-bit|needs 8 bits)"):
            read(path)


def test_decimal_numbers_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "y.tiff"), np.float32([[0, 1, 2]]))
    with pytest.raises(DataError, match=r"y\.tiff: a label of decimal numbers cannot hold class ids"):
        read_label(str(tmp_path / "y.tiff"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
@pytest.mark.parametrize("name", ["y.png", "y.tif", "y.bmp"])
def test_colours_of_every_kind_of_file(tmp_path: Path, mode: str, name: str) -> None:
    picture = Image.fromarray(COLOURS)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(IDS))
    elif mode == "P":
        picture = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
        picture.putpalette(COLOURS.ravel().tolist())
    elif mode == "L":
        picture = Image.fromarray(COLOURS[..., 0])
    picture.save(tmp_path / name)
    colours = read_colours(str(tmp_path / name))
    assert colours.dtype == np.uint8
    wanted = np.repeat(COLOURS[..., :1], 3, axis=2) if mode == "L" else COLOURS
    assert colours.tolist() == wanted.tolist()


def test_a_mask_is_given_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "colours.png")
    Image.fromarray(IDS).save(tmp_path / "ids.png")
    assert read_mask(str(tmp_path / "colours.png")).tolist() == COLOURS.tolist()
    assert read_mask(str(tmp_path / "ids.png")).tolist() == IDS.tolist()


@pytest.mark.parametrize("content", [None, b"", b"hello", b"RIFF\0\0\0\0WEBPVP8L"])
def test_what_holds_no_colours(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "y.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"y\.png: "):
        read_colours(str(path))
