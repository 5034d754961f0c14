"""3×3 convolution by half the products: four lines of the result from six, instead of twelve.

Winograd's minimal filtering F(4, 3), down the image only (Lavin and Gray, arXiv 1509.09308, section 4.3, in
one dimension): along its lines, pixels stay as they lie, so that each of the kernel's columns is one product
of a shifted view. Part of the image at a time, which bounds memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import paddle

from paddleseg.models.layers.matrix_library import Floats, multiply, shared

__all__ = ["FourLines"]

# The matrix of the kernel's lines for the points 0, 1, −1, 2, −2 and infinity.
_OF_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=np.float32,
)
_SUMS, _LINES = _OF_KERNEL.shape[0], 4
_SIDE = 3
_PIXELS_AT_ONCE = 2**12  # columns of a product; more gain nothing and take memory
_CHANNELS_AT_ONCE = 16  # that stay in the processor's cache


class FourLines:
    """Convolves images of one size with 3×3 kernels of one dilation, zeros around the image.

    Lines that one kernel meets are ``dilation`` apart, so four of them that belong together are, too.

    Args:
        height: H.
        width: W.
        dilation: Distance between the kernel's taps, in pixels.
    """

    def __init__(self, height: int, width: int, dilation: int) -> None:
        self._height, self._width, self._dilation = height, width, dilation
        self._pitch = width + dilation  # a margin of zeros before each line
        self._groups = -(-height // (_LINES * dilation))

    @property
    def surplus(self) -> float:
        """Lines that are computed beyond the image's, as a share of these."""
        return self._groups * _LINES * self._dilation / self._height - 1

    def convolve(self, taps: Floats, image: Floats, out: Floats, *, turned: bool = False) -> None:
        """Writes the convolution of an image.

        Args:
            taps: 9×D×C of the kernel, D×C×3×3.
            image: C×H×W.
            out: D×H×W.
            turned: Turn the kernel by half a circle and exchange C and D: the derivative by the image.
        """
        kernel = _of_kernel(taps, turned=turned)
        step = self._groups_at_once()
        pixels = step * self._dilation * self._pitch
        sums_in = _empty(_SUMS, len(image), pixels + 2 * self._dilation)
        sums_out = _empty(_SUMS, len(out), pixels)
        with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as threads:
            for first in range(0, self._groups, step):
                groups = range(first, min(first + step, self._groups))
                size = len(groups) * self._dilation * self._pitch
                _share(threads, len(image), self._gather, image, groups, sums_in)
                for column in range(_SIDE):
                    met = sums_in[..., column * self._dilation :][..., :size]
                    multiply(kernel[:, column], met, sums_out[..., :size], add=column > 0)
                _share(threads, len(out), self._scatter, out, groups, sums_out)

    def _groups_at_once(self) -> int:
        parts = max(1, round(self._groups * self._dilation * self._pitch / _PIXELS_AT_ONCE))
        return -(-self._groups // parts)

    def _gather(self, image: Floats, groups: range, sums: Floats, channels: slice) -> None:
        """Writes six sums of each group's six lines, for some channels."""
        lines, dilation = (_LINES * len(groups) + 2) * self._dilation, self._dilation
        top = _LINES * groups[0] * dilation - dilation
        inside = slice(max(top, 0), min(top + lines, self._height))
        part = image[channels]
        padded = np.zeros((len(part), lines, self._width), dtype=np.float32)
        padded[:, inside.start - top : inside.stop - top] = part[:, inside]
        apart = padded.reshape(len(part), -1, dilation, self._width)
        a, b, c, d, e, f = (apart[:, line::_LINES][:, : len(groups)] for line in range(_SUMS))
        size = len(groups) * dilation * self._pitch
        sums[:, channels, size : size + 2 * dilation] = 0
        result = sums[:, channels, :size].reshape(_SUMS, len(part), -1, dilation, self._pitch)
        result[..., :dilation] = 0
        result = result[..., dilation:]
        even, odd = e - 4 * c, d - 4 * b
        np.add(even, odd, out=result[1])
        np.subtract(even, odd, out=result[2])
        even, odd = e - c, d - b
        np.add(even, 4 * (a - c), out=result[0])
        np.subtract(f - d, 4 * odd, out=result[5])
        odd *= 2
        np.add(even, odd, out=result[3])
        np.subtract(even, odd, out=result[4])

    def _scatter(self, out: Floats, groups: range, sums: Floats, channels: slice) -> None:
        """Writes each group's four lines from the six products, for some channels."""
        size = len(groups) * self._dilation * self._pitch
        part = sums[:, channels, :size].reshape(_SUMS, -1, len(groups), self._dilation, self._pitch)
        zero, one, minus_one, two, minus_two, infinity = part[..., : self._width]
        lines = np.empty((part.shape[1], len(groups), _LINES, self._dilation, self._width), dtype=np.float32)
        first, second, third, fourth = (lines[:, :, line] for line in range(_LINES))
        near, far = one + minus_one, two + minus_two
        np.add(near, far, out=first)
        first += zero
        np.multiply(far, 4, out=third)
        third += near
        near, far = one - minus_one, two - minus_two
        far *= 2
        np.add(near, far, out=second)
        far *= 4
        np.add(near, far, out=fourth)
        fourth += infinity
        top = _LINES * groups[0] * self._dilation
        written = out[channels, top : top + _LINES * len(groups) * self._dilation]
        written[...] = lines.reshape(len(lines), -1, self._width)[:, : written.shape[1]]


def _of_kernel(taps: Floats, *, turned: bool) -> Floats:
    """9×D×C → 6×3×D×C; turned, 6×3×C×D."""
    _, outputs, inputs = taps.shape
    matrix = _OF_KERNEL[:, ::-1] if turned else _OF_KERNEL
    kernel: Floats = (matrix @ taps.reshape(_SIDE, -1)).reshape(_SUMS, _SIDE, outputs, inputs)
    return kernel[:, ::-1].swapaxes(2, 3) if turned else kernel


def _share(threads: ThreadPoolExecutor, channels: int, work: Callable[..., None], *given: object) -> None:
    """Does the work for all channels, some at a time."""
    starts = range(0, channels, _CHANNELS_AT_ONCE)
    parts = [slice(start, start + _CHANNELS_AT_ONCE) for start in starts]
    for done in [threads.submit(work, *given, part) for part in parts]:
        done.result()


def _empty(*shape: int) -> Floats:
    """Of Paddle's memory, which its tensors use again."""
    return shared(paddle.empty(list(shape), dtype="float32"))
