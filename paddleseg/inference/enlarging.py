"""Bilinear enlargement of logits on the processor, and the labels of enlarged logits that never exist whole.

Along each axis an output lies between two inputs, so enlarging is a product with a matrix of two numbers a
column. Block by block, with the few inputs that a block has, the matrix products of the processor's math
library are ten times as fast as Paddle's kernel, and the best class is picked while a block is in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from paddleseg.inference.values import Floats, Labels
from paddleseg.inference.winners import ROWS_AT_ONCE, new_labels, pick

__all__ = ["enlarge", "enlarged_labels"]

_COLUMNS_AT_ONCE = 128
# Above any logit. A product with an infinite one would be NaN where its weight is 0.
_MOST = 2.0**100


def enlarge(logits: Floats, size: tuple[int, int], *, align_corners: bool) -> Floats:
    """Resizes bilinearly, as ``paddle.nn.functional.interpolate`` does.

    Args:
        logits: N×K×h×w.
        size: (height, width) wanted.
        align_corners: Whether corner pixels keep their place; else pixel areas cover the same image.

    Returns:
        N×K×height×width.
    """
    enlarged = np.empty((*logits.shape[:2], *size), dtype=np.float32)
    for source, target in zip(logits, enlarged, strict=True):
        for rows, block in _row_blocks(source, size, align_corners):
            target[:, rows] = block
    return enlarged


def enlarged_labels(logits: Floats, size: tuple[int, int], *, align_corners: bool) -> Labels:
    """The classes with the highest logits after :func:`enlarge`, which are made a few rows at a time.

    Args:
        logits: N×K×h×w.
        size: (height, width) wanted.
        align_corners: As in :func:`enlarge`.

    Returns:
        N×height×width class ids, uint8 up to 256 classes, uint16 above.

    Raises:
        WeightsError: A logit is NaN.
    """
    labels: Labels = new_labels((len(logits), *size), logits.shape[1])
    for source, target in zip(logits, labels, strict=True):
        for rows, block in _row_blocks(source, size, align_corners):
            pick(block, target[rows])
    return labels


def _row_blocks(logits: Floats, size: tuple[int, int], align_corners: bool) -> Iterator[tuple[slice, Floats]]:
    """Rows of the enlarged logits, from top to bottom, each block in the place of the last.

    Args:
        logits: K×h×w.
        size: (height, width) wanted.
        align_corners: As in :func:`enlarge`.
    """
    classes, height, width = logits.shape
    logits = logits.clip(-_MOST, _MOST)
    upper, lower, share = _neighbours(height, size[0], align_corners)
    column_blocks = list(_column_blocks(width, size[1], align_corners))
    buffer = np.empty((classes * min(ROWS_AT_ONCE, size[0]), size[1]), dtype=np.float32)
    for top in range(0, size[0], ROWS_AT_ONCE):
        rows = slice(top, min(top + ROWS_AT_ONCE, size[0]))
        weight = share[rows, np.newaxis]
        between = logits[:, upper[rows]] * (1 - weight) + logits[:, lower[rows]] * weight
        # All classes in one product.
        lines = between.reshape(-1, width)
        block = buffer[: len(lines)]
        for columns, sources, matrix in column_blocks:
            np.matmul(lines[:, sources], matrix, out=block[:, columns])
        yield rows, block.reshape(classes, -1, size[1])


def _column_blocks(length: int, wanted: int, align_corners: bool) -> Iterator[tuple[slice, slice, Floats]]:
    """Wanted columns, the source columns that they depend on, and the matrix from these to those."""
    left, right, share = _neighbours(length, wanted, align_corners)
    for start in range(0, wanted, _COLUMNS_AT_ONCE):
        columns = slice(start, min(start + _COLUMNS_AT_ONCE, wanted))
        sources = slice(int(left[start]), int(right[columns.stop - 1]) + 1)
        matrix = np.zeros((sources.stop - sources.start, columns.stop - start), dtype=np.float32)
        place = np.arange(columns.stop - start)
        matrix[left[columns] - sources.start, place] = 1 - share[columns]
        matrix[right[columns] - sources.start, place] += share[columns]
        yield columns, sources, matrix


def _neighbours(
    length: int, wanted: int, align_corners: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """For each wanted position: the two sources that it lies between, and the share of the second."""
    if align_corners:
        position = np.arange(wanted) * ((length - 1) / max(wanted - 1, 1))
    else:
        position = ((np.arange(wanted) + 0.5) * (length / wanted) - 0.5).clip(0, length - 1)
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (position - first).astype(np.float32)
