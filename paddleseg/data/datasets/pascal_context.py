"""PASCAL-Context (Mottaghi et al., CVPR 2014): whole scenes of PASCAL VOC 2010."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from paddleseg.data.datasets.pairs import Found
from paddleseg.data.datasets.standard import StandardDataset, bit_palette, pair_listed, read_names, words
from paddleseg.registry import DATASETS

__all__ = ["PascalContext"]

_LAYOUT = "dataset_root must be VOC2010/ with what tools/convert_voc2010.py makes of trainval_merged.json"


@DATASETS.register
class PascalContext(StandardDataset):
    """The 59 most frequent classes of PASCAL-Context and background (Mottaghi et al., CVPR 2014).

    ``dataset_root`` is ``VOC2010`` (or the ``VOCdevkit`` that holds it) with ``JPEGImages/*.jpg`` and what
    ``tools/convert_voc2010.py`` makes: ``ImageSets/Segmentation/{train,val,trainval}_context.txt`` and
    ``Context/*.png`` with ids 0..59. ``mode: test`` reads the images of ``ImageSets/Segmentation/test.txt``.
    ``reduce_zero_label: True`` leaves background out, so that 59 classes remain: set ``num_classes: 59``.

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters; ``mode`` is ``train``,
    ``trainval``, ``val`` or ``test``.
    """

    CLASS_NAMES = words(
        "background aeroplane bag bed bedclothes bench bicycle bird boat book bottle building bus cabinet "
        "car cat ceiling chair cloth computer cow cup curtain dog door fence floor flower food grass ground "
        "horse keyboard light motorbike mountain mouse person plate platform pottedplant road rock sheep "
        "shelves sidewalk sign sky snow sofa table track train tree truck tvmonitor wall water window wood"
    )
    PALETTE = bit_palette(60)
    NUM_CLASSES = 60
    SUBSETS: ClassVar[Mapping[str, str]] = {
        "train": "train",
        "trainval": "train",
        "val": "val",
        "test": "test",
    }

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        folder = Path(root) / "VOC2010" if (Path(root) / "VOC2010").is_dir() else Path(root)
        lists, images = folder / "ImageSets" / "Segmentation", folder / "JPEGImages"
        if subset == "test":
            return pair_listed(read_names(lists / "test.txt", _LAYOUT), images, None)
        return pair_listed(read_names(lists / f"{subset}_context.txt", _LAYOUT), images, folder / "Context")
