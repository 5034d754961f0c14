"""Sliding windows: their scores averaged over the whole image, or labels of what no later window touches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from paddleseg.inference.options import InferenceOptions
from paddleseg.inference.values import Floats, ImageSource, Labels, Predict
from paddleseg.inference.winners import new_labels, pick

__all__ = ["check_shape", "checked", "slide_labels", "slide_scores"]


def slide_scores(predict: Predict, image: Floats, options: InferenceOptions) -> Floats:
    """Mean scores of all windows.

    Args:
        predict: The model, N×C×H×W → N×K×H×W.
        image: N×C×H×W.
        options: With windows.

    Returns:
        N×K×H×W.
    """
    rows, columns = _grid(image, options)
    total: Floats | None = None
    for i, j, part in _parts(predict, image, options, rows, columns):
        if total is None:
            total = np.zeros((len(image), part.shape[1], *image.shape[2:]), dtype=np.float32)
        total[:, :, rows[i], columns[j]] += part
    assert total is not None
    # Windows form a grid: a pixel's number of windows is a product of its row's and its column's.
    total /= np.outer(_coverage(rows, image.shape[2]), _coverage(columns, image.shape[3]))
    return total


def slide_labels(predict: Predict, image: ImageSource, options: InferenceOptions) -> Labels:
    """Labels of the mean scores; scores are held only where another window is still to come.

    Args:
        predict: The model, N×C×H×W → N×K×H×W.
        image: 1×C×H×W; its parts are asked for window by window.
        options: With windows.

    Returns:
        H×W class ids.

    Raises:
        WeightsError: A score is NaN.
    """
    rows, columns = _grid(image, options)
    mosaic: _Mosaic | None = None
    for i, j, part in _parts(predict, image, options, rows, columns):
        mosaic = mosaic or _Mosaic(rows, columns, classes=part.shape[1])
        mosaic.add(i, j, part[0])
    assert mosaic is not None
    return mosaic.labels


class _Mosaic:
    """Cells between the edges of all windows: each is covered by windows wholly or not at all.

    Attributes:
        labels: H×W; a cell is there when its last window was added.
    """

    def __init__(self, rows: list[slice], columns: list[slice], *, classes: int) -> None:
        self._rows, self._columns = rows, columns
        self._row_cells, self._column_cells = _cells(rows), _cells(columns)
        self._row_counts = _coverage(rows, rows[-1].stop)
        self._column_counts = _coverage(columns, columns[-1].stop)
        self._open: dict[tuple[int, int], tuple[Floats, int]] = {}
        self.labels: Labels = new_labels((rows[-1].stop, columns[-1].stop), classes)

    def add(self, i: int, j: int, part: Floats) -> None:
        """Adds the scores K×h×w of the window in row i and column j of the grid."""
        top, left = self._rows[i].start, self._columns[j].start
        for row in self._row_cells[i]:
            for column in self._column_cells[j]:
                scores = part[:, row.start - top : row.stop - top, column.start - left : column.stop - left]
                self._add_to_cell(row, column, scores)

    def _add_to_cell(self, row: slice, column: slice, scores: Floats) -> None:
        key = row.start, column.start
        windows = int(self._row_counts[row.start] * self._column_counts[column.start])
        total, missing = self._open.pop(key, (None, windows))
        if total is not None:
            scores = np.add(total, scores, out=total)
        if missing > 1:
            # A copy of what is a view, so that the window's other scores can go.
            self._open[key] = (scores.copy() if total is None else scores), missing - 1
        else:
            mean = scores if windows == 1 else scores / np.float32(windows)
            pick(mean, self.labels[row, column])


def _cells(spans: list[slice]) -> list[list[slice]]:
    """For each window of an axis, its pieces between the edges of all windows."""
    edges = sorted({edge for span in spans for edge in (span.start, span.stop)})
    pieces = [slice(start, stop) for start, stop in pairwise(edges)]
    return [[piece for piece in pieces if span.start <= piece.start < span.stop] for span in spans]


def _parts(
    predict: Predict, image: ImageSource, options: InferenceOptions, rows: list[slice], columns: list[slice]
) -> Iterator[tuple[int, int, Floats]]:
    """The model's scores N×K×h×w for each window, with its place in the grid, row by row."""
    places = [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    for start in range(0, len(places), options.window_batch):
        batch = places[start : start + options.window_batch]
        crops = np.concatenate([image[:, :, rows[i], columns[j]] for i, j in batch])
        scores = checked(predict, crops)
        for (i, j), part in zip(batch, np.split(scores, len(batch)), strict=True):
            yield i, j, part


def checked(predict: Predict, image: Floats) -> Floats:
    """Runs the model.

    Raises:
        ValueError: Its output is not N×K×H×W with the N, H and W of the input.
    """
    logits = predict(image)
    check_shape(logits.shape, image.shape)
    return logits


def check_shape(found: Sequence[int], given: Sequence[int]) -> None:
    """Refuses a shape of logits that does not belong to the input.

    Args:
        found: Of the logits.
        given: Of the input, N×C×H×W.

    Raises:
        ValueError: It is not N×K×H×W with the N, H and W of the input.
    """
    if len(found) != 4 or found[0] != given[0] or tuple(found[2:]) != tuple(given[2:]):
        raise ValueError(
            f"the model returned shape {tuple(found)} for an input of {tuple(given)}: expected N×classes×H×W "
            "with the N, H and W of the input"
        )


def _grid(image: ImageSource, options: InferenceOptions) -> tuple[list[slice], list[slice]]:
    """The rows and the columns that windows take."""
    assert options.crop_size is not None
    assert options.stride is not None
    height, width = image.shape[2:]
    rows = _spans(height, options.crop_size[1], options.stride[1])
    return rows, _spans(width, options.crop_size[0], options.stride[0])


def _spans(length: int, size: int, stride: int) -> list[slice]:
    """Equal windows that cover an axis: the last is shifted inside; a short axis is one smaller window."""
    size = min(size, length)
    count = math.ceil((length - size) / stride) + 1
    starts = [min(i * stride, length - size) for i in range(count)]
    return [slice(start, start + size) for start in starts]


def _coverage(spans: list[slice], length: int) -> Floats:
    """How many windows hold each position of an axis."""
    counts = np.zeros(length, dtype=np.float32)
    for span in spans:
        counts[span] += 1
    return counts
