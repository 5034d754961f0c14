"""The mathematics of the region mutual information loss: pure functions of tensors.

Source: Zhao et al., NeurIPS 2019 (arXiv 1910.12037), and PaddleSeg's ``RMILoss``.
"""

from __future__ import annotations

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import Tensor

__all__ = ["half_log_det", "pool_pairs", "region_covariance"]

Pooling = Literal[0, 1, 2]


def pool_pairs(probability: Tensor, truth: Tensor, *, way: Pooling, size: int) -> tuple[Tensor, Tensor]:
    """Makes both maps smaller by the same factor.

    Args:
        probability: N×C×H×W float32.
        truth: N×C×H×W float32, 0 or 1.
        way: 0 takes the largest value, 1 the mean, 2 interpolates.
        size: The factor, and the side of a pooling window.

    Returns:
        Both, N×C×h×w.
    """
    if size == 1:
        return probability, truth
    if way == 2:
        shape = [max(1, side // size) for side in truth.shape[2:]]
        smaller = F.interpolate(probability, shape, mode="bilinear", align_corners=True)
        return smaller, F.interpolate(truth, shape, mode="nearest")
    pool = F.max_pool2d if way == 0 else F.avg_pool2d
    return tuple(pool(one, size, stride=size, padding=size // 2) for one in (probability, truth))


def region_covariance(probability: Tensor, truth: Tensor, *, radius: int) -> Tensor:
    """How the pixels of a region vary together over all places of the region in the image.

    Args:
        probability: N×C×H×W.
        truth: N×C×H×W.
        radius: Side of the square region, at most H and W.

    Returns:
        N×C×2r²×2r² float64, not divided by the number of places: the r² probabilities first, then the truth.
    """
    pair = paddle.stack([probability, truth], axis=2).astype("float64")
    batch, classes, _, height, width = pair.shape
    regions = F.unfold(pair.reshape([-1, 1, height, width]), radius)  # [N·C·2, r², places]
    regions = regions.reshape([batch, classes, 2 * radius**2, -1])
    # Deviations add up to 0, so the gradient through their mean is 0 as well.
    regions = regions - regions.detach().mean(axis=3, keepdim=True)
    return paddle.matmul(regions, regions, transpose_y=True)


def half_log_det(covariance: Tensor, *, alpha: float) -> Tensor:
    """½ log det of the truth's covariance that the probabilities leave unexplained.

    With covariances A of the probabilities, B of the truth and C between them, that is B − Cᵀ(A + αI)⁻¹C +
    αI. The source inverts a matrix and subtracts, which cancels. But this is the Schur complement of the
    whole matrix + αI, so the lower half of one Cholesky factor is its own: no inverse, and what is factorised
    is safely positive definite.

    Args:
        covariance: …×2d×2d float64, the probabilities first.
        alpha: Added to the diagonal.

    Returns:
        … float64.
    """
    size = covariance.shape[-1]
    factor = paddle.linalg.cholesky(covariance + alpha * paddle.eye(size, dtype="float64"))
    diagonal = paddle.diagonal(factor, axis1=-2, axis2=-1)[..., size // 2 :]
    return paddle.log(diagonal).sum(axis=-1)
