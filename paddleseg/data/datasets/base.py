"""What every data set does: load, check and transform pairs of image and label."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from paddleseg.config.hints import conforms, describe
from paddleseg.data.colour_table import Colour
from paddleseg.data.datasets.pairs import (
    Found,
    Pair,
    UnpairedError,
    keep_existing,
    name_some,
    refuse_unpaired,
    relative_names,
)
from paddleseg.data.images import read_pixels
from paddleseg.data.label_coding import ColorMap, LabelMap, parse_coding
from paddleseg.data.masks import check_label, read_colours, read_label, read_mask
from paddleseg.data.transforms.compose import (
    Compose,
    refuse_other_classes,
    refuse_other_padding,
    refuse_training_transforms,
)
from paddleseg.data.transforms.photometric import Normalize
from paddleseg.data.transforms.sample import LabelArray, Sample, Transform
from paddleseg.errors import DataError

if TYPE_CHECKING:
    from paddleseg.data.pack import Pack

__all__ = [
    "MODES",
    "Colour",
    "Found",
    "Pair",
    "SampleKey",
    "SegmentationDataset",
    "UnpairedError",
    "check_mode",
    "name_some",
    "relative_names",
]

MODES = ("train", "val", "test")


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
        files: The pairs, or all that was found; all files must exist and have a partner.
        mode: ``train``, ``val``, ``test``, or another name in ``SUBSETS``.
        transforms: Applied in order to each sample.
        num_classes: Labels hold 0..num_classes−1 or ``ignore_index``; by default as many as ``class_names``,
            ``label_map`` or ``color_map`` name.
        ignore_index: The label value that takes no part.
        reduce_zero_label: 0 becomes ``ignore_index``, every other id one less.
        label_map: Merges and drops ids, after the steps before; see
            :func:`paddleseg.data.label_coding.parse_coding`, also for the next.
        color_map: The ids of colours, where those of the label files stand for classes.
        img_channels: 3 for RGB, 1 for grey.
        class_names: One a class, for reports.
        palette: One colour (R, G, B) a class, for pictures.
        pack: Where decoded pairs are read from; the files then need not exist.

    Raises:
        ValueError: A parameter is out of range, or a transform of training is used in val or test.
        DataError: There is no sample.
        UnpairedError: Files are missing or have no partner. This comes last, so that its ``dataset`` can be
            used; a subclass sets its own attributes before it calls this constructor.
    """

    NUM_CLASSES: ClassVar[int | None] = None
    IGNORE_INDEX: ClassVar[int | None] = None
    IMG_CHANNELS: ClassVar[int | None] = None
    SUBSETS: ClassVar[Mapping[str, str]] = {mode: mode for mode in MODES}
    """The names that the parameter ``mode`` may have, and which mode each behaves as."""

    def __init__(
        self,
        files: Sequence[Pair] | Found,
        *,
        mode: str,
        transforms: Sequence[Transform],
        num_classes: int | None = None,
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
        label_map: LabelMap | None = None,
        color_map: ColorMap | None = None,
        img_channels: int = 3,
        class_names: Sequence[str] | None = None,
        palette: Sequence[Colour] | None = None,
        pack: Pack | None = None,
    ) -> None:
        self.coding = parse_coding(
            ignore_index=ignore_index,
            reduce_zero_label=reduce_zero_label,
            label_map=label_map,
            color_map=color_map,
        )
        num_classes = self.coding.count_classes(num_classes=num_classes, class_names=class_names)
        if num_classes is None:
            raise ValueError(
                "num_classes: not given, and neither class_names nor label_map or color_map tells it"
            )
        self.coding.check_classes(num_classes)
        if img_channels not in (1, 3):
            raise ValueError(f"img_channels: expected 1 or 3, got {img_channels}")
        for name, values in (("class_names", class_names), ("palette", palette)):
            if values is not None and len(values) != num_classes:
                raise ValueError(f"{name}: expected {num_classes} entries (num_classes), got {len(values)}")
        _check_palette(palette or ())
        self.subset = check_mode(mode, self.SUBSETS)
        self.mode = self.SUBSETS[self.subset]
        self.transforms = Compose(transforms)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.img_channels = img_channels
        self.class_names = None if class_names is None else tuple(class_names)
        self.palette: list[Colour] | None = None if palette is None else [(r, g, b) for r, g, b in palette]
        refuse_other_classes(self.transforms, num_classes)
        if self.mode == "train":
            refuse_other_padding(self.transforms, num_classes, ignore_index)
        else:
            refuse_training_transforms(self.transforms, f"in mode {self.mode}")
        self.pack = pack
        self._take_files(files if isinstance(files, Found) else Found(tuple(files)))

    def _take_files(self, found: Found) -> None:
        wanted = {path for pair in found.pairs for path in (pair.image, pair.label) if path is not None}
        whole = keep_existing(found) if self.pack is None else found
        self.files = list(whole.pairs)
        refuse_unpaired(whole, self.mode, total=len(wanted), dataset=self if self.files else None)
        if not self.files:
            raise DataError(f"{type(self).__name__} ({self.mode}): the data set is empty")

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
            sample = replace(sample, other=self._load_another)
            return replace(self.transforms(sample, rng), other=None)
        label = sample.label
        return replace(self.transforms(replace(sample, label=None), rng), label=label)

    def _load_another(self, rng: np.random.Generator) -> Sample:
        """A sample at random, as it is loaded, for transforms that join two; of a pack, one that is here."""
        index = int(rng.integers(len(self)))
        while self.pack is not None and not self.pack.holds(index):
            index = int(rng.integers(len(self)))
        return replace(self.load(index), other=self._load_another)

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
        label = self.decode_label(index)
        path = self._label_path(index)
        check_label(label, path, num_classes=self.num_classes, ignore_index=self.ignore_index)
        return label

    def decode_label(self, index: int) -> LabelArray:
        """Decodes a label and maps its values to class ids, without a look at which ids there may be.

        Raises:
            DataError: The file is unreadable, or holds what cannot be mapped.
        """
        path = self._label_path(index)
        if self.pack is None:
            return self.coding.apply(self._decode_label(path), path)
        label = self.pack.sample(index)[1]
        assert label is not None, "the pack has a label where the data set has one"
        return label

    def raw_label(self, index: int) -> NDArray[Any]:
        """Decodes a label and maps nothing.

        Returns:
            [H, W] the values of the file; or [H, W, 3] its colours in RGB, always so with a ``color_map``.

        Raises:
            DataError: The file is unreadable.
        """
        path = self._label_path(index)
        return read_mask(path) if self.coding.colours is None else read_colours(path)

    def _label_path(self, index: int) -> str:
        path = self.files[index].label
        assert path is not None, "only data sets with labels are asked for them"
        return path

    def _decode_label(self, path: str) -> NDArray[Any]:
        """What ``coding`` is applied to; a subclass may map ids here."""
        return read_label(path) if self.coding.colours is None else read_colours(path)


def check_mode(mode: str, allowed: Iterable[str] = MODES) -> str:
    """Accepts the names of modes in any case."""
    if mode.lower() not in allowed:
        raise ValueError(f"mode: expected one of {', '.join(allowed)}, got {mode!r}")
    return mode.lower()


def _check_palette(palette: Sequence[Colour]) -> None:
    for index, colour in enumerate(palette):
        if not conforms(list(colour), Colour):
            raise ValueError(f"palette[{index}]: expected {describe(Colour)} (R, G, B), got {list(colour)}")


def _size_message(pair: Pair, image_size: tuple[int, int], label_size: tuple[int, int]) -> str:
    (height, width), (label_height, label_width) = image_size, label_size
    message = (
        f"{pair.label}: the label has {label_width}×{label_height} pixels, its image {pair.image} "
        f"{width}×{height}; "
    )
    if image_size == label_size[::-1]:
        return message + "one of them is rotated: was the photograph's EXIF orientation lost when labelling?"
    return message + "label and image must be the same size: is this the label of another image?"
