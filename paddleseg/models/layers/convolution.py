"""Convolution, on the CPU by matrix products of shifted images.

Paddle's convolution copies the surroundings of every pixel together, nine times the image for a 3×3 kernel,
and multiplies once. Where lines are apart by their margin alone, all pixels that one tap of the kernel meets
are a matrix as the image lies: one product a tap, added up, copies nothing. The largest 3×3 convolutions take
half the products: see :mod:`paddleseg.models.layers.four_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import paddle
from paddle import nn
from paddle.autograd import PyLayer

from paddleseg.models.layers.four_lines import FourLines
from paddleseg.models.layers.matrix_library import (
    Floats,
    check_versions,
    has_matrix_library,
    multiply,
    runs_eagerly,
    saved_versions,
    shared,
)

__all__ = ["Convolution", "ShiftedConvolution"]

# Beyond these, Paddle's is as fast: products are too thin or too small, or too much of them is margin.
_LEAST_CHANNELS = 32
_LEAST_PIXELS = 2**10
_LEAST_OPERATIONS = 2**27
_GREATEST_MARGIN = 1 / 10
# Half the products pay from so many pixels on, or pairs of channels, where few lines lie beyond the image.
_FOUR_LINES_PIXELS = 2**15
_FOUR_LINES_CHANNEL_PAIRS = 2**20
_FOUR_LINES_SURPLUS = 1 / 7


class Convolution(nn.Conv2D):
    """``nn.Conv2D`` that keeps the size, up to its stride: with the same numbers but for rounding.

    Large float32 images on the CPU are convolved by :class:`ShiftedConvolution`. As with any function of
    one's own in Paddle 3.3.1, a second ``backward()`` over one graph (``retain_graph=True``) then crashes,
    there are no second derivatives, and ``paddle.grad`` wants those by input and weight together: set
    ``shifts`` to False for such uses.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the kernel, in pixels.
        stride: Step of the kernel, in pixels.
        dilation: Distance between the kernel's taps, in pixels.
        bias: Whether the convolution has a bias.

    Attributes:
        shifts: Whether images may be convolved so.

    Shape:
        N×in_channels×H×W → N×out_channels×⌈H/stride⌉×⌈W/stride⌉.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
    ) -> None:
        margin = dilation * (kernel_size - 1) // 2
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=margin,
            dilation=dilation,
            bias_attr=None if bias else False,
        )
        self.shifts = kernel_size > 1 and stride == 1 and in_channels >= _LEAST_CHANNELS
        self._margin, self._taps_apart = margin, dilation

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.shifts and runs_eagerly() and self._pays(x):
            sums = ShiftedConvolution.apply(x, self.weight, self._taps_apart)
            return sums if self.bias is None else sums + self.bias.reshape([-1, 1, 1])
        return super().forward(x)

    def _pays(self, x: paddle.Tensor) -> bool:
        if x.ndim != 4 or x.shape[1] != self.weight.shape[1]:
            return False  # Paddle says what is wrong
        pixels = x.shape[2] * x.shape[3]
        large = pixels >= _LEAST_PIXELS and 2 * self.weight.size * pixels >= _LEAST_OPERATIONS
        filled = self._margin <= min(x.shape[2:]) * _GREATEST_MARGIN
        single = x.dtype == self.weight.dtype == paddle.float32 and not paddle.is_autocast_enabled()
        return large and filled and single and x.place.is_cpu_place() and has_matrix_library()


