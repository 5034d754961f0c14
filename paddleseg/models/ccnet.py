"""CCNet: criss-cross attention for semantic segmentation (arXiv 1811.11721)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddleseg.models.backbones.base import Backbone
from paddleseg.models.base import SegmentationModel
from paddleseg.models.heads import FCNHead, RCCAHead
from paddleseg.registry import MODELS

__all__ = ["CCNet"]

_INTER_CHANNELS = 512


@MODELS.register
class CCNet(SegmentationModel):
    """Backbone, recurrent criss-cross attention, and an auxiliary classifier for training.

    Args:
        num_classes: Classes, at least 2.
        backbone: Feature extractor.
        backbone_indices: Its feature maps for the auxiliary and for the main head.
        enable_auxiliary_loss: Whether there is an auxiliary head.
        dropout_prob: Dropout before both classifiers, in [0, 1).
        recurrence: Times that the attention is applied; 0 means no attention. The paper's R.
        align_corners: How logits are enlarged to the image's size.

    Raises:
        ValueError: A parameter is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: Backbone,
        *,
        backbone_indices: Sequence[int] = (2, 3),
        enable_auxiliary_loss: bool = True,
        dropout_prob: float = 0.0,
        recurrence: int = 1,
        align_corners: bool = False,
    ) -> None:
        _check_options(num_classes, backbone_indices, len(backbone.stages), dropout_prob, recurrence)
        aux_channels, main_channels = (backbone.stages[i].channels for i in backbone_indices)
        super().__init__(
            num_classes=num_classes,
            backbone=backbone,
            head=RCCAHead(
                main_channels,
                _INTER_CHANNELS,
                num_classes,
                dropout_prob=dropout_prob,
                recurrence=recurrence,
            ),
            aux_head=(
                FCNHead(aux_channels, _INTER_CHANNELS, num_classes, dropout_prob=dropout_prob)
                if enable_auxiliary_loss
                else None
            ),
            backbone_indices=backbone_indices,
            align_corners=align_corners,
        )

    @staticmethod
    def count_outputs(params: Mapping[str, Any]) -> int:
        """Number of logits in training, told from the config block alone.

        Args:
            params: The ``model`` block of a config.
        """
        return 2 if params.get("enable_auxiliary_loss", True) else 1


def _check_options(
    num_classes: int,
    backbone_indices: Sequence[int],
    stages: int,
    dropout_prob: float,
    recurrence: int,
) -> None:
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if len(backbone_indices) != 2 or not all(0 <= i < stages for i in backbone_indices):
        raise ValueError(
            f"backbone_indices must be two numbers from 0 to {stages - 1}, got {list(backbone_indices)}"
        )
    if not 0 <= dropout_prob < 1:
        raise ValueError(f"dropout_prob must be in [0, 1), got {dropout_prob}")
    if recurrence < 0:
        raise ValueError(f"recurrence must be 0 or more, got {recurrence}")
