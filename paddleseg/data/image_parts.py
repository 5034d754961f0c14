"""An image as a model takes it, made part by part when a part is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.photometric import Normalize
from paddleseg.data.transforms.sample import ByteImage, ImageArray, PixelArray, Sample

__all__ = ["ImageParts"]


@dataclass(frozen=True, eq=False)
class ImageParts:
    """1×C×H×W float32 that never exists whole unless all of it is asked for: ``parts[:]``.

    Attributes:
        pixels: H×W×C, uint8 or float32, transformed but for the last step.
        normalize: The last step; None where another one, already taken, is last.
    """

    pixels: PixelArray
    normalize: Normalize | None

    @classmethod
    def of(cls, sample: Sample, normalize: Normalize | None) -> ImageParts:
        """The parts of a sample's image. Raises DataError where ``normalize`` does not fit its channels."""
        if normalize is not None:
            normalize.check(sample)
        return cls(sample.image, normalize)

    @property
    def shape(self) -> tuple[int, ...]:
        height, width, channels = self.pixels.shape
        return 1, channels, height, width

    def __getitem__(self, part: slice | tuple[slice, ...]) -> ImageArray:
        """The part; the first two axes are always whole."""
        places = part if isinstance(part, tuple) else (part,)
        pixels = self.pixels[places[2:]]
        if self.normalize is None:
            return functional.to_batch_of_one(pixels)
        mean, std = self.normalize.mean, self.normalize.std
        if pixels.dtype == np.uint8:
            return functional.normalize_bytes(cast(ByteImage, pixels)[np.newaxis], mean, std)
        return functional.to_batch_of_one(functional.normalize(pixels, mean, std))
