"""What the public data sets have in common: a layout on disk, and classes that are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.datasets.base import Colour, SegmentationDataset
from paddleseg.data.datasets.pairs import Found, Pair
from paddleseg.data.label_coding import ColorMap, LabelMap, parse_coding
from paddleseg.data.transforms.sample import Transform
from paddleseg.errors import DataError

__all__ = [
    "StandardDataset",
    "bit_palette",
    "pair_folders",
    "pair_listed",
    "read_names",
    "refuse_edge",
    "words",
]


class StandardDataset(SegmentationDataset):
    """A public data set; a subclass says where its files lie, in :meth:`find`, and names its classes.

    Args:
        transforms: Applied to each sample.
        dataset_root: The folder of the data set.
        mode: Which part: a name in ``SUBSETS``.
        edge: PaddleSeg's edge labels; not available, so only False.
        num_classes: Needed where ``label_map`` makes other classes of the data set's and does not tell it.
        ignore_index: What becomes of pixels without a class; 255 in the files.
        reduce_zero_label: 0 becomes ``ignore_index``, every other id one less; as the data set needs it by
            default.
        label_map: Merges and drops classes; its keys are the data set's class ids.
        color_map: The ids of colours, for a copy whose labels are colours.
        class_names: One a class, for reports; the data set's by default.
        palette: One colour [R, G, B] a class, for pictures; the data set's by default.

    Raises:
        ValueError: A parameter is out of range.
        DataError: A folder or a list is missing or empty.
        UnpairedError: An image or a label has no partner.
    """

    CLASS_NAMES: ClassVar[tuple[str, ...]]
    PALETTE: ClassVar[tuple[Colour, ...] | None] = None
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3
    REDUCE_ZERO_LABEL: ClassVar[bool] = False

    def __init__(
        self,
        transforms: Sequence[Transform],
        dataset_root: str,
        mode: str = "train",
        edge: bool = False,
        num_classes: int | None = None,
        ignore_index: int = 255,
        reduce_zero_label: bool | None = None,
        label_map: LabelMap | None = None,
        color_map: ColorMap | None = None,
        class_names: Sequence[str] | None = None,
        palette: Sequence[Colour] | None = None,
    ) -> None:
        refuse_edge(edge)
        coding = parse_coding(ignore_index=ignore_index, label_map=label_map, color_map=color_map)
        count = coding.count_classes(
            num_classes=num_classes, class_names=class_names, default=self.NUM_CLASSES
        )
        as_they_are = label_map is None and color_map is None and reduce_zero_label is None
        if as_they_are and (count or 0) < (self.NUM_CLASSES or 0):
            raise ValueError(
                f"num_classes: {type(self).__name__} has {self.NUM_CLASSES}, got {count}; merge or drop "
                "classes with label_map"
            )
        if count == self.NUM_CLASSES and label_map is None:
            if reduce_zero_label and not self.REDUCE_ZERO_LABEL:
                left = count - 1 if count else 0
                raise ValueError(
                    f"num_classes: reduce_zero_label leaves {left} of {count} classes; set it to {left}"
                )
            class_names, palette = class_names or self.CLASS_NAMES, palette or self.PALETTE
        super().__init__(
            self.find(dataset_root, mode.lower()) if mode.lower() in self.SUBSETS else (),
            mode=mode,
            transforms=transforms,
            num_classes=count,
            ignore_index=ignore_index,
            reduce_zero_label=self.REDUCE_ZERO_LABEL if reduce_zero_label is None else reduce_zero_label,
            label_map=label_map,
            color_map=color_map,
            img_channels=self.IMG_CHANNELS or 3,
            class_names=class_names,
            palette=palette,
        )

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        """Looks for the files of a part of the data set.

        Args:
            root: The folder of the data set.
            subset: A name in ``SUBSETS``.

        Raises:
            DataError: A folder or a list is missing.
        """
        raise NotImplementedError

    def _decode_label(self, path: str) -> NDArray[Any]:
        label = super()._decode_label(path)
        if self.coding.colours is not None:
            return label
        return _map_bytes(label, self._class_ids(label, path), self.ignore_index)

    def _class_ids(self, label: NDArray[Any], path: str) -> NDArray[np.uint8] | None:
        """[256] the class id of each value of a file, 255 for none; None where values are class ids."""
        return None


def refuse_edge(edge: bool) -> None:
    """PaddleSeg's ``edge: True`` feeds boundary losses, which are not part of this toolkit."""
    if edge:
        raise ValueError("edge: edge labels are not available here; remove the key")


