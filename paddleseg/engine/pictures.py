"""The three pictures of a prediction, and how they are written."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from paddleseg.files import replace_file, write_whole
from paddleseg.inference import Labels
from paddleseg.visualise import overlay, palette_png_of, png_of

__all__ = ["LARGE", "PredictionFolders", "all_or_none", "pictures_of", "write_pictures"]

Bytes = npt.NDArray[np.uint8]

# Pixels above which an image is handled alone, and its pictures one after another.
LARGE = 2**23
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class PredictionFolders:
    """Where the three pictures go, named as PaddleSeg names them."""

    save_dir: Path

    @property
    def label(self) -> Path:
        return self.save_dir / "label"

    @property
    def pseudo_color(self) -> Path:
        return self.save_dir / "pseudo_color_prediction"

    @property
    def added(self) -> Path:
        return self.save_dir / "added_prediction"


def pictures_of(
    pixels: Bytes, label: Labels, palette: Bytes, folders: PredictionFolders
) -> dict[Path, bytes]:
    """Makes the three pictures of an image.

    Args:
        pixels: H×W×C.
        label: Its class ids, H×W.
        palette: Colours by class id, 256×3.
        folders: Where the pictures go.

    Returns:
        PNG files, by folder.
    """
    return {
        folders.label: png_of(label),
        folders.pseudo_color: palette_png_of(label, palette),
        folders.added: png_of(overlay(pixels, label, palette)),
    }


@contextlib.contextmanager
def all_or_none() -> Iterator[list[Path]]:
    """Gives a list for the files that are written; those in it go again when one after them fails."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for file in written:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        raise


def write_pictures(
    pixels: Bytes, label: Labels, palette: Bytes, folders: PredictionFolders, *, name: str
) -> list[Path]:
    """Writes the three pictures of an image, or none of them.

    Args:
        pixels: H×W×C.
        label: Its class ids, H×W.
        palette: Colours by class id, 256×3.
        folders: Where the pictures go.
        name: Their relative path, without the suffix.

    Returns:
        The files.

    Raises:
        OutputError: One cannot be written.
    """
    with all_or_none() as written:
        if label.size <= LARGE:
            for folder, data in pictures_of(pixels, label, palette, folders).items():
                write_whole(folder / f"{name}.png", data)
                written.append(folder / f"{name}.png")
        else:
            for file in _write_one_by_one(pixels, label, palette, folders, name):
                written.append(file)
    return written


def _write_one_by_one(
    pixels: Bytes, label: Labels, palette: Bytes, folders: PredictionFolders, name: str
) -> Iterator[Path]:
    """The three pictures, each written before the next is made; yields each when it is there."""
    label_file, pseudo_file, added_file = (
        folder / f"{name}.png" for folder in (folders.label, folders.pseudo_color, folders.added)
    )
    assert pixels.shape[:2] == label.shape, "a label lies over its image"
    write_whole(label_file, png_of(label))
    yield label_file
    write_whole(pseudo_file, palette_png_of(label, palette))
    yield pseudo_file
    blocks = (
        overlay(pixels[top : top + _ROWS_AT_ONCE], label[top : top + _ROWS_AT_ONCE], palette)
        for top in range(0, len(label), _ROWS_AT_ONCE)
    )
    replace_file(added_file, partial(_write_png, size=label.shape, blocks=blocks))
    yield added_file


def _write_png(path: Path, *, size: tuple[int, int], blocks: Iterable[Bytes]) -> None:
    """Writes an RGB picture of which no more than some rows exist at a time.

    Args:
        path: The file.
        size: (height, width).
        blocks: The rows, r×W×3, from the top.
    """
    height, width = size
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        for data in _compressed(blocks):
            _write_chunk(file, b"IDAT", data)
        _write_chunk(file, b"IEND", b"")


def _compressed(blocks: Iterable[Bytes]) -> Iterator[bytes]:
    """Rows, each byte less the one of the pixel before (filter 1), compressed for speed as OpenCV does."""
    compressor = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    for block in blocks:
        rows = block.reshape(len(block), -1)
        filtered = np.empty((len(rows), 1 + rows.shape[1]), dtype=np.uint8)
        filtered[:, 0] = 1
        filtered[:, 1:4] = rows[:, :3]
        np.subtract(rows[:, 3:], rows[:, :-3], out=filtered[:, 4:])
        yield compressor.compress(filtered.data)
    yield compressor.flush()


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
