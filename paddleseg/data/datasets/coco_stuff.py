"""COCO-Stuff 164k (Caesar et al., CVPR 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.datasets.coco_stuff_classes import CLASS_NAMES, LABEL_IDS
from paddleseg.data.datasets.pairs import Found
from paddleseg.data.datasets.standard import StandardDataset, bit_palette, pair_folders
from paddleseg.data.masks import wrong_values
from paddleseg.errors import DataError
from paddleseg.registry import DATASETS

__all__ = ["LABEL_ID_TO_CLASS", "CocoStuff"]

_CONVERTED, _OFFICIAL = ("convert_annotations", "annotations"), "stuffthingmaps"
_LAYOUT = "dataset_root must hold images/ and annotations/, each with train2017/ and val2017/"


def _lookup_table() -> NDArray[np.uint8]:
    table = np.full(256, 255, dtype=np.uint8)
    table[list(LABEL_IDS)] = np.arange(len(LABEL_IDS))
    return table


LABEL_ID_TO_CLASS = _lookup_table()
"""[256] uint8: the class of each id in the official files; 255 where there is none."""


@DATASETS.register
class CocoStuff(StandardDataset):
    """The 80 things and 91 stuff classes of COCO-Stuff 164k (Caesar et al., CVPR 2018).

    ``dataset_root`` holds ``images/{train,val,test}2017/*.jpg`` and one of these folders with
    ``{train,val}2017/*.png``, the first that has that part: ``convert_annotations`` or ``annotations`` with
    ids 0..170, as ``tools/convert_cocostuff.py`` writes them; ``stuffthingmaps``, the official files with ids
    0..181, mapped while they are read.

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters.
    """

    CLASS_NAMES = CLASS_NAMES
    PALETTE = bit_palette(171)
    NUM_CLASSES = 171

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        images = Path(root) / "images" / f"{subset}2017"
        if subset == "test":
            return pair_folders(images, None, advice=_LAYOUT)
        folders = [Path(root) / name for name in (*_CONVERTED, _OFFICIAL)]
        # annotations/ may be there for COCO's JSON files alone.
        parts = [folder / f"{subset}2017" for folder in folders]
        labels = next((part for part in parts if part.is_dir()), parts[1])
        return pair_folders(images, labels, advice=_LAYOUT)

    def _class_ids(self, label: NDArray[Any], path: str) -> NDArray[np.uint8] | None:
        if Path(path).parents[1].name != _OFFICIAL:
            return None
        if unknown := wrong_values(label, (*LABEL_IDS, 255)):
            raise DataError(
                f"{path}: holds {str(unknown[:8])[1:-1]}, which COCO-Stuff does not use; files that are "
                "converted already belong into annotations/"
            )
        return LABEL_ID_TO_CLASS
