"""A check that looks at image headers only."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.transforms import (
    Normalize,
    RandomDistort,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    ResizeStepScaling,
)
from paddleseg.errors import DataError

__all__ = ["check_crop_size", "image_size"]


def check_crop_size(dataset: SegmentationDataset) -> None:
    """Refuses a training crop that is wider and higher than every image: the model would learn padding.

    Chains with other resizing before the crop are not judged. It looks no further than the first image that
    reaches the crop, so it is cheap on a sound data set.

    Raises:
        DataError: No image, enlarged as far as ``ResizeStepScaling`` allows, reaches the crop on either side.
    """
    scale = 1.0
    for transform in dataset.transforms.transforms:
        if isinstance(transform, RandomPaddingCrop):
            _check_images(dataset, transform.crop_size, scale)
            return
        if isinstance(transform, ResizeStepScaling):
            scale *= transform.max_scale_factor
        elif not isinstance(transform, RandomHorizontalFlip | RandomDistort | Normalize):
            return


def _check_images(dataset: SegmentationDataset, crop: tuple[int, int], scale: float) -> None:
    largest = 0, 0
    for width, height in _image_sizes(dataset):
        if height * scale >= crop[0] or width * scale >= crop[1]:
            return
        largest = max(largest, (width, height))
    raise DataError(
        f"RandomPaddingCrop: crop_size [{crop[1]}, {crop[0]}] is larger than every image, even enlarged "
        f"{scale:g} times (largest: {largest[0]}×{largest[1]}); lower crop_size or raise max_scale_factor"
    )


def _image_sizes(dataset: SegmentationDataset) -> Iterator[tuple[int, int]]:
    if dataset.pack is None:
        return (image_size(pair.image) for pair in dataset.files)
    # Of all shards, also those that are not here: every process must come to the same judgement.
    height, width = dataset.pack.index.largest
    return iter([(width, height)])


def image_size(path: str) -> tuple[int, int]:
    """Returns width and height by the file's header.

    Raises:
        DataError: The file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded as an image ({error})") from error
