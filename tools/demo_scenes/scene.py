"""One street scene: what stands where, the order of painting, light and the camera's imperfections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from demo_scenes import labels, objects
from demo_scenes.canvas import Camera, Canvas, Colour
from demo_scenes.cars import paint_car
from demo_scenes.ground import Light, Street, paint_ground, paint_sky
from demo_scenes.textures import any_colour, facade, foliage, tinted_grey

__all__ = ["draw_scene"]

_SUPERSAMPLING = 2
_FARTHEST = 60.0
# Houses that end nearer than this are beside or behind the camera.
_NEAR_PLANE = 2.5

Thing = tuple[float, Callable[[], None]]


def draw_scene(seed: np.random.SeedSequence, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws one scene; the same seed gives the same street at every size.

    Args:
        seed: Seed of this scene.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        The picture, height×width×3 uint8 RGB, and its official Cityscapes label ids, height×width uint8.
    """
    world_seed, sensor_seed = seed.spawn(2)
    rng = np.random.default_rng(world_seed)
    canvas = Canvas(width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    camera, street, light = _camera(canvas, rng), _street(rng), _light(rng)
    paint_sky(canvas, camera, light, rng)
    _paint_backdrop(canvas, camera, rng)
    paint_ground(canvas, camera, street, light, rng)
    things = [*_roadside(canvas, camera, street, light, rng), *_furniture(canvas, camera, street, rng)]
    things += [*_traffic(canvas, camera, street, rng), *_people(canvas, camera, street, rng)]
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    _paint_bonnet(canvas, rng)
    picture = _develop(canvas, light, rng, np.random.default_rng(sensor_seed), (width, height))
    # Odd rows and columns: the sample nearest to the middle of each block of supersampled pixels.
    label = canvas.label[_SUPERSAMPLING // 2 :: _SUPERSAMPLING, _SUPERSAMPLING // 2 :: _SUPERSAMPLING]
    return picture, np.ascontiguousarray(label)


def _camera(canvas: Canvas, rng: np.random.Generator) -> Camera:
    high, wide = canvas.label.shape
    return Camera(
        width=wide,
        height=high,
        focal=high * rng.uniform(1.2, 1.55),
        horizon=high * rng.uniform(0.33, 0.49),
        centre=wide * rng.uniform(0.33, 0.67),
        eye_height=rng.uniform(1.7, 2.5),
        lateral=rng.uniform(-1.2, 1.2),
        bend=rng.uniform(-0.003, 0.003),
    )


def _street(rng: np.random.Generator) -> Street:
    green = (bool(rng.uniform() < 0.6), bool(rng.uniform() < 0.6))
    paved = rng.uniform(2.2, 3.2, 2)
    # A path beside grass is narrow.
    left, right = (float(width * (0.75 if grass else 1.0)) for width, grass in zip(paved, green, strict=True))
    return Street(
        half_width=rng.uniform(2.6, 3.6),
        pavement=(left, right),
        green=green,
        season=float(rng.uniform(0, 0.8)),
    )


def _light(rng: np.random.Generator) -> Light:
    skies: tuple[tuple[Colour, Colour, Colour], ...] = (
        ((70.0, 120.0, 200.0), (190.0, 210.0, 230.0), (1.05, 1.02, 0.96)),  # clear day
        ((165.0, 170.0, 178.0), (205.0, 207.0, 210.0), (0.92, 0.93, 0.95)),  # overcast
        ((125.0, 150.0, 200.0), (245.0, 205.0, 165.0), (1.08, 0.96, 0.84)),  # low sun
        ((95.0, 120.0, 175.0), (165.0, 170.0, 195.0), (0.82, 0.84, 0.90)),  # dusk
    )
    zenith, horizon, ambient = skies[int(rng.choice(4, p=[0.4, 0.28, 0.2, 0.12]))]
    wobble = rng.uniform(0.96, 1.04, 3)
    return Light(
        zenith=zenith,
        horizon=horizon,
        ambient=(ambient[0] * wobble[0], ambient[1] * wobble[1], ambient[2] * wobble[2]),
        haze=rng.uniform(120, 300),
        sun_side=int(rng.choice([-1, 1])),
        sunny=bool(rng.uniform() < 0.55),
    )


def _paint_backdrop(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Closes the street with distant houses or trees just above the horizon."""
    step = 7.0
    wooded = rng.uniform() < 0.5
    reach = _FARTHEST * camera.width / camera.focal
    for x in np.arange(-reach, reach, step):
        z = _FARTHEST * rng.uniform(1.0, 1.3)
        place = x + camera.lateral - camera.bend * z * z
        if not wooded:
            top = rng.uniform(8, 16)
            texture = facade(rng, tinted_grey(rng, 95, 165, 12), 4, 3)
            corners = camera.project_all(
                [(place, top, z), (place + 8, top, z), (place + 8, 0, z), (place, 0, z)]
            )
            canvas.quad(corners, texture, label=labels.BUILDING, depth=z)
        else:
            texture, mask = foliage(rng, (rng.uniform(40, 65), rng.uniform(85, 110), rng.uniform(30, 50)))
            size = rng.uniform(5, 8)
            scale = camera.focal / z
            centre = camera.project(place, 0.6 * size, z)
            radii = (size * scale, 0.9 * size * scale)
            canvas.stamp(centre, radii, texture, mask, label=labels.VEGETATION, depth=z)


def _roadside(
    canvas: Canvas, camera: Camera, street: Street, light: Light, rng: np.random.Generator
) -> list[Thing]:
    """Houses, trees, hedges and fences on both sides."""
    things: list[Thing] = []
    for side, sign in enumerate((-1, 1)):
        edge = street.edge(side)
        setback = rng.uniform(4, 9) if street.green[side] else rng.uniform(0.2, 1.2)
        lit = 0.72 if sign == light.sun_side else 1.08
        gap = 0.3 if street.green[side] else 0.12
        near = rng.uniform(-3, 3)
        while near < _FARTHEST:
            far = near + rng.uniform(7, 16)
            if far > _NEAR_PLANE and rng.uniform() > gap:
                house = partial(objects.paint_building, canvas, camera, rng, side=sign, lit=lit)
                x = sign * (edge + setback)
                things.append(((max(near, 0.0) + far) / 2 + 4, partial(house, x=x, near=near, far=far)))
            near = far + (rng.uniform(2, 7) if street.green[side] else 0.0)
        things += _plants(canvas, camera, street, rng, sign, setback)
        if rng.uniform() < (0.3 if street.green[side] else 0.6):
            things += _fences(canvas, camera, rng, sign * (edge + 0.1))
    return things


def _plants(
    canvas: Canvas, camera: Camera, street: Street, rng: np.random.Generator, sign: int, setback: float
) -> list[Thing]:
    side = 0 if sign < 0 else 1
    things: list[Thing] = []
    count = int(rng.integers(2, 5)) if street.green[side] else int(rng.integers(0, 2))
    for _ in range(count):
        z = rng.uniform(6, 24)
        x = sign * (street.edge(side) + (rng.uniform(0.8, setback) if street.green[side] else -0.4))
        if rng.uniform() < 0.6 or not street.green[side]:
            tree = partial(objects.paint_tree, canvas, camera, rng, x=x, z=z, season=street.season)
            things.append((z, tree))
        else:
            size = rng.uniform(1.2, 2.0)
            hedge = partial(
                objects.paint_hedge, canvas, camera, rng, x=x, z=z, size=size, season=street.season
            )
            things.append((z, hedge))
    return things


def _fences(canvas: Canvas, camera: Camera, rng: np.random.Generator, x: float) -> list[Thing]:
    height = rng.uniform(1.3, 1.8)
    start, step = rng.uniform(1.5, 5), 3.0
    stop = start + rng.uniform(9, 18)
    # Short pieces, each sorted by its own distance, so that people and trees stand before or behind them.
    state = np.random.SeedSequence(int(rng.integers(2**32)))
    return [
        (
            near + step / 2,
            partial(
                _fence_piece,
                canvas,
                camera,
                state,
                x=x,
                near=float(near),
                far=float(near + step),
                height=height,
            ),
        )
        for near in np.arange(start, stop, step)
    ]


def _fence_piece(
    canvas: Canvas,
    camera: Camera,
    state: np.random.SeedSequence,
    *,
    x: float,
    near: float,
    far: float,
    height: float,
) -> None:
    """One piece of a fence; all pieces of a fence look alike."""
    rng = np.random.default_rng(state)
    objects.paint_fence(canvas, camera, rng, x=x, near=near, far=far, height=height)


def _furniture(canvas: Canvas, camera: Camera, street: Street, rng: np.random.Generator) -> list[Thing]:
    """Lamp posts and traffic signs on the pavements, near enough to be seen."""
    things: list[Thing] = []
    for side, sign in enumerate((-1, 1)):
        for _ in range(int(rng.integers(1, 3))):
            z = rng.uniform(3.6, 7.6)
            x = sign * (street.half_width + rng.uniform(0.3, 0.6 * street.pavement[side]))
            has_sign = bool(rng.uniform() < 0.55)
            things.append((z, partial(objects.paint_post, canvas, camera, rng, x=x, z=z, sign=has_sign)))
    return things


def _traffic(canvas: Canvas, camera: Camera, street: Street, rng: np.random.Generator) -> list[Thing]:
    """Parked and moving cars, kept apart along each lane."""
    things: list[Thing] = []
    for lane in (-0.55, 0.55):
        z = rng.uniform(4.5, 12)
        while z < 16:
            if rng.uniform() < 0.55:
                x = lane * street.half_width + rng.uniform(-0.2, 0.2)
                things.append((z, partial(paint_car, canvas, camera, rng, x=x, z=z, crossing=False)))
            z += rng.uniform(7, 14)
    if rng.uniform() < 0.25:
        z, x = rng.uniform(7, 11), rng.uniform(-3, 3)
        things = [thing for thing in things if abs(thing[0] - z) > 5.5]
        things.append((z, partial(paint_car, canvas, camera, rng, x=x, z=z, crossing=True)))
    return things


def _people(canvas: Canvas, camera: Camera, street: Street, rng: np.random.Generator) -> list[Thing]:
    """Groups of people on the pavements, sometimes on the road."""
    things: list[Thing] = []
    for _ in range(int(rng.integers(1, 4))):
        side = int(rng.integers(2))
        sign = 2 * side - 1
        z = rng.uniform(3.4, 6.2)
        x = sign * (street.half_width + rng.uniform(0.3, 0.9) * street.pavement[side])
        if rng.uniform() < 0.2:
            x = rng.uniform(-0.8, 0.8) * street.half_width
        for _ in range(int(rng.integers(1, 4))):
            place, distance = x + rng.uniform(-0.9, 0.9), z + rng.uniform(-0.4, 0.4)
            things.append((distance, partial(objects.paint_person, canvas, camera, rng, x=place, z=distance)))
    return things


def _paint_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The own car's bonnet at the lower edge of some pictures; not evaluated."""
    high, wide = canvas.label.shape
    shown, rise = rng.uniform() < 0.2, rng.uniform(0.05, 0.1)
    colour = any_colour(rng)
    if shown:
        radii = (0.55 * wide, 2 * rise * high)
        canvas.disc((0.5 * wide, (1 + rise) * high), radii, colour, label=labels.EGO_VEHICLE, depth=1.5)


def _develop(
    canvas: Canvas,
    light: Light,
    rng: np.random.Generator,
    sensor: np.random.Generator,
    size: tuple[int, int],
) -> np.ndarray:
    """Turns painted colours into a photograph: light, haze, exposure, lens and sensor noise."""
    image, high = canvas.image, canvas.label.shape[0]
    lit = np.isfinite(canvas.depth)[..., None]
    image = np.where(lit, image * np.asarray(light.ambient, np.float32), image)
    clear = np.exp(-np.where(lit[..., 0], canvas.depth, 0) / light.haze)[..., None]
    image = image * clear + np.asarray(light.horizon, np.float32) * (1 - clear)

    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    across = np.linspace(-1, 1, size[0], dtype=np.float32)[None, :, None]
    down = np.linspace(-1, 1, size[1], dtype=np.float32)[:, None, None]
    slope = rng.uniform(-0.1, 0.1)
    vignette = 1 - rng.uniform(0, 0.1) * (across**2 + down**2)
    cast = rng.uniform(0.96, 1.04, 3).astype(np.float32)
    image = np.clip(image * cast * vignette * (1 + slope * across) * rng.uniform(0.82, 1.16), 0, 255)
    image = 255 * (image / 255) ** rng.uniform(0.88, 1.14)
    image = cv2.GaussianBlur(image, (0, 0), sigmaX=high * rng.uniform(0.0009, 0.0024))
    image += sensor.normal(0, rng.uniform(1, 5), image.shape).astype(np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
