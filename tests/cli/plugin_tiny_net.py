"""A user's own module, as ``plugins`` of a config names it: a model small enough for any test."""

from __future__ import annotations

import paddle
from paddle import nn

from paddleseg.registry import MODELS


@MODELS.register
class TinyNet(nn.Layer):
    """One 1×1 convolution; its state is ``head.weight`` and ``head.bias``."""

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.head = nn.Conv2D(in_channels, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.head(x)]