class ShiftedConvolution(PyLayer):
    """Convolution of stride 1 that keeps the size, with zeros around the image.

    A second backward over one graph (``retain_graph=True``) crashes, with any PyLayer of Paddle 3.3.1.
    """

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, dilation: int) -> paddle.Tensor:
        """Convolves.

        Args:
            ctx: Where Paddle keeps what backward needs.
            x: N×in×H×W float32 on the CPU.
            weight: out×in×k×k float32, k odd.
            dilation: Distance between the kernel's taps, in pixels.

        Returns:
            N×out×H×W float32.
        """
        x = x.contiguous()
        shifts = _Shifts(x.shape[2], x.shape[3], weight.shape[2], dilation)
        output = paddle.empty([x.shape[0], weight.shape[0], *x.shape[2:]], dtype="float32")
        taps = _by_tap(shared(weight))
        four = _four_lines(x, weight, dilation)
        for pixels, result in zip(shared(x), shared(output), strict=True):
            if four is None:
                shifts.convolve(taps, shifts.pad(pixels), result)
            else:
                four.convolve(taps, pixels, result)
        ctx.save_for_backward(x, weight)
        ctx.versions = saved_versions(x, weight)
        ctx.dilation = dilation
        ctx.learned = [not one.stop_gradient for one in (x, weight)]
        return output

    @staticmethod
    def backward(ctx: Any, upstream: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:
        """Returns the derivatives by x and by the weight; None for those without one.

        Args:
            ctx: What ``forward`` kept.
            upstream: Derivatives by the output, N×out×H×W.
        """
        x, weight = ctx.saved_tensor()
        check_versions(ctx.versions, x, weight)
        for_x, for_weight = ctx.learned
        shifts = _Shifts(x.shape[2], x.shape[3], weight.shape[2], ctx.dilation)
        by_x = paddle.empty_like(x) if for_x else None
        taps = _by_tap(shared(weight))
        by_taps = np.zeros_like(taps)
        four = _four_lines(x, weight, ctx.dilation)
        for image, arriving in enumerate(shared(upstream.contiguous())):
            if by_x is not None and four is not None:
                four.convolve(taps, arriving, shared(by_x)[image], turned=True)
            padded = shifts.pad(arriving) if for_weight or four is None else arriving
            if for_weight:
                shifts.add_derivative(padded, shifts.pad(shared(x)[image]), by_taps)
            if by_x is not None and four is None:
                # Seen from the input, the kernel is turned by half a circle.
                shifts.convolve(taps[::-1].swapaxes(1, 2), padded, shared(by_x)[image])
        by_weight = paddle.empty_like(weight) if for_weight else None
        if by_weight is not None:
            lines = shared(by_weight).reshape(-1, len(taps))
            cv2.transpose(by_taps.reshape(len(taps), -1), dst=lines)
        return by_x, by_weight


class _Shifts:
    """Images whose lines are apart by one margin of zeros, and where in them each tap finds its pixels.

    Args:
        height: H.
        width: W.
        side: k, of the kernel.
        dilation: Distance between taps.
    """

    def __init__(self, height: int, width: int, side: int, dilation: int) -> None:
        self._height, self._width, self._margin = height, width, dilation * (side // 2)
        self._pitch = width + self._margin
        self._length = height * self._pitch
        steps = range(0, side * dilation, dilation)
        self._offsets = [down * self._pitch + right for down in steps for right in steps]

    def pad(self, image: Floats) -> Floats:
        """C×H×W → C×pixels with margins: above and below the image, before each line, after the last."""
        above = self._margin * self._pitch
        padded = _empty(len(image), self._length + 2 * (above + self._margin))
        padded[:, :above] = padded[:, above + self._length :] = 0
        lines = self._lines(padded[:, above : above + self._length])
        lines[..., : self._margin] = 0
        lines[..., self._margin :] = image
        return padded

    def convolve(self, taps: Floats, padded: Floats, out: Floats) -> None:
        """Writes C×H×W: the sum of k²×C×D taps times what they meet in D padded channels."""
        wide = _empty(len(out), self._length)
        for number, (tap, met) in enumerate(zip(taps, self._met(padded), strict=True)):
            multiply(tap, met, wide, add=number > 0)
        out[...] = self._lines(wide)[..., : self._width]

    def add_derivative(self, upstream: Floats, padded: Floats, by_taps: Floats) -> None:
        """Adds the derivatives by k²×C×D taps, from C and D padded channels."""
        start = self._margin * self._pitch + self._margin
        arriving = upstream[:, start : start + self._length]
        for by_tap, met in zip(by_taps, self._met(padded), strict=True):
            multiply(arriving, met.T, by_tap, add=True)

    def _met(self, padded: Floats) -> Iterator[Floats]:
        """What each tap meets, channels×pixels; after each line there are pixels that do not count."""
        return (padded[:, offset : offset + self._length] for offset in self._offsets)

    def _lines(self, pixels: Floats) -> Floats:
        return pixels.reshape(-1, self._height, self._pitch)


def _four_lines(x: paddle.Tensor, weight: paddle.Tensor, dilation: int) -> FourLines | None:
    """What convolves by half the products; None where all of them take less time."""
    height, width = x.shape[2:]
    outputs, inputs, side, _ = weight.shape
    large = height * width >= _FOUR_LINES_PIXELS or outputs * inputs >= _FOUR_LINES_CHANNEL_PAIRS
    if side != 3 or not large:
        return None
    four = FourLines(height, width, dilation)
    return four if four.surplus <= _FOUR_LINES_SURPLUS else None


def _by_tap(weight: Floats) -> Floats:
    """out×in×k×k → k²×out×in."""
    outputs, inputs = weight.shape[:2]
    taps: Floats = cv2.transpose(weight.reshape(outputs * inputs, -1)).reshape(-1, outputs, inputs)
    return taps


def _empty(*shape: int) -> Floats:
    """Of Paddle's memory, which its tensors use again."""
    return shared(paddle.empty(list(shape), dtype="float32"))
