from __future__ import annotations

import pytest
from paddle import nn

from paddleseg.models.modes import evaluation_mode


def test_every_layer_is_in_evaluation_mode_and_then_as_before() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2D(2), nn.Dropout()))
    model.train()
    model[1][0].eval()
    layers = model.sublayers(include_self=True)
    before = [layer.training for layer in layers]
    assert before.count(False) == 1

    def fail_inside() -> None:
        with evaluation_mode(model):
            assert not any(layer.training for layer in layers)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert [layer.training for layer in layers] == before
