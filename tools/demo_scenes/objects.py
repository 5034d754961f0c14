"""What stands in the street. Each function paints one thing at a place in the world, lengths in metres."""

from __future__ import annotations

import numpy as np

from demo_scenes import labels
from demo_scenes.canvas import Camera, Canvas, Colour, Point
from demo_scenes.ground import leaf_colour
from demo_scenes.textures import any_colour, facade, fence, foliage, shade, tinted_grey

__all__ = [
    "paint_building",
    "paint_fence",
    "paint_hedge",
    "paint_person",
    "paint_post",
    "paint_tree",
]

_NEAREST = 1.2


def paint_building(
    canvas: Canvas,
    camera: Camera,
    rng: np.random.Generator,
    *,
    x: float,
    side: int,
    near: float,
    far: float,
    lit: float,
) -> None:
    """A house along the street: the wall towards the street and the end wall towards the camera.

    Args:
        canvas: The picture.
        camera: The camera.
        rng: The scene's generator.
        x: Position of the street wall.
        side: -1 on the left of the street, 1 on the right.
        near: Distance of the near end.
        far: Distance of the far end.
        lit: Brightness of the street wall relative to the end wall.
    """
    storeys = int(rng.integers(2, 7))
    top = storeys * rng.uniform(2.7, 3.4)
    pick = rng.uniform()
    if pick < 0.5:
        colour = tinted_grey(rng, 95, 165, 12)
    elif pick < 0.75:
        colour = (rng.uniform(140, 180), rng.uniform(80, 110), rng.uniform(65, 95))
    else:
        colour = (rng.uniform(90, 190), rng.uniform(90, 130), rng.uniform(120, 175))
    near = max(near, _NEAREST)
    bays = max(1, round((far - near) / 2.6))
    wall = facade(rng, colour, storeys, bays)
    end = facade(rng, colour, storeys, 4)
    depth = (near + far) / 2
    canvas.quad(camera.wall(x, near, far, 0, top), wall * lit, label=labels.BUILDING, depth=depth)
    left, right = sorted((x, x + side * 11.0))
    canvas.quad(camera.front(left, right, 0, top, near), end, label=labels.BUILDING, depth=near)


def paint_fence(
    canvas: Canvas,
    camera: Camera,
    rng: np.random.Generator,
    *,
    x: float,
    near: float,
    far: float,
    height: float,
) -> None:
    """A fence of boards along the street; what shows between them belongs to the fence's label."""
    near = max(near, _NEAREST)
    texture, alpha = fence(rng, max(6, round((far - near) * 2.2)))
    corners = camera.wall(x, near, far, 0, height)
    canvas.quad(corners, texture, label=labels.FENCE, depth=(near + far) / 2, alpha=alpha)


def paint_tree(
    canvas: Canvas, camera: Camera, rng: np.random.Generator, *, x: float, z: float, season: float
) -> None:
    """A tree: trunk and crown are both vegetation."""
    scale = camera.focal / z
    height = rng.uniform(3.0, 4.6)
    bark = shade((72.0, 66.0, 40.0), rng.uniform(0.8, 1.1))
    trunk = camera.front(x - 0.25, x + 0.25, 0, height, z)
    canvas.darken(camera.project(x, 0, z), (1.6 * scale, 0.3 * scale), 0.7)
    canvas.polygon(trunk, bark, label=labels.VEGETATION, depth=z)
    colour = leaf_colour(rng, season)
    for _ in range(9):
        offset, lift, size = rng.uniform(-1.3, 1.3), rng.uniform(-1.0, 1.4), rng.uniform(1.3, 1.9)
        texture, mask = foliage(rng, shade(colour, rng.uniform(0.8, 1.2)))
        centre = camera.project(x + offset, height + lift, z)
        canvas.stamp(centre, (size * scale, size * scale), texture, mask, label=labels.VEGETATION, depth=z)


def paint_hedge(
    canvas: Canvas,
    camera: Camera,
    rng: np.random.Generator,
    *,
    x: float,
    z: float,
    size: float,
    season: float,
) -> None:
    """A row of bushes on the ground, ``size`` metres high."""
    scale = camera.focal / z
    colour = leaf_colour(rng, season)
    canvas.darken(camera.project(x, 0, z), (1.6 * size * scale, 0.25 * size * scale), 0.7)
    for step in (-0.9, 0.0, 0.9, -0.4, 0.5):
        texture, mask = foliage(rng, shade(colour, rng.uniform(0.8, 1.2)))
        half = size * rng.uniform(0.5, 0.65)
        centre = camera.project(x + step * size, half * 0.8, z)
        canvas.stamp(
            centre, (1.3 * half * scale, half * scale), texture, mask, label=labels.VEGETATION, depth=z
        )


