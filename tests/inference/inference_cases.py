"""Images, a model and the oracles of inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import paddle
import paddle.nn.functional as F

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    kind: str
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)


def make_image(height: int, width: int, *, batch: int = 1, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(batch, 3, height, width)).astype(np.float32)


def model(image: Array) -> Array:
    """Four classes whose scores depend on the content and on the place within the input."""
    rows = np.arange(image.shape[2], dtype=np.float32)[:, None] / 7
    columns = np.arange(image.shape[3], dtype=np.float32) / 5
    shifted = np.roll(image, 1, axis=3)
    return np.stack(
        [image[:, 0] + rows, image[:, 1] * columns, shifted[:, 2] - columns, image.mean(axis=1)], axis=1
    ).astype(np.float32)


def interpolate(maps: Array, height: int, width: int) -> Array:
    resized = F.interpolate(paddle.to_tensor(maps), [height, width], mode="bilinear", align_corners=False)
    return np.asarray(resized.numpy())


def naive_slide(image: Array, crop: tuple[int, int], stride: tuple[int, int]) -> npt.NDArray[np.float64]:
    """One window at a time, summed and counted in float64."""
    height, width = image.shape[2:]

    def starts(length: int, size: int, step: int) -> list[int]:
        found, at = [], 0
        while at + size < length:
            found.append(at)
            at += step
        return [*found, max(length - size, 0)]

    total = np.zeros((1, 4, height, width))
    count = np.zeros((height, width))
    for top in starts(height, crop[1], stride[1]):
        for left in starts(width, crop[0], stride[0]):
            part = (..., slice(top, top + crop[1]), slice(left, left + crop[0]))
            total[part] += model(image[part])
            count[part[1:]] += 1
    return total / count
