"""CCNet in plain PyTorch, for comparison: the same layers and the same weights.

Attribute names are those of the weights, so that they load by name; the arithmetic is written down again from
the papers (arXiv 1812.01187 and 1811.11721) and shares no code with the toolkit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = {"ResNet18_vd": (2, 2, 2, 2), "ResNet50_vd": (3, 4, 6, 3), "ResNet101_vd": (3, 4, 23, 3)}
STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)  # output stride 8


class ConvNorm(nn.Module):
    """Convolution, batch norm, and optionally a leaky ReLU; slope 0 is a ReLU, 1 nothing."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        slope: float = 0.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        padding = dilation * (side // 2)
        self._conv = nn.Conv2d(inputs, outputs, side, stride, padding, dilation, bias=bias)
        self._batch_norm = nn.BatchNorm2d(outputs)
        self._slope = slope

    def forward(self, x: Tensor) -> Tensor:
        x = self._batch_norm(self._conv(x))
        if self._slope == 1.0:
            return x
        return F.relu(x) if self._slope == 0.0 else F.leaky_relu(x, self._slope)


class Block(nn.Module):
    """Basic or bottleneck block; a strided shortcut averages first."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, first: bool, deep: bool) -> None:
        super().__init__()
        outputs = width * 4 if deep else width
        if deep:
            self.conv0 = ConvNorm(inputs, width, 1)
            self.conv1 = ConvNorm(width, width, 3, stride, dilation)
            self.conv2 = ConvNorm(width, outputs, 1, slope=1.0)
        else:
            self.conv0 = ConvNorm(inputs, width, 3, stride, dilation)
            self.conv1 = ConvNorm(width, width, 3, 1, dilation, slope=1.0)
        self.short = ConvNorm(inputs, outputs, 1, slope=1.0) if first else None
        self._stride, self._deep = stride, deep

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.conv0(x))
        if self._deep:
            y = self.conv2(y)
        if self.short is not None:
            x = self.short(F.avg_pool2d(x, 2, 2, ceil_mode=True) if self._stride == 2 else x)
        return F.relu(x + y)


class Backbone(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        deep = name != "ResNet18_vd"
        self.conv1_1, self.conv1_2 = ConvNorm(3, 32, 3, 2), ConvNorm(32, 32, 3)
        self.conv1_3 = ConvNorm(32, 64, 3)
        self._blocks, channels = [], 64
        for stage, depth in enumerate(DEPTHS[name]):
            width = 64 << stage
            for i in range(depth):
                stride = STRIDES[stage] if i == 0 else 1
                block = Block(channels, width, stride, DILATIONS[stage], i == 0, deep)
                self._blocks.append(f"bb_{stage}_{i}")
                self.add_module(self._blocks[-1], block)
                channels = width * (4 if deep else 1)
        self.channels = channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the features of the third stage, which the auxiliary head sees, and of the last."""
        x = F.max_pool2d(self.conv1_3(self.conv1_2(self.conv1_1(x))), 3, 2, 1)
        third = x
        for name in self._blocks:
            x = getattr(self, name)(x)
            third = x if name.startswith("bb_2_") else third
        return third, x


class CrissCross(nn.Module):
    """Attention over a pixel's row and column, itself once."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q_conv, self.k_conv = (nn.Conv2d(channels, channels // 8, 1) for _ in range(2))
        self.v_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.q_conv(x), self.k_conv(x), self.v_conv(x)
        height = x.shape[2]
        column = query.permute(0, 3, 2, 1) @ key.permute(0, 3, 1, 2)  # N×W×H×H
        column = column.masked_fill(torch.eye(height, dtype=torch.bool), -torch.inf)
        row = query.permute(0, 2, 3, 1) @ key.permute(0, 2, 1, 3)  # N×H×W×W
        weights = torch.cat([column.transpose(1, 2), row], 3).softmax(3)
        from_column = weights[..., :height].transpose(1, 2) @ value.permute(0, 3, 2, 1)  # N×W×H×C
        from_row = weights[..., height:] @ value.permute(0, 2, 3, 1)  # N×H×W×C
        return self.gamma * (from_column.permute(0, 3, 2, 1) + from_row.permute(0, 3, 1, 2)) + x


class Classifier(nn.Module):
    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv_bn_relu = ConvNorm(inputs, 512, 3, bias=True)
        self.dropout = nn.Dropout2d(0.1)
        self.conv = nn.Conv2d(512, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.dropout(self.conv_bn_relu(x)))


class Head(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        reduced = channels // 4
        self.conva = ConvNorm(channels, reduced, 3, slope=0.01)
        self.cca = CrissCross(reduced)
        self.convb = ConvNorm(reduced, reduced, 3, slope=0.01)
        self.out = Classifier(channels + reduced, classes)

    def forward(self, x: Tensor) -> Tensor:
        context = self.convb(self.cca(self.cca(self.conva(x))))
        return self.out(torch.cat([x, context], 1))


class CCNet(nn.Module):
    """Main logits, and in training the auxiliary ones, too."""

    def __init__(self, backbone: str, classes: int, align_corners: bool) -> None:
        super().__init__()
        self.backbone = Backbone(backbone)
        self.head = Head(self.backbone.channels, classes)
        self.aux_head = Classifier(self.backbone.channels // 2, classes)
        self._align_corners = align_corners

    def forward(self, x: Tensor) -> list[Tensor]:
        third, last = self.backbone(x)
        outputs = [self.head(last), self.aux_head(third)] if self.training else [self.head(last)]
        return [
            F.interpolate(one, x.shape[2:], mode="bilinear", align_corners=self._align_corners)
            for one in outputs
        ]


def load_weights(network: nn.Module, path: Path) -> None:
    """Fills the network; every array of the file must find its place."""
    state = {
        name.replace("._mean", ".running_mean").replace("._variance", ".running_var"): torch.from_numpy(array)
        for name, array in np.load(path).items()
    }
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"{path}: missing {missing}, unexpected {unexpected}")