def paint_post(
    canvas: Canvas, camera: Camera, rng: np.random.Generator, *, x: float, z: float, sign: bool
) -> None:
    """A lamp post, or a post with a traffic sign.

    Posts too thin to be learnt from a small picture are ``static`` (not evaluated).
    """
    half = rng.uniform(0.25, 0.33)
    height = rng.uniform(2.5, 3.2) if sign else rng.uniform(4.5, 7.0)
    colour = tinted_grey(rng, 185, 218, 6)
    label = labels.POLE if z < 7.0 else labels.STATIC
    scale = camera.focal / z
    canvas.darken(camera.project(x, 0, z), (0.5 * scale, 0.12 * scale), 0.65)
    canvas.polygon(camera.front(x - half, x + half, 0, height, z), colour, label=label, depth=z)
    bright = camera.front(x - half, x - 0.3 * half, 0, height, z)
    canvas.polygon(bright, shade(colour, 1.12), label=label, depth=z)
    if sign:
        _paint_sign(canvas, camera.project(x, height, z), rng.uniform(0.62, 0.8) * scale, rng, z)
    else:
        arm = rng.uniform(0.8, 1.4) * (-1 if x > 0 else 1)
        left, right = sorted((x, x + arm))
        canvas.polygon(camera.front(left, right, height - 0.3, height, z), colour, label=label, depth=z)


def _paint_sign(canvas: Canvas, centre: Point, radius: float, rng: np.random.Generator, depth: float) -> None:
    """A sign's plate: a shape with a rim and a pictogram."""
    red, blue, white, yellow, black = (
        (210.0, 25.0, 32.0),
        (20.0, 60.0, 190.0),
        (225.0, 225.0, 220.0),
        (240.0, 190.0, 20.0),
        (25.0, 25.0, 25.0),
    )
    rim, face, mark = (
        (red, yellow, black),
        (red, white, red),
        (blue, blue, white),
        (white, red, white),
        (black, yellow, yellow),
    )[int(rng.integers(5))]
    corners = int(rng.choice([3, 4, 8, 24]))
    turn = np.pi / 4 * int(rng.integers(2)) if corners == 4 else -np.pi / 2
    angles = turn + np.arange(corners) * 2 * np.pi / corners
    for size, colour in ((1.0, rim), (0.8, face)):
        plate = [
            (centre[0] + size * radius * float(np.cos(a)), centre[1] + size * radius * float(np.sin(a)))
            for a in angles
        ]
        canvas.polygon(plate, colour, label=labels.TRAFFIC_SIGN, depth=depth)
    wide, high = (0.4, 0.13) if rng.uniform() < 0.5 else (0.13, 0.3)
    canvas.disc(centre, (wide * radius, high * radius), mark, label=labels.TRAFFIC_SIGN, depth=depth)


def paint_person(canvas: Canvas, camera: Camera, rng: np.random.Generator, *, x: float, z: float) -> None:
    """A standing or walking person."""
    tall = rng.uniform(1.45, 1.9)
    width = 0.36 * tall
    coat, trousers = any_colour(rng), shade(any_colour(rng), 0.6)
    skin = shade((224.0, 178.0, 148.0), rng.uniform(0.4, 1.05))
    hair = shade((90.0, 65.0, 45.0), rng.uniform(0.3, 1.8))
    stride = rng.uniform(0.02, 0.11) * tall
    scale = camera.focal / z
    canvas.darken(camera.project(x, 0, z), (0.8 * width * scale, 0.2 * width * scale), 0.6)

    def part(points: list[tuple[float, float]], colour: Colour) -> None:
        corners = camera.project_all([(x + px, py * tall, z) for px, py in points])
        canvas.polygon(corners, colour, label=labels.PERSON, depth=z)

    for sign, tone in ((-1, 0.8), (1, 1.0)):
        foot, hip = sign * (stride + 0.12 * width), sign * 0.22 * width
        leg = [
            (hip - 0.28 * width, 0.5),
            (hip + 0.28 * width, 0.5),
            (foot + 0.2 * width, 0),
            (foot - 0.2 * width, 0),
        ]
        part(leg, shade(trousers, tone))
    half = 0.5 * width
    part(
        [
            (-0.75 * half, 0.84),
            (0.75 * half, 0.84),
            (half, 0.75),
            (0.8 * half, 0.44),
            (-0.8 * half, 0.44),
            (-half, 0.75),
        ],
        coat,
    )
    for sign in (-1, 1):
        arm = [
            (sign * 0.75 * half, 0.82),
            (sign * 1.15 * half, 0.76),
            (sign * 1.35 * half, 0.45),
            (sign * half, 0.45),
        ]
        part(arm, shade(coat, 0.78))
    head = camera.project(x, 0.92 * tall, z)
    radii = (0.062 * tall * scale, 0.08 * tall * scale)
    canvas.disc((head[0], head[1] - 0.25 * radii[1]), radii, hair, label=labels.PERSON, depth=z)
    canvas.disc(head, (0.85 * radii[0], 0.85 * radii[1]), skin, label=labels.PERSON, depth=z)
