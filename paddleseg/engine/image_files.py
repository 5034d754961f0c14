"""The images that a user names, the names of their results, and which of them are large."""

from __future__ import annotations

import contextlib
import glob
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from paddleseg.engine.pictures import LARGE
from paddleseg.errors import UsageError

__all__ = ["ImageFile", "find_images", "is_large"]

_IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_HEADERS = (PngImageFile, JpegImageFile, TiffImageFile, BmpImageFile, WebPImageFile)
_LIST_SUFFIXES = {".txt", ".lst", ".list", ".csv"}


@dataclass(frozen=True)
class ImageFile:
    """An image to predict.

    Attributes:
        path: Where it is.
        name: Relative path of its results, without a suffix.
    """

    path: Path
    name: str


def find_images(image_path: str, *, separator: str = " ") -> list[ImageFile]:
    """Finds the images that the user means.

    Args:
        image_path: One image, a folder (searched with its subfolders), a list file (.txt: one image a
            line, relative to the file's folder; what follows the separator is not looked at unless the
            whole line names a file), or a glob.
        separator: Between the columns of a list file.

    Returns:
        The images in a stable order, each with a name of its own.

    Raises:
        UsageError: Nothing is there.
    """
    path = Path(image_path)
    if path.is_dir():
        root = path
        files = sorted(f for f in path.rglob("*") if f.is_file() and f.suffix.lower() in _IMAGE_SUFFIXES)
    elif path.is_file() and path.suffix.lower() in _LIST_SUFFIXES:
        root = path.parent
        files = [_listed(root, line, separator) for line in _lines(path)]
    elif path.is_file():
        root, files = path.parent, [path]
    else:
        files = [Path(f) for f in sorted(glob.glob(image_path, recursive=True)) if Path(f).is_file()]
        root = Path(_fixed_part(image_path))
    if not files:
        raise UsageError(
            f"--image_path {image_path}: no image found; expected an image, a folder with images "
            f"({', '.join(sorted(_IMAGE_SUFFIXES))}), a .txt list with one image a line, or a glob"
        )
    return list(_named(dict.fromkeys(files), root))


def is_large(path: Path) -> bool:
    """Whether an image has more than 8 million pixels, so that none other should be held beside it.

    Reads the header alone; False where none is found, which is for the decoder to report.
    """
    for kind in _HEADERS:
        # Not Image.open, which refuses large images and warns of them.
        with contextlib.suppress(Exception), kind(str(path)) as header:
            return header.width * header.height > LARGE
    return False


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--image_path {path}: cannot be read as a list of images ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _listed(root: Path, line: str, separator: str) -> Path:
    whole = root / line
    return whole if whole.is_file() else root / line.split(separator)[0].strip()


def _fixed_part(pattern: str) -> str:
    """The folders of a glob before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return str(Path(*parts[:fixed])) if fixed else "."


def _named(files: Iterable[Path], root: Path) -> Iterator[ImageFile]:
    """Names results after their images; two images that differ in the suffix alone keep it in the name."""
    relative = {path: _below(path, root) for path in files}
    stems = Counter(name.with_suffix("") for name in relative.values())
    taken: set[str] = set()
    for path, name in relative.items():
        stem = name.with_suffix("")
        wanted = str(stem if stems[stem] == 1 else name.with_name(name.name.replace(".", "_")))
        unique = next(text for text in _numbered(wanted) if text not in taken)
        taken.add(unique)
        yield ImageFile(path, unique)


def _below(path: Path, root: Path) -> Path:
    """Where below the folder of results an image's results go: never above it."""
    inside = path.is_relative_to(root) and ".." not in path.relative_to(root).parts
    return path.relative_to(root) if inside else Path(path.name)


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name}_{number}"
