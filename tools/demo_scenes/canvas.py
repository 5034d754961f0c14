"""The picture being painted (colour, label and depth together) and the camera that looks at the street."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Camera", "Canvas", "Colour", "Point"]

Point = tuple[float, float]
Colour = tuple[float, float, float]

_SUBPIXEL_BITS = 4
# Keeps fixed-point coordinates of points beside the camera inside OpenCV's range.
_FAR_OUTSIDE = 1e5


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above a flat street that may bend.

    World axes in metres: ``x`` to the right of the road's centre line, ``y`` upwards from the ground,
    ``z`` forwards from the camera.

    Args:
        width: Picture width in pixels.
        height: Picture height in pixels.
        focal: Focal length in pixels.
        horizon: Row of the horizon in pixels.
        centre: Column of the optical axis in pixels.
        eye_height: Height of the camera in metres.
        lateral: Position of the camera on the x axis in metres.
        bend: Sideways bend of the street, in metres per square metre of depth.
    """

    width: int
    height: int
    focal: float
    horizon: float
    centre: float
    eye_height: float
    lateral: float
    bend: float

    def project(self, x: float, y: float, z: float) -> Point:
        """Returns the picture position (column, row) of a world point in front of the camera."""
        column = self.centre + self.focal * (x - self.lateral + self.bend * z * z) / z
        row = self.horizon + self.focal * (self.eye_height - y) / z
        return column, row

    def project_all(self, points: Sequence[tuple[float, float, float]]) -> list[Point]:
        """Projects several world points."""
        return [self.project(*point) for point in points]

    def wall(self, x: float, near: float, far: float, low: float, high: float) -> list[Point]:
        """Corners of an upright rectangle along the street, clockwise from the far top one."""
        return self.project_all([(x, high, far), (x, high, near), (x, low, near), (x, low, far)])

    def front(self, left: float, right: float, low: float, high: float, z: float) -> list[Point]:
        """Corners of an upright rectangle that faces the camera, clockwise from the top left one."""
        return self.project_all([(left, high, z), (right, high, z), (right, low, z), (left, low, z)])

    def ground(self) -> tuple[np.ndarray, np.ndarray, int]:
        """The world position of every pixel below the horizon.

        Returns:
            ``x`` (rows × width) and ``z`` (rows × 1) in metres, float32, and the first row that they cover.
        """
        first = max(0, int(np.floor(self.horizon)) + 1)
        rows = np.arange(first, self.height, dtype=np.float32)[:, None] + 0.5
        columns = np.arange(self.width, dtype=np.float32)[None, :] + 0.5
        z = self.focal * self.eye_height / (rows - self.horizon)
        x = (columns - self.centre) * z / self.focal + self.lateral - self.bend * z * z
        return x.astype(np.float32), z.astype(np.float32), first


