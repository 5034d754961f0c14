"""The ids of colours, looked up for all pixels at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.config.hints import Between
from paddleseg.errors import DataError

__all__ = ["Colour", "ColourTable"]

_Byte: TypeAlias = Annotated[int, Between(0, 255)]
Colour: TypeAlias = tuple[_Byte, _Byte, _Byte]

_SHOWN = 5


class ColourTable:
    """Ids by colour.

    A table with an entry for each of the 2²⁴ colours (16 MB, or 32 MB where more than 255 have an id) makes
    one lookup a pixel; data sets with the same colours share it.

    Args:
        ids: (R, G, B) and its id.
        other: The id of all other colours; None refuses them.
    """

    def __init__(self, ids: Sequence[tuple[Colour, int]], *, other: int | None = None) -> None:
        self._ids = tuple(ids)
        self._other = other
        values = [*(target for _, target in ids), 0 if other is None else other]
        fits = min(values) >= 0 and max(values) < 256
        self._targets = np.array(values, dtype=np.uint8 if fits else np.int32)

    def look_up(self, pixels: NDArray[np.uint8], path: str) -> NDArray[Any]:
        """Returns the ids of an image.

        Args:
            pixels: [H, W, 3] RGB.
            path: Its file, for messages.

        Returns:
            [H, W] uint8 where all ids fit, else int32.

        Raises:
            DataError: A colour is not listed.
        """
        packed = _pack(pixels)
        places = _places(tuple(colour for colour, _ in self._ids))[packed]
        if self._other is None and int(places.max(initial=0)) == len(self._ids):
            raise DataError(self._message(packed[places == len(self._ids)], path))
        if places.dtype == np.uint8 and self._targets.dtype == np.uint8:
            table = np.zeros(256, np.uint8)
            table[: len(self._targets)] = self._targets
            return cv2.LUT(places, table)
        return self._targets[places]

    def _message(self, unlisted: NDArray[np.uint32], path: str) -> str:
        colours, counts = np.unique(unlisted, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_SHOWN]
        named = ", ".join(
            f"{colours[i] & 255},{colours[i] >> 8 & 255},{colours[i] >> 16} on {counts[i]}" for i in order
        )
        more = f" and {len(colours) - _SHOWN} more colours" if len(colours) > _SHOWN else ""
        blurred = (
            "; so many are made by smoothing or a lossy format"
            if len(colours) > 2 * len(self._ids) + 8
            else ""
        )
        return (
            f"{path}: the label has colours that color_map does not list: {named} pixels{more}; list "
            f"them with their ids or as 'ignore'{blurred}"
        )


def _pack(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """R + 256 G + 65536 B, without arithmetic: as four bytes of which the last is 0."""
    four = np.zeros((*pixels.shape[:2], 4), np.uint8)
    cv2.mixChannels([np.ascontiguousarray(pixels)], [four], [0, 0, 1, 1, 2, 2])
    return four.view("<u4")[..., 0]


@lru_cache(maxsize=4)
def _places(colours: tuple[Colour, ...]) -> NDArray[Any]:
    """[2²⁴] the place of each colour in the list; the length of the list for all others."""
    table = np.full(2**24, len(colours), dtype=np.uint8 if len(colours) < 256 else np.uint16)
    red, green, blue = np.array(colours, dtype=np.uint32).T
    table[red | green << 8 | blue << 16] = np.arange(len(colours))
    return table
