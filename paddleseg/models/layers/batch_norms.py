"""Which layers of a network keep running statistics."""

from __future__ import annotations

from paddle import nn

__all__ = ["batch_norms"]

_KINDS = (nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D, nn.SyncBatchNorm)


def batch_norms(layer: nn.Layer) -> list[nn.Layer]:
    """Returns the batch norms among a layer and its sublayers, in order."""
    return [one for one in layer.sublayers(include_self=True) if isinstance(one, _KINDS)]
