"""The lookup of colours; oracle: a dictionary, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from paddleseg.data.colour_table import Colour, ColourTable
from paddleseg.errors import DataError


def colours_of(count: int) -> list[Colour]:
    packed = np.random.default_rng(count).choice(2**24, count, replace=False)
    return [(int(one >> 16), int(one >> 8 & 255), int(one & 255)) for one in packed]


@pytest.mark.parametrize(
    ("count", "dtype"), [(1, np.uint8), (19, np.uint8), (255, np.uint8), (300, np.int32)]
)
@pytest.mark.parametrize("other", [None, 255, -1])
def test_lookup_against_a_dictionary(count: int, dtype: type, other: int | None) -> None:
    colours = colours_of(count)
    ids = {colour: (place * 7) % count for place, colour in enumerate(colours)}
    table = ColourTable(list(ids.items()), other=other)
    rng = np.random.default_rng(1)
    pixels = np.uint8(colours)[rng.integers(0, count, (9, 11))]
    if other is not None:
        pixels[3, 4] = np.uint8(colours[0]) + np.uint8(1)
    got = table.look_up(pixels, "y")
    assert got.tolist() == [[ids.get(tuple(pixel), other) for pixel in row] for row in pixels.tolist()]
    assert got.dtype == (np.int32 if other == -1 else dtype)
    # Rows that are parts of another array.
    assert table.look_up(pixels[::2, 1:], "y").tolist() == got[::2, 1:].tolist()


def test_unlisted_colours_are_counted_most_frequent_first() -> None:
    table = ColourTable([((0, 0, 0), 0), ((9, 9, 9), 1)])
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[0, :3], pixels[1, :2] = (1, 2, 3), (250, 0, 7)
    with pytest.raises(DataError) as caught:
        table.look_up(pixels, "masks/y.png")
    message = str(caught.value)
    assert message.startswith("masks/y.png: the label has colours that color_map does not list: ")
    assert "1,2,3 on 3, 250,0,7 on 2 pixels; list them" in message
    assert "lossy" not in message


def test_very_many_unlisted_colours_look_smoothed() -> None:
    table = ColourTable([((0, 0, 0), 0), ((255, 255, 255), 1)])
    pixels = np.repeat(np.arange(1, 101, dtype=np.uint8)[None, :, None], 3, axis=2)
    with pytest.raises(DataError, match=r"and 95 more colours; .*smoothing or a lossy format"):
        table.look_up(pixels, "y")
