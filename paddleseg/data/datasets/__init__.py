"""Data sets; no Paddle needed. Importing this fills ``registry.DATASETS``."""

from paddleseg.data.datasets.base import Pair, SampleKey, SegmentationDataset
from paddleseg.data.datasets.cityscapes import Cityscapes
from paddleseg.data.datasets.file_list import Dataset

__all__ = ["Cityscapes", "Dataset", "Pair", "SampleKey", "SegmentationDataset"]
