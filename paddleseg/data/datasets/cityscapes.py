"""Cityscapes (Cordts et al., CVPR 2016), fine annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.colour_table import Colour
from paddleseg.data.datasets.pairs import Found, Pair, refuse_unpaired
from paddleseg.data.datasets.standard import StandardDataset
from paddleseg.data.masks import wrong_values
from paddleseg.errors import DataError
from paddleseg.registry import DATASETS

__all__ = ["LABEL_ID_TO_TRAIN_ID", "TRAIN_CLASSES", "Cityscapes", "find_frames", "find_pairs"]

# (name, official label id, colour) in the order of train ids, from cityscapesScripts helpers/labels.py.
TRAIN_CLASSES: tuple[tuple[str, int, Colour], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
LARGEST_LABEL_ID = 33
LABEL_IDS = (*range(-1, LARGEST_LABEL_ID + 1), 255)  # 255 is how a byte holds −1
IMAGE_END = "_leftImg8bit.png"
TRAIN_IDS_END = "_gtFine_labelTrainIds.png"
LABEL_IDS_END = "_gtFine_labelIds.png"


def _lookup_table() -> np.ndarray:
    table = np.full(256, 255, dtype=np.uint8)
    for train_id, (_, label_id, _) in enumerate(TRAIN_CLASSES):
        table[label_id] = train_id
    return table


LABEL_ID_TO_TRAIN_ID = _lookup_table()
"""[256] uint8: the train id of each official label id; 255 where a class is not evaluated."""


@DATASETS.register
class Cityscapes(StandardDataset):
    """The 19 evaluated classes of Cityscapes (Cordts et al., CVPR 2016).

    The folder holds ``leftImg8bit/{train,val,test}/<city>/<city>_<sequence>_<frame>_leftImg8bit.png`` and
    ``gtFine/{train,val}/<city>/…_gtFine_labelTrainIds.png``. A frame without that file is read from
    ``…_gtFine_labelIds.png``, as downloaded, and mapped. Images pair with labels by name.

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters.
    """

    CLASS_NAMES = tuple(name for name, _, _ in TRAIN_CLASSES)
    PALETTE = tuple(colour for _, _, colour in TRAIN_CLASSES)
    NUM_CLASSES = 19

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        return find_frames(root, subset)

    def _class_ids(self, label: NDArray[Any], path: str) -> NDArray[np.uint8] | None:
        if not path.endswith(LABEL_IDS_END):
            return None
        unknown = wrong_values(label, LABEL_IDS)
        if unknown:
            raise DataError(
                f"{path}: holds {unknown}, expected the official label ids 0..{LARGEST_LABEL_ID}; "
                "is it an instance or a colour file under this name?"
            )
        return LABEL_ID_TO_TRAIN_ID


def find_pairs(root: str, split: str) -> list[Pair]:
    """Lists the images of a split with their labels, sorted by name; a test split has none.

    Raises:
        DataError: A folder is missing or empty, or a file has no partner.
    """
    found = find_frames(root, split)
    refuse_unpaired(found, split)
    return list(found.pairs)


def find_frames(root: str, split: str) -> Found:
    """Like :func:`find_pairs`, with the files that have no partner.

    Raises:
        DataError: A folder is missing.
    """
    images = _frames(Path(root) / "leftImg8bit" / split, IMAGE_END)
    if split == "test":
        return Found(tuple(Pair(path, None) for path in images.values()))
    label_folder = Path(root) / "gtFine" / split
    # Train ids win where both are there.
    labels = {**_frames(label_folder, LABEL_IDS_END), **_frames(label_folder, TRAIN_IDS_END)}
    return Found(
        tuple(Pair(path, labels[frame]) for frame, path in images.items() if frame in labels),
        without_label=tuple(path for frame, path in images.items() if frame not in labels),
        without_image=tuple(path for frame, path in labels.items() if frame not in images),
        labels_at=f"under {label_folder} (…{TRAIN_IDS_END} or …{LABEL_IDS_END})",
    )


def _frames(folder: Path, end: str) -> dict[str, str]:
    """{'<city>/<city>_<sequence>_<frame>': path} of the files whose names end so."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; dataset_root must hold leftImg8bit/ and gtFine/ "
            "(tools/prepare_cityscapes.py makes them from the official zip files)"
        )
    paths = sorted(folder.glob(f"*/*{end}"))
    return {f"{path.parent.name}/{path.name.removesuffix(end)}": str(path) for path in paths}
