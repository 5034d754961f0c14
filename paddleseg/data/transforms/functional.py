"""The arithmetic of the transforms: pure functions on arrays, which never write into their inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.data.transforms.sample import ByteImage, ImageArray, LabelArray, PixelArray

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_saturation",
    "adjust_sharpness",
    "flip",
    "normalize",
    "normalize_bytes",
    "pad_bottom_right",
    "resize_image",
    "resize_label",
    "shift_hue",
    "size_with_long_side",
    "size_with_short_side",
    "to_batch_of_one",
]

Pixels = TypeVar("Pixels", bound=NDArray[Any])


def resize_image(
    image: PixelArray, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR
) -> PixelArray:
    """Resizes an image.

    Args:
        image: [H, W, C]; results in uint8 are rounded to whole levels.
        size: (height, width) wanted.
        interpolation: An OpenCV flag; bilinear samples at half-pixel centres.

    Returns:
        [height, width, C] of the same dtype.
    """
    height, width = size
    resized = cv2.resize(image, (width, height), interpolation=interpolation)
    # OpenCV drops the channel axis of one-channel images.
    return resized.reshape(height, width, image.shape[2])


def resize_label(label: LabelArray, size: tuple[int, int]) -> LabelArray:
    """Resizes class ids to (height, width) with the nearest neighbour, as PaddleSeg does (INTER_NEAREST)."""
    height, width = size
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST)


def pad_bottom_right(
    array: NDArray[Any], size: tuple[int, int], value: float | Sequence[float]
) -> NDArray[Any]:
    """Extends an image or a label at the bottom and the right.

    Args:
        array: [H, W] or [H, W, C].
        size: (height, width) afterwards, at least the present ones.
        value: What the new pixels hold; a list has one number a channel.

    Returns:
        A new array of the same dtype.
    """
    height, width = array.shape[:2]
    padded = np.full((*size, *array.shape[2:]), value, dtype=array.dtype)
    padded[:height, :width] = array
    return padded


def size_with_long_side(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) with the longer side ``long_side`` and the proportions kept, at least 1 pixel."""
    return _scaled(size, long_side / max(size))


def size_with_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(height, width) with the shorter side ``short_side`` and the proportions kept, at least 1 pixel."""
    return _scaled(size, short_side / min(size))


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def flip(array: Pixels) -> Pixels:
    """Mirrors an image [H, W, C] or a label [H, W] left and right, into a new contiguous array."""
    # Many times faster than copying a view of negative strides. OpenCV drops the axis of one channel.
    return cv2.flip(array, 1).reshape(array.shape)


def normalize(image: PixelArray, mean: Sequence[float], std: Sequence[float]) -> ImageArray:
    """(image / 255 − mean) / std in float32.

    Args:
        image: [H, W, C], 0..255.
        mean: One value, or one a channel, on the scale 0..1.
        std: Likewise.
    """
    result: ImageArray = np.divide(image, 255, dtype=np.float32)
    result -= np.asarray(mean, dtype=np.float32)
    result /= np.asarray(std, dtype=np.float32)
    return result


def normalize_bytes(images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> ImageArray:
    """:func:`normalize` of a batch, by a table of its 256 values, with the channels put first.

    Args:
        images: [N, H, W, C].
        mean: One value, or one a channel, on the scale 0..1.
        std: Likewise.

    Returns:
        [N, C, H, W], bit by bit what :func:`normalize` gives.
    """
    count, height, width, channels = images.shape
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], channels, axis=1)
    tables = np.ascontiguousarray(normalize(levels, mean, std).T)
    result = np.empty((count, channels, height, width), dtype=np.float32)
    for image, planes in zip(images, result, strict=True):
        for plane, table, target in zip(cv2.split(image), tables, planes, strict=True):
            cv2.LUT(plane, table, dst=target)
    return result


def to_batch_of_one(image: PixelArray) -> ImageArray:
    """[H, W, C] → [1, C, H, W] float32, contiguous: what a model takes."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)


# The photometric functions take and return [H, W, C] uint8 and follow Pillow's ImageEnhance: the image is
# blended with a degenerate one, out = degenerate + factor·(image − degenerate), clipped, then truncated.


def adjust_brightness(image: ByteImage, factor: float) -> ByteImage:
    """Blends with black."""
    return cv2.LUT(image, _blend_table(0, factor)).reshape(image.shape)


def adjust_contrast(image: ByteImage, factor: float) -> ByteImage:
    """Blends with the mean of the grey image, rounded to a whole level."""
    mean = int(cv2.mean(_grey(image))[0] + 0.5)
    return cv2.LUT(image, _blend_table(mean, factor)).reshape(image.shape)


def adjust_saturation(image: ByteImage, factor: float) -> ByteImage:
    """Blends with the grey image."""
    if image.shape[2] == 1:
        return image
    grey = cv2.cvtColor(_grey(image), cv2.COLOR_GRAY2RGB)
    # OpenCV rounds: half a level less truncates; whole levels must stay whole in its float32.
    return cv2.addWeighted(image, factor, grey, 1 - factor, 1e-3 - 0.5, dst=grey)


def adjust_sharpness(image: ByteImage, factor: float) -> ByteImage:
    """Blends with a smoothed image (3×3, centre 5/13, the rest 1/13; the border stays as it is)."""
    kernel = np.ones((3, 3), dtype=np.float32)
    kernel[1, 1] = 5
    filtered = cv2.filter2D(image, -1, kernel / kernel.sum()).reshape(image.shape)
    smooth = image.copy()
    smooth[1:-1, 1:-1] = filtered[1:-1, 1:-1]
    return _blend(smooth, image, factor)


def shift_hue(image: ByteImage, delta: float) -> ByteImage:
    """Turns the hue of an RGB image.

    Args:
        image: [H, W, 3] uint8.
        delta: In 1/256 of the colour circle, as in PaddleSeg on Pillow's HSV; 18 is about 25 degrees. Its
            whole part counts (rounded down).
    """
    # The FULL variant spreads the circle over 0..255; the plain one stops at 179.
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # Bytes wrap around as the circle does. Whole rows are added, many times faster than the channel alone.
    turn = np.tile(np.array([math.floor(delta) % 256, 0, 0], dtype=np.uint8), image.shape[1])
    rows = hsv.reshape(len(hsv), -1)
    rows += turn
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL, dst=hsv)


def _grey(image: ByteImage) -> ByteImage:
    return image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _blend(degenerate: ByteImage, image: ByteImage, factor: float) -> ByteImage:
    start = degenerate.astype(np.float32)
    blended = start + np.float32(factor) * (image - start)
    return np.clip(blended, 0, 255, out=blended).astype(np.uint8)


def _blend_table(degenerate: int, factor: float) -> ByteImage:
    return _blend(np.full(256, degenerate, dtype=np.uint8), np.arange(256, dtype=np.uint8), factor)
