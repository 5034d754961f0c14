"""ADE20K, the SceneParse150 benchmark (Zhou et al., CVPR 2017)."""

from __future__ import annotations

from pathlib import Path

from paddleseg.data.datasets.ade20k_classes import CLASS_NAMES, PALETTE
from paddleseg.data.datasets.pairs import Found
from paddleseg.data.datasets.standard import StandardDataset, pair_folders
from paddleseg.registry import DATASETS

__all__ = ["ADE20K"]

_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_LAYOUT = "dataset_root must be ADEChallengeData2016/ of the official archive"


@DATASETS.register
class ADE20K(StandardDataset):
    """The 150 classes of ADE20K's scene parsing benchmark (Zhou et al., CVPR 2017).

    ``dataset_root`` is ``ADEChallengeData2016`` with ``images/{training,validation}/*.jpg`` and
    ``annotations/{training,validation}/*.png``, whose 0 is everything else and 1..150 the classes;
    ``reduce_zero_label`` is therefore True by default. ``mode: test`` reads ``images/testing/*.jpg``: put the
    official test images there.

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters.
    """

    CLASS_NAMES = CLASS_NAMES
    PALETTE = PALETTE
    NUM_CLASSES = 150
    REDUCE_ZERO_LABEL = True

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        images = Path(root) / "images" / _FOLDERS[subset]
        labels = None if subset == "test" else Path(root) / "annotations" / _FOLDERS[subset]
        return pair_folders(images, labels, advice=_LAYOUT)
