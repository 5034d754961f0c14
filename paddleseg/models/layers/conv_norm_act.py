"""Convolution, batch normalisation and activation: the unit every network here is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg.models.layers.convolution import Convolution

__all__ = ["Activation", "ConvNormAct"]

Activation = Literal["relu", "leaky_relu", "none"]

_ACTIVATIONS: dict[str, Callable[[paddle.Tensor], paddle.Tensor]] = {
    "relu": lambda x: F.relu_(x) if paddle.in_dynamic_mode() else F.relu(x),
    "leaky_relu": lambda x: F.leaky_relu_(x, 0.01) if paddle.in_dynamic_mode() else F.leaky_relu(x, 0.01),
    "none": lambda x: x,
}


class ConvNormAct(nn.Layer):
    """``k×k`` convolution that keeps the size (up to its stride), batch norm, activation.

    The sublayers are called ``_conv`` and ``_batch_norm`` because published weights name them so.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the kernel, in pixels.
        stride: Step of the kernel, in pixels.
        dilation: Distance between the kernel's taps, in pixels.
        bias: Whether the convolution has a bias of its own.
        activation: ``"relu"``, ``"leaky_relu"`` (slope 0.01) or ``"none"``.

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
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self._conv = Convolution(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, bias=bias
        )
        self._batch_norm = nn.BatchNorm2D(out_channels, momentum=0.9, epsilon=1e-5)
        self._activation = _ACTIVATIONS[activation]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._activation(self._batch_norm(self._conv(x)))
