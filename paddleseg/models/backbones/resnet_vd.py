"""ResNet-vd, the "D" variant of *Bag of Tricks for Image Classification* (arXiv 1812.01187, section 4).

Three 3×3 convolutions replace the 7×7 stem, and a strided shortcut averages before its 1×1 convolution.
Sublayer names follow the published weights (``conv1_1``, ``bb_{stage}_{block}``, ``short``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg.models.backbones.base import Backbone, Stage
from paddleseg.models.layers import ConvNormAct
from paddleseg.registry import BACKBONES

__all__ = ["ResNet18_vd", "ResNet34_vd", "ResNet50_vd", "ResNet101_vd", "ResNet152_vd", "ResNetVd"]

_STAGE_WIDTHS = (64, 128, 256, 512)
# output stride → (stride of stages 1–4, dilation of stages 1–4)
_STRIDES_AND_DILATIONS = {
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}


class _Shortcut(ConvNormAct):
    """1×1 projection; where the block strides, a 2×2 average comes first (arXiv 1812.01187, figure 2c)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, activation="none")
        self._stride = stride

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self._stride > 1:
            x = F.avg_pool2d(x, kernel_size=self._stride, stride=self._stride, ceil_mode=True)
        return super().forward(x)


class _BasicBlock(nn.Layer):
    """Two 3×3 convolutions (ResNet18 and 34).

    Args:
        in_channels: Channels of the input.
        width: Channels of the 3×3 convolutions.
        stride: Stride of the block.
        dilation: Dilation of its 3×3 convolutions.
        project: Whether the shortcut is a projection.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        self.conv0 = ConvNormAct(in_channels, width, 3, stride=stride, dilation=dilation)
        self.conv1 = ConvNormAct(width, width, 3, dilation=dilation, activation="none")
        self.short = _Shortcut(in_channels, width, stride=stride) if project else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv1(self.conv0(x))
        return F.relu(y + (x if self.short is None else self.short(x)))


class _BottleneckBlock(nn.Layer):
    """1×1, 3×3 and 1×1 convolutions (ResNet50 and deeper); the stride sits on the 3×3.

    Args: as :class:`_BasicBlock`; the output has ``4·width`` channels.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv0 = ConvNormAct(in_channels, width, 1)
        self.conv1 = ConvNormAct(width, width, 3, stride=stride, dilation=dilation)
        self.conv2 = ConvNormAct(width, out_channels, 1, activation="none")
        self.short = _Shortcut(in_channels, out_channels, stride=stride) if project else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv2(self.conv1(self.conv0(x)))
        return F.relu(y + (x if self.short is None else self.short(x)))


class ResNetVd(Backbone):
    """The family; use :func:`ResNet50_vd` and its siblings.

    Args:
        block: Residual block class.
        depths: Blocks in each of the four stages.
        output_stride: Input pixels per pixel of the last feature map: 8, 16 or 32. Below 32 the deep
            stages dilate instead of striding.
        multi_grid: Factors on the dilation of the fourth stage's blocks.
        num_stages: Stages built, 1 to 4; with fewer the network is smaller and returns fewer maps.
        in_channels: Channels of the image.
        data_format: Only ``"NCHW"``.

    Shape:
        N×in_channels×H×W → up to four maps of strides 4, 8, min(16, output_stride), output_stride.

    Raises:
        ValueError: A parameter is out of range.
    """

    def __init__(
        self,
        block: type[_BasicBlock] | type[_BottleneckBlock],
        depths: Sequence[int],
        *,
        output_stride: int = 8,
        multi_grid: Sequence[int] = (1, 1, 1),
        num_stages: int = 4,
        in_channels: int = 3,
        data_format: str = "NCHW",
    ) -> None:
        super().__init__()
        _check_options(output_stride, multi_grid, depths[-1], num_stages, in_channels, data_format)
        strides, dilations = _STRIDES_AND_DILATIONS[output_stride]
        self.in_channels = in_channels
        self.conv1_1 = ConvNormAct(in_channels, 32, 3, stride=2)
        self.conv1_2 = ConvNormAct(32, 32, 3)
        self.conv1_3 = ConvNormAct(32, 64, 3)

        stages, total_stride, channels = [], 4, 64
        self._block_names: list[list[str]] = []
        for stage, depth in enumerate(depths[:num_stages]):
            names = []
            for i in range(depth):
                grid = multi_grid[i] if stage == 3 else 1
                layer = block(
                    channels,
                    _STAGE_WIDTHS[stage],
                    stride=strides[stage] if i == 0 else 1,
                    dilation=dilations[stage] * grid,
                    project=i == 0,
                )
                names.append(f"bb_{stage}_{i}")
                self.add_sublayer(names[-1], layer)
                channels = _STAGE_WIDTHS[stage] * block.expansion
            total_stride *= strides[stage]
            stages.append(Stage(channels=channels, stride=total_stride))
            self._block_names.append(names)
        self.stages = tuple(stages)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.conv1_3(self.conv1_2(self.conv1_1(x)))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        features = []
        for names in self._block_names:
            for name in names:
                x = self.run_block(getattr(self, name), x)
            features.append(x)
        return features


def _check_options(
    output_stride: int,
    multi_grid: Sequence[int],
    last_depth: int,
    num_stages: int,
    in_channels: int,
    data_format: str,
) -> None:
    if output_stride not in _STRIDES_AND_DILATIONS:
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride!r}")
    if len(multi_grid) < last_depth or any(grid < 1 for grid in multi_grid):
        raise ValueError(f"multi_grid must hold {last_depth} positive integers, got {multi_grid!r}")
    if not 1 <= num_stages <= 4:
        raise ValueError(f"num_stages must be from 1 to 4, got {num_stages!r}")
    if in_channels < 1:
        raise ValueError(f"in_channels must be at least 1, got {in_channels!r}")
    if data_format != "NCHW":
        raise ValueError(
            f"data_format must be 'NCHW' (the networks and losses here take no other), got {data_format!r}"
        )


def _variant(
    name: str, block: type[_BasicBlock] | type[_BottleneckBlock], depths: Sequence[int]
) -> Callable[..., ResNetVd]:
    """Registers a member of the family under its name."""

    def build(
        *,
        output_stride: int = 8,
        multi_grid: Sequence[int] = (1, 1, 1),
        num_stages: int = 4,
        in_channels: int = 3,
        data_format: str = "NCHW",
    ) -> ResNetVd:
        return ResNetVd(
            block,
            depths,
            output_stride=output_stride,
            multi_grid=multi_grid,
            num_stages=num_stages,
            in_channels=in_channels,
            data_format=data_format,
        )

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{name.replace('_', '-')}; the arguments are those of :class:`ResNetVd`."
    return BACKBONES.register(build)


ResNet18_vd = _variant("ResNet18_vd", _BasicBlock, (2, 2, 2, 2))
ResNet34_vd = _variant("ResNet34_vd", _BasicBlock, (3, 4, 6, 3))
ResNet50_vd = _variant("ResNet50_vd", _BottleneckBlock, (3, 4, 6, 3))
ResNet101_vd = _variant("ResNet101_vd", _BottleneckBlock, (3, 4, 23, 3))
ResNet152_vd = _variant("ResNet152_vd", _BottleneckBlock, (3, 8, 36, 3))
