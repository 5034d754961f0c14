"""Data sets; no Paddle needed. Importing this fills ``registry.DATASETS``."""

from paddleseg.data.datasets.ade20k import ADE20K
from paddleseg.data.datasets.base import Found, Pair, SampleKey, SegmentationDataset, UnpairedError
from paddleseg.data.datasets.camvid import CamVid
from paddleseg.data.datasets.cityscapes import Cityscapes
from paddleseg.data.datasets.coco_stuff import CocoStuff
from paddleseg.data.datasets.file_list import Dataset
from paddleseg.data.datasets.folder import FolderDataset
from paddleseg.data.datasets.lip import LIP
from paddleseg.data.datasets.pascal_context import PascalContext
from paddleseg.data.datasets.pascal_voc import PascalVOC
from paddleseg.data.datasets.standard import StandardDataset

__all__ = [
    "ADE20K",
    "LIP",
    "CamVid",
    "Cityscapes",
    "CocoStuff",
    "Dataset",
    "FolderDataset",
    "Found",
    "Pair",
    "PascalContext",
    "PascalVOC",
    "SampleKey",
    "SegmentationDataset",
    "StandardDataset",
    "UnpairedError",
]
