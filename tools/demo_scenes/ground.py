"""Sky, street surface and what closes the street in the distance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from demo_scenes import labels
from demo_scenes.canvas import Camera, Canvas, Colour
from demo_scenes.textures import noise, tinted_grey

__all__ = ["Light", "Street", "grass_colour", "leaf_colour", "paint_ground", "paint_sky"]

_TILE = 256


@dataclass(frozen=True)
class Light:
    """Time of day and weather.

    Args:
        zenith: Sky colour at the top.
        horizon: Sky colour at the horizon, the haze's colour too.
        ambient: Factors on red, green and blue of everything lit.
        haze: Distance in metres at which two thirds of an object's colour are lost.
        sun_side: -1 when the sun stands on the left, 1 on the right.
        sunny: Whether shadows have edges.
    """

    zenith: Colour
    horizon: Colour
    ambient: Colour
    haze: float
    sun_side: int
    sunny: bool


@dataclass(frozen=True)
class Street:
    """The cross-section of the street in metres; index 0 is the left side, 1 the right side.

    Args:
        half_width: From the centre line to the kerb.
        pavement: Width of each pavement.
        green: Whether grass follows the pavement on each side.
        season: 0 is spring green, 1 is autumn brown.
    """

    half_width: float
    pavement: tuple[float, float]
    green: tuple[bool, bool]
    season: float

    def edge(self, side: int) -> float:
        """Distance from the centre line to the outer edge of a side's pavement, metres."""
        return self.half_width + self.pavement[side]


def leaf_colour(rng: np.random.Generator, season: float) -> Colour:
    """Mean colour of a plant's leaves for a season of 0 (green) to 1 (brown)."""
    red = rng.uniform(30, 55) + 45 * season
    green = rng.uniform(85, 120) - 5 * season
    return red, green, rng.uniform(22, 45)


def grass_colour(rng: np.random.Generator, season: float) -> Colour:
    """Colour of dry grass: yellower and lighter than leaves."""
    red = rng.uniform(145, 170) + 15 * season
    green = rng.uniform(158, 180) - 8 * season
    return red, green, rng.uniform(60, 88)


def paint_sky(canvas: Canvas, camera: Camera, light: Light, rng: np.random.Generator) -> None:
    """Fills the picture with a graded sky and clouds."""
    height, width = canvas.label.shape
    ramp = np.clip(np.arange(height, dtype=np.float32) / max(camera.horizon, 1.0), 0, 1)[:, None, None]
    sky = np.asarray(light.zenith, np.float32) * (1 - ramp) + np.asarray(light.horizon, np.float32) * ramp
    cover = rng.uniform(0, 0.8)
    clouds = noise(rng, 128, 6) + 0.5 * noise(rng, 128, 17)
    clouds = cv2.resize(np.clip(clouds + cover - 0.5, 0, 1), (width, height))[..., None]
    brightness = rng.uniform(0.75, 1.15)
    white = np.asarray(light.horizon, np.float32) * brightness
    canvas.image[:] = sky * (1 - 0.7 * clouds) + white * 0.7 * clouds
    canvas.label[:] = labels.SKY


def paint_ground(
    canvas: Canvas, camera: Camera, street: Street, light: Light, rng: np.random.Generator
) -> None:
    """Paints road, lane marks, kerbs, pavements and grass below the horizon."""
    x, z, first = camera.ground()
    zone = np.full(x.shape, labels.ROAD, np.uint8)
    zone[np.abs(x) > street.half_width] = labels.SIDEWALK
    for side, sign in enumerate((-1, 1)):
        if street.green[side]:
            zone[sign * x > street.edge(side)] = labels.TERRAIN

    colour = np.empty((*x.shape, 3), np.float32)
    road = tinted_grey(rng, 58, 98, 8)
    colour[:] = road
    _paint_marks(colour, x, z, street, rng)
    pavement = zone == labels.SIDEWALK
    # Reddish slabs, lighter than the road.
    level = rng.uniform(122, 165)
    warmth = np.array((rng.uniform(22, 42), rng.uniform(-8, 2), rng.uniform(-8, 4)), np.float32)
    colour[pavement] = level + warmth
    seam = _seams(x, z, rng.uniform(0.7, 1.2))
    colour[pavement & seam] *= 0.8
    kerb = np.abs(np.abs(x) - street.half_width - 0.1) < 0.1
    colour[kerb] = tinted_grey(rng, 120, 200)
    grass = zone == labels.TERRAIN
    colour[grass] = grass_colour(rng, street.season)

    coarse, fine = noise(rng, _TILE, 32), noise(rng, _TILE, 128)
    colour *= 1 + 0.10 * _tiled(coarse, x, z, 6.0)[..., None] + 0.06 * _tiled(fine, x, z, 24.0)[..., None]
    rough = 1 + 0.2 * _tiled(fine, x, z, 60.0)[..., None]
    colour[grass] *= rough[grass]
    if light.sunny:
        edge = light.sun_side * rng.uniform(-1.0, 1.2) * street.half_width
        ragged = edge + 0.8 * _tiled(coarse, np.zeros_like(x), np.broadcast_to(z, x.shape), 8.0)
        colour[(x - ragged) * light.sun_side > 0] *= rng.uniform(0.6, 0.82)
    canvas.image[first:] = colour
    canvas.label[first:] = zone
    canvas.depth[first:] = z


def _paint_marks(
    colour: np.ndarray, x: np.ndarray, z: np.ndarray, street: Street, rng: np.random.Generator
) -> None:
    """Lane lines, and a zebra crossing in some streets; all of it is road."""
    paint = tinted_grey(rng, 170, 235)
    period, phase = rng.uniform(4, 8), rng.uniform(0, 8)
    centre = (np.abs(x) < 0.1) & ((z + phase) % period < 0.55 * period)
    edges = np.abs(np.abs(x) - street.half_width + 0.5) < 0.08
    colour[centre] = paint
    if rng.uniform() < 0.5:
        colour[edges] = paint
    start, depth = rng.uniform(5, 12), rng.uniform(2, 3.5)
    if rng.uniform() < 0.35:
        zebra = (z > start) & (z < start + depth) & (x % 1.0 < 0.5)
        colour[zebra] = paint


def _seams(x: np.ndarray, z: np.ndarray, slab: float) -> np.ndarray:
    """Joints between paving slabs, thicker in the distance so that they do not flicker."""
    joint = 0.05 + 0.006 * z
    return ((x % slab) < joint) | (np.broadcast_to(z % slab, x.shape) < joint * 1.5)


def _tiled(texture: np.ndarray, x: np.ndarray, z: np.ndarray, texels_per_metre: float) -> np.ndarray:
    """Looks a texture up at world positions, repeating it, and fades it where it would flicker."""
    size = texture.shape[0]
    columns = (np.abs(x) * texels_per_metre + 17 * (x < 0)).astype(np.int64) % size
    rows = (z * texels_per_metre).astype(np.int64) % size
    fade = np.clip(12.0 / np.maximum(z, 1.0), 0, 1)
    return texture[np.broadcast_to(rows, columns.shape), columns] * fade
