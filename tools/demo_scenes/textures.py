"""Colours and textures. All sizes are in texels, so that a scene looks the same at every picture size."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from demo_scenes.canvas import Colour

__all__ = ["any_colour", "facade", "fence", "foliage", "noise", "shade", "tinted_grey"]

_CELL = 24
_CLUMPS = 24


def noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth value noise.

    Args:
        rng: The scene's generator.
        size: Side of the square result in texels.
        cells: Bumps along a side.

    Returns:
        size×size float32, about -1..1.
    """
    grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def shade(colour: Colour, factor: float) -> Colour:
    """Returns the colour times a brightness factor."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def tinted_grey(rng: np.random.Generator, low: float, high: float, tint: float = 14.0) -> Colour:
    """A grey between two brightnesses with a slight tint."""
    level = rng.uniform(low, high)
    red, green, blue = level + rng.uniform(-tint, tint, 3)
    return float(red), float(green), float(blue)


def any_colour(rng: np.random.Generator) -> Colour:
    """Paint or cloth: any hue, from dull to bright, from black to white."""
    hue, saturation, value = rng.uniform(0, 360), rng.beta(1.0, 1.4), rng.uniform(0.15, 0.95)
    hsv = np.array([[[hue, saturation, value]]], np.float32)
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255
    return float(red), float(green), float(blue)


def facade(rng: np.random.Generator, colour: Colour, storeys: int, bays: int) -> np.ndarray:
    """A wall with rows of windows, a darker ground floor and a cornice.

    Args:
        rng: The scene's generator.
        colour: The plaster's colour.
        storeys: Rows of windows.
        bays: Windows in a row.

    Returns:
        h×w×3 float32 texture.
    """
    texture = np.empty((storeys * _CELL, bays * _CELL, 3), np.float32)
    texture[:] = colour
    grain = noise(rng, 64, 24) * 9 + noise(rng, 64, 3) * 12
    texture += cv2.resize(grain, (texture.shape[1], texture.shape[0]))[..., None]
    glass = tinted_grey(rng, 20, 90, 20)
    frame = shade(colour, float(rng.choice([0.72, 1.25])))
    half_width, top, bottom = rng.uniform(0.2, 0.34), rng.uniform(0.15, 0.28), rng.uniform(0.72, 0.9)
    lit = rng.uniform(size=(storeys, bays)) < rng.uniform(0, 0.3)
    for storey in range(storeys):
        for bay in range(bays):
            y0, y1 = round((storey + top) * _CELL), round((storey + bottom) * _CELL)
            x0 = round((bay + 0.5 - half_width) * _CELL)
            x1 = round((bay + 0.5 + half_width) * _CELL)
            texture[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = frame
            texture[y0:y1, x0:x1] = (226, 205, 150) if lit[storey, bay] else glass
    texture[-_CELL:] *= 0.82
    texture[: _CELL // 6] *= 0.7
    return texture


def foliage(rng: np.random.Generator, colour: Colour) -> tuple[np.ndarray, np.ndarray]:
    """A clump of leaves.

    Args:
        rng: The scene's generator.
        colour: Mean colour of the leaves.

    Returns:
        64×64×3 float32 texture and 64×64 float32 mask (above one half inside the clump).
    """
    light, mask = _clump(int(rng.integers(_CLUMPS)))
    if rng.uniform() < 0.5:
        light, mask = light[:, ::-1], mask[:, ::-1]
    return light[..., None] * np.asarray(colour, np.float32), np.ascontiguousarray(mask)


@cache
def _clump(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and outline of one of a few clumps that all plants are put together from."""
    rng = np.random.default_rng(index)
    size = 64
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    radius = np.hypot(*np.meshgrid(axis, axis))
    mask = (radius < 0.82 + 0.18 * noise(rng, size, 7)).astype(np.float32)
    # Lit from above, dark inside: leaves are rougher than anything else in the street.
    light = 1 - 0.28 * axis[:, None] + 0.3 * noise(rng, size, 22) + 0.2 * noise(rng, size, 8)
    return light.astype(np.float32), mask


def fence(rng: np.random.Generator, bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Wooden boards on two rails.

    Args:
        rng: The scene's generator.
        bars: Number of boards.

    Returns:
        h×w×3 float32 texture and its h×w float32 opacity.
    """
    pitch = 12
    solid = int(rng.integers(8, 11))
    alpha = np.zeros((48, bars * pitch), np.float32)
    alpha[:, np.arange(bars * pitch) % pitch < solid] = 1
    alpha[4:9] = alpha[36:42] = 1
    texture = np.empty((*alpha.shape, 3), np.float32)
    wood = (rng.uniform(122, 150), rng.uniform(74, 92), rng.uniform(34, 52))
    texture[:] = shade(wood, rng.uniform(0.85, 1.15))
    texture[:, np.arange(bars * pitch) % pitch == solid - 1] *= 0.6
    return texture, alpha
