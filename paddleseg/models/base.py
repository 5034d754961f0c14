"""The frame that segmentation models share: backbone, head, optional auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg.errors import ConfigError
from paddleseg.models.backbones.base import Backbone
from paddleseg.models.layers import Recomputable
from paddleseg.models.layers.enlarge import enlarge

__all__ = ["SegmentationModel"]


class SegmentationModel(nn.Layer):
    """Runs the parts and brings their logits to the image's size.

    Args:
        num_classes: Classes.
        backbone: Feature extractor.
        head: Main classifier, on the feature map ``backbone_indices[1]``.
        aux_head: Classifier of the auxiliary loss, on ``backbone_indices[0]``, or None.
        backbone_indices: Positions of the two feature maps in the backbone's output.
        align_corners: Whether corner pixels keep their place when logits are enlarged.

    Shape:
        N×C×H×W image → list of N×num_classes×H×W logits: the main ones first, the auxiliary ones only
        in training. They are float32 in mixed precision too.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: Backbone,
        head: nn.Layer,
        aux_head: nn.Layer | None,
        backbone_indices: Sequence[int],
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_channels = backbone.in_channels
        self.align_corners = align_corners
        self.backbone = backbone
        self.aux_head = aux_head
        self.head = head
        self._aux_index, self._main_index = backbone_indices

    def enable_recompute(self) -> None:
        """From now on training keeps fewer activations and computes them again in backward.

        Raises:
            ConfigError: No part of this model can do that.
        """
        parts = [part for part in self.sublayers() if isinstance(part, Recomputable)]
        if not parts:
            raise ConfigError(
                f"recompute: true: no part of {type(self).__name__} can be recomputed; remove the key"
            )
        for part in parts:
            part.recompute = True

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = x.shape[2:]
        outputs = self.coarse_logits(x)
        if self.training:
            return [enlarge(logits, size, align_corners=self.align_corners) for logits in outputs]
        # The operator that exported graphs are made of.
        return [
            F.interpolate(logits, size, mode="bilinear", align_corners=self.align_corners)
            for logits in outputs
        ]

    def coarse_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The logits before they are enlarged to the image's size, for those who need no more.

        Args:
            x: N×C×H×W image.

        Returns:
            N×num_classes×h×w float32, in the order of :meth:`forward`.
        """
        features = self.backbone(x)
        logits = [self.head(features[self._main_index])]
        if self.training and self.aux_head is not None:
            logits.append(self.aux_head(features[self._aux_index]))
        return [logit.astype("float32") for logit in logits]