def _map_bytes(label: NDArray[Any], table: NDArray[np.uint8] | None, ignore_index: int) -> NDArray[Any]:
    """The class ids of a label, with ``ignore_index`` in place of 255."""
    if table is None and ignore_index == 255:
        return label
    ids = np.arange(256) if table is None else table.astype(np.int64)
    ids = np.where(ids == 255, ignore_index, ids).astype(np.uint8 if 0 <= ignore_index < 256 else np.int32)
    if label.dtype == np.uint8:
        return cv2.LUT(label, ids)
    mapped = label.astype(np.int32)
    is_byte = (label >= 0) & (label < 256)
    mapped[is_byte] = ids[label[is_byte]]
    return mapped


def pair_folders(
    images: Path, labels: Path | None, *, image_end: str = ".jpg", label_end: str = ".png", advice: str
) -> Found:
    """Pairs the files of two folders by name, sorted; other files there are passed over.

    Args:
        images: Folder of the images.
        labels: Folder of the labels; None for a test set.
        image_end: How the names of images end.
        label_end: How the names of labels end.
        advice: What a message says where a folder is missing: the layout.

    Raises:
        DataError: A folder is missing.
    """
    found = _names(images, image_end, advice)
    if labels is None:
        return Found(tuple(Pair(path, None) for path in found.values()))
    partners = _names(labels, label_end, advice)
    return Found(
        tuple(Pair(path, partners[name]) for name, path in found.items() if name in partners),
        without_label=tuple(path for name, path in found.items() if name not in partners),
        without_image=tuple(path for name, path in partners.items() if name not in found),
        labels_at=f"under {labels} (…{label_end})",
    )


def pair_listed(
    names: Iterable[str],
    images: Path,
    labels: Path | None,
    *,
    image_end: str = ".jpg",
    label_end: str = ".png",
) -> Found:
    """Pairs the images and labels that a list names; whether they exist is found out later.

    Args:
        names: Names without endings.
        images: Folder of the images.
        labels: Folder of the labels; None for a test set.
        image_end: How the names of images end.
        label_end: How the names of labels end.
    """
    return Found(
        tuple(
            Pair(
                str(images / f"{name}{image_end}"),
                None if labels is None else str(labels / f"{name}{label_end}"),
            )
            for name in names
        )
    )


def read_names(path: Path, advice: str) -> list[str]:
    """Reads a list with one name a line; what follows a space there does not count.

    Args:
        path: The list.
        advice: What a message says where it is missing.

    Raises:
        DataError: The list is missing, is no text or names one thing twice.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such list; {advice}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list cannot be read as UTF-8 text: {error}") from error
    names = [line.split()[0] for line in lines if line.strip()]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DataError(f"{path}: names {name!r} more than once; keep one line of it")
    return names


def words(text: str) -> tuple[str, ...]:
    """Names that spaces part; ``_`` stands for a space in one."""
    return tuple(name.replace("_", " ") for name in text.split())


def bit_palette(count: int) -> tuple[Colour, ...]:
    """The palette of PASCAL VOC: an id's bits go round red, green, blue, from the highest bit down."""
    colours = []
    for index in range(count):
        channels = [0, 0, 0]
        for bit in range(8):
            channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


def _names(folder: Path, end: str, advice: str) -> dict[str, str]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {advice}")
    return {
        path.name.removesuffix(end): str(path)
        for path in sorted(folder.glob(f"*{end}"))
        if path.name[0] != "."
    }
