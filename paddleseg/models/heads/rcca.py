"""Recurrent criss-cross attention (CCNet, arXiv 1811.11721, section 3.3 and figure 2)."""

from __future__ import annotations

import paddle

from paddleseg.models.heads.fcn import FCNHead
from paddleseg.models.layers import ConvNormAct, CrissCrossAttention, Recomputable

__all__ = ["RCCAHead"]


class RCCAHead(Recomputable):
    """Reduce, attend ``recurrence`` times with shared weights, join with the input, classify.

    Each attention keeps H·W·(H+W) weights for backward; with ``recompute`` it does not.

    Args:
        in_channels: Channels of the backbone's last feature map, a multiple of 32.
        inter_channels: Channels before the classifier.
        num_classes: Classes.
        dropout_prob: Share of values dropped in training, in [0, 1).
        recurrence: Times that the attention is applied; 0 leaves it out.

    Shape:
        N×in_channels×H×W → N×num_classes×H×W.
    """

    def __init__(
        self,
        in_channels: int,
        inter_channels: int,
        num_classes: int,
        *,
        dropout_prob: float = 0.0,
        recurrence: int = 2,
    ) -> None:
        super().__init__()
        reduced = in_channels // 4
        self.recurrence = recurrence
        self.conva = ConvNormAct(in_channels, reduced, 3, activation="leaky_relu")
        self.cca = CrissCrossAttention(reduced) if recurrence > 0 else None
        self.convb = ConvNormAct(reduced, reduced, 3, activation="leaky_relu")
        self.out = FCNHead(in_channels + reduced, inter_channels, num_classes, dropout_prob=dropout_prob)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        context = self.conva(x)
        if self.cca is not None:
            for _ in range(self.recurrence):
                context = self.run_block(self.cca, context)
        context = self.convb(context)
        return self.out(paddle.concat([x, context], axis=1))
