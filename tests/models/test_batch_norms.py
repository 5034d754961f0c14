"""Which layers count as batch norms."""

from __future__ import annotations

from paddle import nn

from paddleseg.models.layers import batch_norms


def test_all_kinds_count_at_any_depth_and_nothing_else() -> None:
    norms = [nn.BatchNorm1D(2), nn.BatchNorm2D(2), nn.BatchNorm3D(2), nn.SyncBatchNorm(2)]
    model = nn.Sequential(norms[0], nn.Conv2D(2, 2, 1), nn.Sequential(*norms[1:]), nn.GroupNorm(1, 2))
    assert [id(one) for one in batch_norms(model)] == [id(one) for one in norms]
    assert batch_norms(norms[0]) == [norms[0]]
