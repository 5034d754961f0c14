"""PASCAL VOC 2012 (Everingham et al., IJCV 2010), with SBD's annotations (Hariharan et al., ICCV 2011)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from paddleseg.data.datasets.pairs import Found
from paddleseg.data.datasets.standard import StandardDataset, bit_palette, pair_listed, read_names, words
from paddleseg.registry import DATASETS

__all__ = ["PascalVOC"]

_LAYOUT = "dataset_root must be VOCdevkit/ or VOC2012/ of the official archive (VOCtrainval_11-May-2012.tar)"
_AUGMENTED = "mode trainaug needs what tools/voc_augment.py makes of SBD"


@DATASETS.register
class PascalVOC(StandardDataset):
    """The 20 classes of PASCAL VOC 2012 and background (Everingham et al., IJCV 2010).

    ``dataset_root`` is ``VOCdevkit``, which holds ``VOC2012``, or that folder itself, with
    ``ImageSets/Segmentation/{train,val,trainval,test}.txt``, ``JPEGImages/*.jpg`` and
    ``SegmentationClass/*.png``; nothing else there is read. ``mode: trainaug`` adds to train what
    ``tools/voc_augment.py`` makes of SBD: ``ImageSets/Segmentation/aug.txt`` and
    ``SegmentationClassAug/*.png``; without ``aug.txt``, a list ``trainaug.txt`` of files in
    ``SegmentationClassAug`` is taken, as others make it.

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters; ``mode`` is ``train``,
    ``trainaug``, ``trainval``, ``val`` or ``test``.
    """

    CLASS_NAMES = words(
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
        "person pottedplant sheep sofa train tvmonitor"
    )
    PALETTE = bit_palette(21)
    NUM_CLASSES = 21
    SUBSETS: ClassVar[Mapping[str, str]] = {
        "train": "train",
        "trainaug": "train",
        "trainval": "train",
        "val": "val",
        "test": "test",
    }

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        folder = Path(root) if (Path(root) / "ImageSets").is_dir() else Path(root) / "VOC2012"
        lists, images = folder / "ImageSets" / "Segmentation", folder / "JPEGImages"
        labels, augmented = folder / "SegmentationClass", folder / "SegmentationClassAug"
        if subset == "test":
            return pair_listed(read_names(lists / "test.txt", _LAYOUT), images, None)
        if subset != "trainaug":
            return pair_listed(read_names(lists / f"{subset}.txt", _LAYOUT), images, labels)
        if not (lists / "aug.txt").is_file() and (lists / "trainaug.txt").is_file():
            return pair_listed(read_names(lists / "trainaug.txt", _AUGMENTED), images, augmented)
        train = pair_listed(read_names(lists / "train.txt", _LAYOUT), images, labels)
        extra = pair_listed(read_names(lists / "aug.txt", _AUGMENTED), images, augmented)
        return Found((*train.pairs, *extra.pairs))
