"""What every data set does: load, check and transform pairs of image and label."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import numpy as np

from paddleseg.config.hints import Between, conforms, describe
from paddleseg.data.images import check_label, read_label, read_pixels
from paddleseg.data.transforms.compose import Compose, refuse_training_transforms
from paddleseg.data.transforms.photometric import Normalize
from paddleseg.data.transforms.sample import LabelArray, Sample, Transform
from paddleseg.errors import DataError

if TYPE_CHECKING:
    from paddleseg.data.pack import Pack

__all__ = [
    "MODES",
    "Colour",
    "Pair",
    "SampleKey",
    "SegmentationDataset",
    "check_mode",
    "name_some",
    "relative_names",
]

MODES = ("train", "val", "test")

_Byte: TypeAlias = Annotated[int, Between(0, 255)]
Colour: TypeAlias = tuple[_Byte, _Byte, _Byte]


@dataclass(frozen=True)
class Pair:
    """An image file and its label file; a test set has no labels."""

    image: str
    label: str | None


@dataclass(frozen=True)
class SampleKey:
    """Which sample, and the numbers that seed its random generator.

    Augmentation depends on the key alone, so it is the same for any number of workers.
    """

    index: int
    entropy: tuple[int, ...]


class SegmentationDataset:
    """Images with class-id labels.

    ``mode`` decides what the transforms see: in ``train`` the label goes through them with the image; in
    ``val`` only the image does, and predictions are brought back to the label's size; ``test`` has no label.

    Args:
        files: The pairs; all files must exist.
        mode: ``train``, ``val`` or ``test``.
        transforms: Applied in order to each sample.
        num_classes: Labels hold 0..num_classes−1 or ``ignore_index``.
        ignore_index: The label value that takes no part.
        img_channels: 3 for RGB, 1 for grey.
        class_names: One a class, for reports.
        palette: One colour (R, G, B) a class, for pictures.
        pack: Where decoded pairs are read from; the files then need not exist.

    Raises:
        ValueError: A parameter is out of range, or a transform of training is used in val or test.
        DataError: There is no sample, or files are missing.
    """

    NUM_CLASSES: ClassVar[int | None] = None
    IGNORE_INDEX: ClassVar[int | None] = None
    IMG_CHANNELS: ClassVar[int | None] = None

    def __init__(
        self,
        files: Sequence[Pair],
        *,
        mode: str,
        transforms: Sequence[Transform],
        num_classes: int,
        ignore_index: int = 255,
        img_channels: int = 3,
        class_names: Sequence[str] | None = None,
        palette: Sequence[Colour] | None = None,
        pack: Pack | None = None,
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes: expected at least 1, got {num_classes}")
        if img_channels not in (1, 3):
            raise ValueError(f"img_channels: expected 1 or 3, got {img_channels}")
        for name, values in (("class_names", class_names), ("palette", palette)):
            if values is not None and len(values) != num_classes:
                raise ValueError(f"{name}: expected {num_classes} entries (num_classes), got {len(values)}")
        _check_palette(palette or ())
        self.mode = check_mode(mode)
        self.transforms = Compose(transforms)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.img_channels = img_channels
        self.class_names = None if class_names is None else tuple(class_names)
        self.palette: list[Colour] | None = None if palette is None else [(r, g, b) for r, g, b in palette]
        self.files = list(files)
        if self.mode != "train":
            refuse_training_transforms(self.transforms, f"in mode {self.mode}")
        if not self.files:
            raise DataError(f"{type(self).__name__} ({self.mode}): the data set is empty")
        self.pack = pack
        if pack is None:
            _refuse_missing(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: SampleKey | int) -> Sample:
        """Loads and transforms a sample; a plain index stands for a key with entropy (0, index).

        Raises:
            DataError: A file of the sample is unreadable or wrong.
        """
        if isinstance(key, int):
            key = SampleKey(key, (0, key))
        rng = np.random.default_rng(key.entropy)
        sample = self.load(key.index)
        if self.mode == "train":
            return self.transforms(sample, rng)
        label = sample.label
        return replace(self.transforms(replace(sample, label=None), rng), label=label)

    def split_normalize(self) -> tuple[SegmentationDataset, Normalize | None]:
        """This data set without the Normalize that comes last, and that; None where it has none there."""
        transforms, normalize = self.transforms.split_normalize()
        dataset = copy.copy(self)
        dataset.transforms = transforms
        return dataset, normalize

    def load(self, index: int) -> Sample:
        """Decodes a pair and checks it, or takes it from the pack; nothing is transformed.

        Returns:
            The image in uint8; the label in uint8 where the file has 8 bits, else int32.

        Raises:
            DataError: A file is unreadable, the sizes differ, or the label holds a wrong value.
        """
        pair = self.files[index]
        if self.pack is not None:
            return Sample(*self.pack.sample(index), image_path=pair.image, label_path=pair.label)
        image = read_pixels(pair.image, self.img_channels)
        label = None if pair.label is None else self.load_label(index)
        if label is not None and label.shape != image.shape[:2]:
            raise DataError(_size_message(pair, image.shape[:2], label.shape))
        return Sample(image, label, image_path=pair.image, label_path=pair.label)

    def load_label(self, index: int) -> LabelArray:
        """Decodes and checks the label of a pair that has one.

        Raises:
            DataError: The file is unreadable or holds a wrong value.
        """
        path = self.files[index].label
        assert path is not None, "load_label needs a data set with labels"
        label = self._decode_label(path)
        check_label(label, path, num_classes=self.num_classes, ignore_index=self.ignore_index)
        return label

    def _decode_label(self, path: str) -> LabelArray:
        return read_label(path)


def check_mode(mode: str) -> str:
    """Accepts train, val or test in any case."""
    if mode.lower() not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    return mode.lower()


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """The first names, one a line, and how many more there are."""
    lines = [f"  {name}" for name in names[:limit]]
    if len(names) > limit:
        lines.append(f"  … and {len(names) - limit} more")
    return "\n".join(lines)


def relative_names(files: Sequence[Pair], root: str | None = None) -> dict[str, str]:
    """Names of files that stay the same when the whole data set moves.

    Args:
        files: The pairs.
        root: Folder that the names start from; by default the one that all files have in common.

    Returns:
        By the path that a pair has, the path from that folder, with ``/``.
    """
    paths = {path for pair in files for path in (pair.image, pair.label) if path is not None}
    absolute = {path: os.path.abspath(path) for path in paths}
    if root is None:
        root = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])
    return {path: PurePath(os.path.relpath(whole, root)).as_posix() for path, whole in absolute.items()}


def _check_palette(palette: Sequence[Colour]) -> None:
    for index, colour in enumerate(palette):
        if not conforms(list(colour), Colour):
            raise ValueError(f"palette[{index}]: expected {describe(Colour)} (R, G, B), got {list(colour)}")


def _refuse_missing(files: Sequence[Pair]) -> None:
    wanted = dict.fromkeys(path for pair in files for path in (pair.image, pair.label) if path is not None)
    missing = [path for path in wanted if not Path(path).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(wanted)} files do not exist:\n{name_some(missing)}")


def _size_message(pair: Pair, image_size: tuple[int, int], label_size: tuple[int, int]) -> str:
    (height, width), (label_height, label_width) = image_size, label_size
    message = (
        f"{pair.label}: the label has {label_width}×{label_height} pixels, its image {pair.image} "
        f"{width}×{height}; "
    )
    if image_size == label_size[::-1]:
        return message + "one of them is rotated: was the photograph's EXIF orientation lost when labelling?"
    return message + "label and image must be the same size: is this the label of another image?"
