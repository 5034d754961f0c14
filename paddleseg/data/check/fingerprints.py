"""Fingerprints of images: the same for the same pixels, near for the same picture in another file."""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.transforms.sample import ByteImage

__all__ = ["THUMBNAIL", "Fingerprint", "FingerprintStore", "fingerprint_of"]

THUMBNAIL = 16
_COMMON = (144, 128)  # width, height: whole multiples of both small pictures


@dataclass(frozen=True)
class Fingerprint:
    """Of one image.

    Attributes:
        checksum: CRC-32 of the pixels.
        gradients: 64 bits: whether each of 8×8 places is darker than its right neighbour (dHash).
        thumbnail: 16×16 grey levels.
    """

    checksum: int
    gradients: int
    thumbnail: bytes


def fingerprint_of(image: ByteImage) -> Fingerprint:
    """Takes an image's fingerprint.

    Args:
        image: [H, W, 3] RGB or [H, W, 1].
    """
    common = cv2.resize(image, _COMMON, interpolation=cv2.INTER_AREA)
    grey = common if common.ndim == 2 else cv2.cvtColor(common, cv2.COLOR_RGB2GRAY)
    steps = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    bits = np.packbits(steps[:, 1:] > steps[:, :-1])
    thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    checksum = zlib.crc32(np.ascontiguousarray(image).data, zlib.crc32(repr(image.shape).encode()))
    return Fingerprint(checksum, int.from_bytes(bits.tobytes(), "big"), thumbnail.tobytes())


class FingerprintStore:
    """Fingerprints of many images in 276 bytes each, with the indices of their samples."""

    def __init__(self) -> None:
        self._checksums, self._gradients = array("Q"), array("Q")
        self._indices = array("q")
        self._thumbnails = bytearray()

    def add(self, index: int, one: Fingerprint) -> None:
        """Keeps one more."""
        self._indices.append(index)
        self._checksums.append(one.checksum)
        self._gradients.append(one.gradients)
        self._thumbnails += one.thumbnail

    @property
    def indices(self) -> NDArray[np.int64]:
        return np.frombuffer(self._indices, dtype=np.int64)

    @property
    def checksums(self) -> NDArray[np.uint64]:
        return np.frombuffer(self._checksums, dtype=np.uint64)

    @property
    def gradients(self) -> NDArray[np.uint64]:
        return np.frombuffer(self._gradients, dtype=np.uint64)

    @property
    def thumbnails(self) -> NDArray[np.uint8]:
        """N×256."""
        return np.frombuffer(self._thumbnails, dtype=np.uint8).reshape(-1, THUMBNAIL**2)
