"""The mathematics of what is near a boundary between classes: pure functions of tensors."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from paddleseg.losses.functional import LOWEST, as_float32, class_members, log_sum_exp

__all__ = ["edge_pixels", "near_classes", "relaxed_cross_entropy"]


@paddle.no_grad()
def edge_pixels(labels: Tensor, *, radius: int, ignore_index: int) -> Tensor:
    """The pixels with one of another class nearby.

    Args:
        labels: N×H×W int64.
        radius: How far away it may be, in pixels (Euclidean), at least 1.
        ignore_index: The label of pixels that are no edge and make none.

    Returns:
        N×H×W bool.
    """
    height, width = labels.shape[1:]
    edge = paddle.zeros(labels.shape, dtype="bool")
    # Padded with the ignored label, so the image's border makes no edge.
    around = F.pad(labels, [radius] * 4, value=ignore_index, data_format="NCHW")
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            if 0 < down**2 + right**2 <= radius**2:
                top, left = radius + down, radius + right
                other = around[:, top : top + height, left : left + width]
                edge = edge | ((other != labels) & (other != ignore_index))
    return edge & (labels != ignore_index)


@paddle.no_grad()
def near_classes(labels: Tensor, num_classes: int, *, border: int, ignore_index: int) -> Tensor:
    """The classes in the square around every pixel, itself included.

    Args:
        labels: N×H×W int64.
        num_classes: C.
        border: Pixels from the middle of the square to its side; 0: the pixel alone.
        ignore_index: The label of pixels that belong to no class.

    Returns:
        N×C×H×W bool.
    """
    members = class_members(labels, num_classes, ignore_index=ignore_index)
    if border == 0:
        return members
    return F.max_pool2d(members.astype("float32"), 2 * border + 1, stride=1, padding=border) > 0


def relaxed_cross_entropy(logits: Tensor, allowed: Tensor) -> Tensor:
    """−log of the probability that the class is one of those allowed, for every pixel.

    Source: Zhu et al., CVPR 2019 (arXiv 1812.01593), section 3.3, equation 4.

    Args:
        logits: N×C×H×W, any float type.
        allowed: The same shape, bool.

    Returns:
        N×H×W float32; large but finite, with a gradient of 0, where nothing is allowed.
    """
    logits = as_float32(logits)
    inside = paddle.where(allowed, logits, paddle.full([], LOWEST))
    return log_sum_exp(logits) - log_sum_exp(inside)