class Canvas:
    """Colour (float32 RGB, 0..255), label (official ids) and depth (metres), painted from far to near.

    Args:
        width: Width in pixels.
        height: Height in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.image = np.zeros((height, width, 3), np.float32)
        self.label = np.zeros((height, width), np.uint8)
        self.depth = np.full((height, width), np.inf, np.float32)

    def polygon(self, points: Sequence[Point], colour: Colour, *, label: int, depth: float) -> None:
        """Fills a polygon with one colour."""
        window, mask = self._mask(points)
        self._put(window, mask, np.asarray(colour, np.float32), label, depth)

    def disc(self, centre: Point, radii: Point, colour: Colour, *, label: int, depth: float) -> None:
        """Fills an upright ellipse with one colour."""
        self.polygon(_ellipse(centre, radii), colour, label=label, depth=depth)

    def quad(
        self,
        corners: Sequence[Point],
        texture: np.ndarray,
        *,
        label: int,
        depth: float,
        alpha: np.ndarray | None = None,
    ) -> None:
        """Maps a texture on four corners (top left, top right, bottom right, bottom left of the texture).

        Args:
            corners: Picture positions.
            texture: h×w×3 float32.
            label: Official id; the whole quad gets it, holes of the texture too.
            depth: Metres.
            alpha: h×w float32 in 0..1, the texture's opacity; opaque when omitted.
        """
        window, mask = self._mask(corners)
        if not mask.any():
            return
        rows, columns = window
        high, wide = texture.shape[:2]
        source = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
        target = np.array(corners, np.float32) - np.array((columns.start, rows.start), np.float32)
        warp = cv2.getPerspectiveTransform(source, target.astype(np.float32))
        size = (mask.shape[1], mask.shape[0])
        colour = cv2.warpPerspective(texture, warp, size, borderMode=cv2.BORDER_REPLICATE)
        if alpha is not None:
            opacity = cv2.warpPerspective(alpha, warp, size, borderMode=cv2.BORDER_REPLICATE)[..., None]
            colour = colour * opacity + self.image[window] * (1 - opacity)
        self._put(window, mask, colour[mask], label, depth)

    def stamp(
        self, centre: Point, radii: Point, texture: np.ndarray, mask: np.ndarray, *, label: int, depth: float
    ) -> None:
        """Paints a masked texture into the box ``centre`` ± ``radii``.

        Args:
            centre: Column and row of the box's centre.
            radii: Half its width and half its height, pixels.
            texture: h×w×3 float32.
            mask: h×w float32; painted where it is above one half.
            label: Official id.
            depth: Metres.
        """
        left, top = round(centre[0] - radii[0]), round(centre[1] - radii[1])
        size = (max(1, round(2 * radii[0])), max(1, round(2 * radii[1])))
        box = (left, top, left + size[0], top + size[1])
        window = self._clip(box)
        rows, columns = window
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        inside = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        painted = cv2.resize(mask, size)[inside] > 0.5
        colour = cv2.resize(texture, size)[inside]
        self._put(window, painted, colour[painted], label, depth)

    def darken(self, centre: Point, radii: Point, factor: float) -> None:
        """Casts a soft shadow: multiplies the colour inside an ellipse, leaves label and depth."""
        window, mask = self._mask(_ellipse(centre, radii))
        if mask.any():
            strength = cv2.blur(mask.astype(np.float32), (3, 3))[..., None]
            self.image[window] *= 1 - (1 - factor) * strength

    def _clip(self, box: tuple[int, int, int, int]) -> tuple[slice, slice]:
        high, wide = self.label.shape
        left, top, right, bottom = box
        columns = slice(min(max(left, 0), wide), min(max(right, 0), wide))
        return slice(min(max(top, 0), high), min(max(bottom, 0), high)), columns

    def _mask(self, points: Sequence[Point]) -> tuple[tuple[slice, slice], np.ndarray]:
        """The window of the canvas that a polygon touches, and the boolean mask of the polygon in it."""
        corners = np.clip(np.asarray(points, np.float64), -_FAR_OUTSIDE, _FAR_OUTSIDE)
        left, top = np.floor(corners.min(axis=0)).astype(int)
        right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
        window = self._clip((int(left), int(top), int(right), int(bottom)))
        rows, columns = window
        mask = np.zeros((max(0, rows.stop - rows.start), max(0, columns.stop - columns.start)), np.uint8)
        if mask.size:
            # Pixel centres lie at half-integers here and at integers in OpenCV.
            local = corners - (columns.start + 0.5, rows.start + 0.5)
            fixed = np.round(local * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(mask, [fixed], 1, shift=_SUBPIXEL_BITS)
        return window, mask.astype(bool)

    def _put(
        self, window: tuple[slice, slice], mask: np.ndarray, colour: np.ndarray, label: int, depth: float
    ) -> None:
        self.image[window][mask] = colour
        self.label[window][mask] = label
        self.depth[window][mask] = depth


def _ellipse(centre: Point, radii: Point) -> list[Point]:
    angles = np.linspace(0, 2 * np.pi, 25)[:-1]
    return [
        (centre[0] + radii[0] * float(np.cos(a)), centre[1] + radii[1] * float(np.sin(a))) for a in angles
    ]
