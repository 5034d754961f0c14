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
    "blur",
    "flip",
    "normalize",
    "normalize_bytes",
    "pad",
    "resize_image",
    "resize_label",
    "rotation_about_centre",
    "shift_hue",
    "size_with_long_side",
    "size_with_short_side",
    "to_batch_of_one",
    "warp_image",
    "warp_label",
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


def pad(
    array: NDArray[Any],
    size: tuple[int, int],
    value: float | Sequence[float],
    offset: tuple[int, int] = (0, 0),
) -> NDArray[Any]:
    """Lays an image or a label into a larger one.

    Args:
        array: [H, W] or [H, W, C].
        size: (height, width) afterwards, at least the present ones.
        value: What the new pixels hold; a list has one number a channel.
        offset: New rows at the top and new columns at the left; the others are at the bottom and the right.

    Returns:
        A new array of the same dtype.
    """
    (height, width), (top, left) = array.shape[:2], offset
    padded = np.full((*size, *array.shape[2:]), value, dtype=array.dtype)
    padded[top : top + height, left : left + width] = array
    return padded


def size_with_long_side(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) with the longer side ``long_side`` and the proportions kept, at least 1 pixel."""
    return _scaled(size, long_side / max(size))


def size_with_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(height, width) with the shorter side ``short_side`` and the proportions kept, at least 1 pixel."""
    return _scaled(size, short_side / min(size))


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def flip(array: Pixels, *, vertical: bool = False) -> Pixels:
    """Mirrors an image [H, W, C] or a label [H, W], left and right or top and bottom, into a new array."""
    # Many times faster than copying a view of negative strides. OpenCV drops the axis of one channel.
    return cv2.flip(array, 0 if vertical else 1).reshape(array.shape)


def rotation_about_centre(
    source: tuple[int, int],
    target: tuple[int, int],
    *,
    degrees: float,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.float64]:
    """The affine map that turns and scales an image about its centre, which lands in that of the target.

    Args:
        source: (height, width) of the image.
        target: (height, width) of what it is drawn into.
        degrees: Counter-clockwise, as one looks at the image.
        scale: Target pixels a source pixel.
        shift: (right, down) in target pixels, on top.

    Returns:
        [2, 3], from (x, y, 1) in the source to (x, y) in the target; whole numbers are pixel centres.
    """
    along, across = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    linear = np.array([[along, across], [-across, along]])
    source_centre, target_centre = (
        np.array([(width - 1) / 2, (height - 1) / 2]) for height, width in (source, target)
    )
    move = target_centre + np.array(shift) - linear @ source_centre
    return np.column_stack([linear, move])


def warp_image(
    image: PixelArray, matrix: NDArray[np.float64], size: tuple[int, int], value: float | Sequence[float]
) -> PixelArray:
    """Draws an image through an affine map, bilinearly.

    Args:
        image: [H, W, C]; results in uint8 are rounded to whole levels.
        matrix: [2, 3], as :func:`rotation_about_centre` makes it.
        size: (height, width) of the result.
        value: What lies around the image; a list has one number a channel.

    Returns:
        [height, width, C] of the same dtype.
    """
    height, width = size
    values = np.broadcast_to(value, image.shape[2]).tolist()
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=values)
    return warped.reshape(height, width, image.shape[2])


def warp_label(
    label: LabelArray, matrix: NDArray[np.float64], size: tuple[int, int], value: int
) -> LabelArray:
    """Draws class ids through an affine map: the nearest pixel of the same places as :func:`warp_image`.

    Args:
        label: [H, W], uint8 or int32; ids up to 2²⁴.
        matrix: [2, 3], as :func:`rotation_about_centre` makes it.
        size: (height, width) of the result.
        value: What lies around the label; its dtype must hold it.

    Returns:
        [height, width] of the same dtype.
    """
    height, width = size
    # OpenCV rounds ties of int32 otherwise, and takes no side of 32767 pixels or more of it.
    source = label if label.dtype == np.uint8 else label.astype(np.float32)
    warped = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=value)
    return warped.astype(label.dtype, copy=False)


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


def blur(image: ByteImage, kind: str, side: int) -> ByteImage:
    """Smooths an image.

    Args:
        image: [H, W, C] uint8.
        kind: ``"gaussian"`` (its standard deviation is OpenCV's choice for the side), ``"median"`` or
            ``"blur"``, which is the mean.
        side: Of the square of pixels that counts, odd.
    """
    smooth = {
        "gaussian": lambda: cv2.GaussianBlur(image, (side, side), 0),
        "median": lambda: cv2.medianBlur(image, side),
        "blur": lambda: cv2.blur(image, (side, side)),
    }
    return smooth[kind]().reshape(image.shape)


def _grey(image: ByteImage) -> ByteImage:
    return image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _blend(degenerate: ByteImage, image: ByteImage, factor: float) -> ByteImage:
    start = degenerate.astype(np.float32)
    blended = start + np.float32(factor) * (image - start)
    return np.clip(blended, 0, 255, out=blended).astype(np.uint8)


def _blend_table(degenerate: int, factor: float) -> ByteImage:
    return _blend(np.full(256, degenerate, dtype=np.uint8), np.arange(256, dtype=np.uint8), factor)
