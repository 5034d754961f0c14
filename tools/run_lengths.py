"""Masks as the COCO tools store them: lengths of runs, down the columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dataset_tools import entry, read_size

from paddleseg.errors import DataError

__all__ = ["decode_mask"]


def decode_mask(segmentation: dict[str, Any], where: str) -> npt.NDArray[np.bool_]:
    """Decodes a mask.

    Args:
        segmentation: ``size`` [H, W], and ``counts``: the lengths of runs of 0 and 1 in turn, as a list,
            or as text (cocoapi common/maskApi.c, rleFrString).
        where: What messages call the annotation.

    Returns:
        [H, W].

    Raises:
        DataError: It is damaged.
    """
    sides = entry(segmentation, "size", list, where)
    if len(sides) != 2:
        raise DataError(f"{where}: size is {str(sides)[:40]}, expected [height, width]")
    width, height = read_size({"width": sides[1], "height": sides[0]}, ("width", "height"), where)
    counts = entry(segmentation, "counts", (str, list), where)
    runs = _numbers_of(counts, where) if isinstance(counts, str) else counts
    whole = all(isinstance(run, int) and run >= 0 for run in runs)
    if not whole or sum(runs) != width * height:
        raise DataError(
            f"{where}: the runs of the mask do not fill {width}×{height} pixels; is the file cut?"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _numbers_of(text: str, where: str) -> list[int]:
    """Five bits a character, lowest first; bit 6 says that more follow, the highest of the last is the sign.

    From the fourth on, a number is the difference to the one two before it.
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            raise DataError(f"{where}: counts is no run-length text of the COCO tools")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
        value = shift = 0
    if shift:
        raise DataError(f"{where}: counts ends in the middle of a number; is the file cut?")
    return numbers
