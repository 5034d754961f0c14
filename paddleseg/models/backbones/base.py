"""What a segmentation model may expect of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import paddle

from paddleseg.models.layers import Recomputable

__all__ = ["Backbone", "Stage"]


@dataclass(frozen=True)
class Stage:
    """One feature map that a backbone returns.

    Attributes:
        channels: Its channels.
        stride: Input pixels per feature pixel.
    """

    channels: int
    stride: int


class Backbone(Recomputable):
    """A feature extractor: ``forward(x)`` returns one feature map per entry of ``stages``.

    Its blocks run by ``run_block``, so that ``recompute`` can spare their activations.

    Attributes:
        in_channels: Channels of the image.
        stages: The feature maps, shallow to deep.
    """

    in_channels: int
    stages: Sequence[Stage]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        raise NotImplementedError
