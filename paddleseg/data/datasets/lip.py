"""LIP, Look into Person (Gong et al., CVPR 2017): the parts of single people."""

from __future__ import annotations

from pathlib import Path

from paddleseg.data.datasets.pairs import Found
from paddleseg.data.datasets.standard import StandardDataset, bit_palette, pair_folders, words
from paddleseg.registry import DATASETS

__all__ = ["LIP"]

_LAYOUT = "dataset_root must hold what the official archives unpack to, TrainVal_images/ and the others"


@DATASETS.register
class LIP(StandardDataset):
    """The 19 parts of LIP's people and background (Gong et al., CVPR 2017).

    ``dataset_root`` holds ``TrainVal_images/{train,val}_images/*.jpg``,
    ``TrainVal_parsing_annotations/{train,val}_segmentations/*.png`` and
    ``Testing_images/testing_images/*.jpg``; the folders inside may also lie in ``dataset_root`` itself. Left
    and right are classes of their own, so leave flips out of the transforms and out of ``test_config``.

    See :class:`paddleseg.data.datasets.standard.StandardDataset` for the parameters.
    """

    CLASS_NAMES = words(
        "Background Hat Hair Glove Sunglasses UpperClothes Dress Coat Socks Pants Jumpsuits Scarf Skirt Face "
        "Left-arm Right-arm Left-leg Right-leg Left-shoe Right-shoe"
    )
    PALETTE = bit_palette(20)
    NUM_CLASSES = 20

    @classmethod
    def find(cls, root: str, subset: str) -> Found:
        if subset == "test":
            return pair_folders(_inside(root, "Testing_images", "testing_images"), None, advice=_LAYOUT)
        images = _inside(root, "TrainVal_images", f"{subset}_images")
        labels = _inside(root, "TrainVal_parsing_annotations", f"{subset}_segmentations")
        return pair_folders(images, labels, advice=_LAYOUT)


def _inside(root: str, archive: str, folder: str) -> Path:
    direct = Path(root) / folder
    return direct if direct.is_dir() else Path(root) / archive / folder
