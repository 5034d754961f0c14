"""The mathematics of contrast between pixels: which are compared, and how.

Source: Wang et al., ICCV 2021 (arXiv 2101.11939), and PaddleSeg's ``PixelContrastCrossEntropyLoss``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor

from paddleseg.losses.functional import LOWEST

__all__ = ["Anchors", "contrast", "nearest", "sample_anchors"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Anchors:
    """The pixels that are compared with each other.

    Attributes:
        pixels: [A] places in the flattened batch.
        classes: [A] their classes.
    """

    pixels: Integers
    classes: Integers


def nearest(values: Integers, height: int, width: int) -> Integers:
    """N×H×W values at another size, each taken from the nearest place."""
    rows = np.arange(height) * values.shape[1] // height
    columns = np.arange(width) * values.shape[2] // width
    return values[:, rows[:, None], columns]


def sample_anchors(
    labels: Integers,
    predicted: Integers,
    order: Integers,
    *,
    ignore_index: int,
    max_samples: int,
    max_views: int,
) -> Anchors:
    """Draws as many pixels from every class of every image, half of them wrongly predicted ones.

    A class enters with an image where it has more than ``max_views`` pixels. Where there are too few wrong or
    too few right ones, the others take their places.

    Args:
        labels: N×H×W.
        predicted: N×H×W, the likeliest class.
        order: A random order of the N·H·W pixels; the first ones that fit are taken.
        ignore_index: The label of pixels that do not count.
        max_samples: Anchors of the batch at most, as long as that leaves each class one.
        max_views: Anchors of a class in an image at most.
    """
    truth, right = labels.ravel(), (labels == predicted).ravel()
    image = np.arange(labels.size) // labels[0].size
    values, indices = np.unique(truth, return_inverse=True)
    group = indices.reshape(-1) * len(labels) + image  # a number for every class of every image
    large = np.flatnonzero(np.bincount(group) > max_views)
    groups = [one for one in large if values[one // len(labels)] != ignore_index]
    if not groups:
        return Anchors(np.empty(0, np.int64), np.empty(0, np.int64))
    views = max(1, min(max_samples // len(groups), max_views))
    chosen = []
    for one in groups:
        members = order[group[order] == one]
        wrong, good = members[~right[members]], members[right[members]]
        hard = min(len(wrong), max(views // 2, views - len(good)))
        chosen.append(np.concatenate([wrong[:hard], good[: views - hard]]))
    found = np.concatenate(chosen)
    return Anchors(found, truth[found])


def contrast(embedding: Tensor, classes: Tensor, *, temperature: float) -> Tensor:
    """−log of how much more alike two pixels of one class are than pixels of other classes (InfoNCE).

    For an anchor i and another pixel j of its class it is −log(e^s_ij / (e^s_ij + Σ e^s_ik)), k over all
    pixels of other classes and s the product of the embeddings over the temperature; a mean over j, then over
    the anchors that have one.

    Args:
        embedding: A×D float32, each of length 1.
        classes: [A] int64.
        temperature: Above 0.

    Returns:
        A float32 scalar.
    """
    likeness = paddle.matmul(embedding, embedding, transpose_y=True) / temperature  # [A, A]
    same = classes.unsqueeze(0) == classes.unsqueeze(1)
    others = paddle.logsumexp(paddle.where(same, paddle.full([], LOWEST), likeness), axis=1, keepdim=True)
    loss = paddle.nn.functional.softplus(others - likeness)
    positive = same.astype("float32") - paddle.eye(same.shape[0])
    count = positive.sum(axis=1)
    by_anchor = (loss * positive).sum(axis=1) / count.clip(min=1.0)
    return by_anchor.sum() / (count > 0).astype("float32").sum().clip(min=1.0)
