"""Bilinear enlargement of logits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import paddle
import paddle.nn.functional as F
from paddle import Tensor

__all__ = ["enlarge", "interpolation_matrix"]


def enlarge(x: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Interpolates bilinearly, as ``paddle.nn.functional.interpolate`` does.

    In eager mode on the CPU it is two matrix products, which use every core there, as do their gradients;
    Paddle's own kernels use one.

    Args:
        x: N×C×h×w float32.
        size: (H, W).
        align_corners: Whether corner pixels keep their place.

    Returns:
        N×C×H×W.
    """
    if not (paddle.in_dynamic_mode() and x.place.is_cpu_place()):
        return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    rows, columns = (
        paddle.to_tensor(interpolation_matrix(source, int(target), align_corners))
        for source, target in zip(x.shape[2:], size, strict=True)
    )
    return paddle.matmul(paddle.matmul(rows, x), columns, transpose_y=True)


@lru_cache(maxsize=16)
def interpolation_matrix(source: int, target: int, align_corners: bool) -> npt.NDArray[np.float32]:
    """The weights of linear interpolation along one axis.

    Args:
        source: Length before.
        target: Length after.
        align_corners: Whether the ends keep their place; otherwise the edges of the end pixels do.

    Returns:
        [target, source], two weights a row that add up to 1. Ratios and positions are rounded to float32,
        as in Paddle's kernels.
    """
    index = np.arange(target, dtype=np.float32)
    # One new pixel takes the place of the first old one.
    lengths = (source - 1, target - 1) if align_corners else (source, target)
    ratio = np.float32(lengths[0] / lengths[1] if target > 1 else 0)
    offset = np.float32(0 if align_corners else 0.5)
    position = np.maximum(ratio * (index + offset) - offset, 0)
    left = np.minimum(position.astype(np.int64), source - 1)
    share = position - left.astype(np.float32)
    matrix = np.zeros((target, source), dtype=np.float32)
    places = np.arange(target)
    matrix[places, left] = 1 - share
    matrix[places, np.minimum(left + 1, source - 1)] += share
    return matrix
