"""The fully convolutional classifier: CCNet's auxiliary head and the last part of its main head."""

from __future__ import annotations

import paddle
from paddle import nn

from paddleseg.models.layers import ConvNormAct

__all__ = ["FCNHead"]


class FCNHead(nn.Layer):
    """3×3 convolution, dropout, 1×1 classifier.

    The 3×3 convolution has a bias before its batch norm, as the published weights have.

    Args:
        in_channels: Channels of the input.
        inter_channels: Channels between the two convolutions.
        num_classes: Classes.
        dropout_prob: Share of values dropped in training, in [0, 1).

    Shape:
        N×in_channels×H×W → N×num_classes×H×W.
    """

    def __init__(
        self, in_channels: int, inter_channels: int, num_classes: int, *, dropout_prob: float = 0.0
    ) -> None:
        super().__init__()
        self.conv_bn_relu = ConvNormAct(in_channels, inter_channels, 3, bias=True)
        self.dropout = nn.Dropout(dropout_prob)
        self.conv = nn.Conv2D(inter_channels, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv(self.dropout(self.conv_bn_relu(x)))
