"""Cars: a box for the body, a smaller one for the cabin, and details on the face towards the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_scenes import labels
from demo_scenes.canvas import Camera, Canvas, Colour, Point
from demo_scenes.textures import any_colour, shade, tinted_grey

__all__ = ["paint_car"]

_GLASS: Colour = (38.0, 46.0, 56.0)
_TYRE: Colour = (24.0, 24.0, 26.0)
_HUB: Colour = (120.0, 122.0, 126.0)
_PLATE: Colour = (225.0, 225.0, 218.0)


@dataclass(frozen=True)
class _Box:
    """A car's outline in metres: sideways from left to right, from near to far, waist line and roof."""

    left: float
    right: float
    near: float
    far: float
    waist: float
    tall: float

    @property
    def across(self) -> float:
        return self.right - self.left

    @property
    def along(self) -> float:
        return self.far - self.near

    def at(self, share: float) -> float:
        """Sideways position at a share of the width, 0 on the left."""
        return self.left + share * self.across


def paint_car(
    canvas: Canvas, camera: Camera, rng: np.random.Generator, *, x: float, z: float, crossing: bool
) -> None:
    """Paints a car.

    Args:
        canvas: The picture.
        camera: The camera.
        rng: The scene's generator.
        x: Position of its middle.
        z: Distance of its near end.
        crossing: Whether it stands across the street, its side towards the camera.
    """
    width, length, tall = rng.uniform(1.7, 1.95), rng.uniform(3.8, 4.6), rng.uniform(1.4, 1.85)
    paint = any_colour(rng) if rng.uniform() < 0.6 else tinted_grey(rng, 25, 230)
    across, along = (length, width) if crossing else (width, length)
    box = _Box(x - across / 2, x + across / 2, z, z + along, 0.56 * tall, tall)
    scale = camera.focal / z
    canvas.darken(camera.project(x, 0, z + 0.3), (0.62 * across * scale, 0.16 * width * scale), 0.45)
    _paint_side(canvas, camera, box, paint, wheels=not crossing)
    _paint_cabin(canvas, camera, box, paint)
    _fill(canvas, camera.front(box.left, box.right, 0.22, box.waist, z), paint, z)
    if crossing:
        _paint_flank(canvas, camera, box, paint)
    else:
        _paint_end(canvas, camera, rng, box, paint)


def _fill(canvas: Canvas, corners: list[Point], colour: Colour, depth: float) -> None:
    canvas.polygon(corners, colour, label=labels.CAR, depth=depth)


def _paint_side(canvas: Canvas, camera: Camera, box: _Box, paint: Colour, *, wheels: bool) -> None:
    """The side that leads away from the camera: of the two, the one towards the optical axis shows."""
    middle = (box.left + box.right) / 2 + camera.bend * box.near**2
    x, inwards = (box.left, 0.1) if middle > camera.lateral else (box.right, -0.1)
    _fill(canvas, camera.wall(x, box.near, box.far, 0.2, box.waist), shade(paint, 0.72), box.near)
    for share in (0.2, 0.8) if wheels else ():
        middle = box.near + share * box.along
        angles = np.linspace(0, 2 * np.pi, 17)[:-1]
        tyre = [
            camera.project(x, 0.32 + 0.33 * float(np.sin(a)), middle + 0.33 * float(np.cos(a)))
            for a in angles
        ]
        _fill(canvas, tyre, _TYRE, box.near)
    start, stop = box.near + 0.22 * box.along, box.far - 0.12 * box.along
    window = camera.wall(x + inwards * box.across, start, stop, box.waist, box.tall)
    _fill(canvas, window, shade(_GLASS, 1.2), box.near)


def _paint_cabin(canvas: Canvas, camera: Camera, box: _Box, paint: Colour) -> None:
    """Roof, bonnet and the cabin's face with its pane, narrower at the top."""
    start, stop = box.near + 0.22 * box.along, box.far - 0.12 * box.along
    roof = [(box.at(0.1), stop), (box.at(0.9), stop), (box.at(0.9), start), (box.at(0.1), start)]
    _fill(canvas, camera.project_all([(x, box.tall, z) for x, z in roof]), shade(paint, 1.15), box.near)
    bonnet = [(box.left, box.far), (box.right, box.far), (box.right, box.near), (box.left, box.near)]
    _fill(canvas, camera.project_all([(x, box.waist, z) for x, z in bonnet]), shade(paint, 1.1), box.near)
    for top, bottom, margin, colour in ((0.16, 0.04, 0.0, paint), (0.22, 0.08, 0.1, _GLASS)):
        high, low = box.tall - margin, box.waist + 0.4 * margin
        face = [
            (box.at(top), high),
            (box.at(1 - top), high),
            (box.at(1 - bottom), low),
            (box.at(bottom), low),
        ]
        _fill(canvas, camera.project_all([(x, y, start) for x, y in face]), colour, box.near)


def _paint_flank(canvas: Canvas, camera: Camera, box: _Box, paint: Colour) -> None:
    """Wheels and door of a car that shows its side."""
    scale = camera.focal / box.near
    for share in (0.19, 0.81):
        hub = camera.project(box.at(share), 0.32, box.near)
        for size, colour in ((0.34, _TYRE), (0.19, _HUB)):
            canvas.disc(hub, (size * scale, size * scale), colour, label=labels.CAR, depth=box.near)
    door = camera.front(box.at(0.49), box.at(0.505), 0.28, box.waist, box.near)
    _fill(canvas, door, shade(paint, 0.5), box.near)


def _paint_end(canvas: Canvas, camera: Camera, rng: np.random.Generator, box: _Box, paint: Colour) -> None:
    """Tyres, lamps, bumper and number plate of a car that shows its front or rear."""
    lamp: Colour = (200.0, 28.0, 25.0) if rng.uniform() < 0.6 else (240.0, 238.0, 215.0)
    parts = [
        (0.03, 0.24, 0.0, 0.3, _TYRE),
        (0.76, 0.97, 0.0, 0.3, _TYRE),
        (0.03, 0.23, 0.68 * box.waist, 0.88 * box.waist, lamp),
        (0.76, 0.96, 0.68 * box.waist, 0.88 * box.waist, lamp),
        (0.0, 1.0, 0.22, 0.42, shade(paint, 0.5)),
        (0.36, 0.64, 0.45, 0.58, _PLATE),
    ]
    for start, stop, low, high, colour in parts:
        _fill(canvas, camera.front(box.at(start), box.at(stop), low, high, box.near), colour, box.near)
