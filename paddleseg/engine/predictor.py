"""Predicts images and writes three pictures for each."""

from __future__ import annotations

import glob
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from paddleseg.data.images import read_image
from paddleseg.data.transforms import Compose, Sample, Undo, refuse_training_transforms
from paddleseg.data.transforms.functional import to_batch_of_one
from paddleseg.data.transforms.sample import ImageArray
from paddleseg.errors import ConfigError, DataError, UsageError
from paddleseg.files import write_whole
from paddleseg.inference import (
    InferenceOptions,
    Predict,
    infer_logits,
    to_labels,
    undo_transforms,
)
from paddleseg.log import get_logger
from paddleseg.visualise import overlay, palette_png_of, png_of

__all__ = [
    "ImageFile",
    "PredictionFolders",
    "find_images",
    "pictures_of",
    "predict_images",
    "predict_label",
    "preprocess",
]

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_LIST_SUFFIXES = {".txt", ".lst", ".list", ".csv"}
_logger = get_logger(__name__)


@dataclass(frozen=True)
class ImageFile:
    """An image to predict.

    Attributes:
        path: Where it is.
        name: Relative path of its results, without a suffix.
    """

    path: Path
    name: str


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


def predict_images(
    label_of: Callable[[Sample], Labels],
    images: Sequence[ImageFile],
    folders: PredictionFolders,
    *,
    img_channels: int,
    palette: npt.NDArray[np.uint8],
    progress: bool,
) -> list[ImageFile]:
    """Predicts image after image; a bad one is reported and the rest go on.

    Args:
        label_of: From an image (pixels H×W×C float32, 0..255) to its class ids (H×W uint8 or uint16).
        images: What to predict.
        folders: Where the pictures go.
        img_channels: Channels that the model takes.
        palette: Colours by class id, 256×3 uint8.
        progress: Whether to draw a progress bar.

    Returns:
        The images that failed.

    Raises:
        ConfigError: The transforms are those of training.
        OutputError: A picture cannot be written.
        WeightsError: The model's output is not numbers.
    """
    failed = []
    for image in tqdm(images, desc="predict", unit="image", disable=not progress):
        try:
            pixels = read_image(str(image.path), img_channels)
            label = label_of(Sample(pixels, image_path=str(image.path)))
            # All three before the first is written: an image has all of its pictures or none.
            pictures = pictures_of(pixels.astype(np.uint8), label, palette, folders)
        except DataError as error:
            _logger.error(f"skipped: {error}")
            failed.append(image)
            continue
        except (MemoryError, cv2.error) as error:
            _logger.error(f"skipped: {image.path}: {str(error).strip() or 'out of memory'}")
            failed.append(image)
            continue
        for folder, data in pictures.items():
            write_whole(folder / f"{image.name}.png", data)
    return failed


def pictures_of(
    pixels: npt.NDArray[np.uint8],
    label: Labels,
    palette: npt.NDArray[np.uint8],
    folders: PredictionFolders,
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


def predict_label(
    image: Sample, *, predict: Predict, transforms: Compose, options: InferenceOptions
) -> Labels:
    """Class ids of one image at its own size.

    Args:
        image: Pixels H×W×C float32, 0..255.
        predict: The model as a function on arrays.
        transforms: Those of evaluation.
        options: Sliding window, scales, flips.

    Returns:
        H×W uint8, or uint16 above 256 classes.
    """
    batch, undo = preprocess(image, transforms)
    return to_labels(undo_transforms(infer_logits(predict, batch, options), undo))


def preprocess(image: Sample, transforms: Compose) -> tuple[ImageArray, list[Undo]]:
    """Runs the transforms of evaluation.

    Args:
        image: Pixels H×W×C float32, 0..255.
        transforms: Without randomness.

    Returns:
        1×C×h×w float32, and the geometric steps to undo afterwards.

    Raises:
        ConfigError: A prediction could not be brought back through them.
    """
    try:
        refuse_training_transforms(transforms, "in prediction")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    # The generator is what the signature of transforms asks for; evaluation draws no random numbers.
    sample = transforms(image, np.random.default_rng(0))
    return to_batch_of_one(sample.image), sample.undo
