from __future__ import annotations

import numpy as np
import pytest
from optimizer_case import GRADIENTS, Net, step

from paddleseg.errors import ConfigError
from paddleseg.optim.grad_clip import build_grad_clip
from paddleseg.registry import OPTIMIZERS


def test_clip_by_value_and_by_the_norm_of_each_parameter() -> None:
    model = Net()
    clip = {"name": "ClipGradByValue", "max": 1.0}
    step(model, OPTIMIZERS.get("SGD")(model, 1.0, grad_clip_cfg=clip), GRADIENTS[0])
    np.testing.assert_allclose(model.backbone.weight.numpy(), [[1.0 - 1.0, -2.0 - 0.5]])
    np.testing.assert_allclose(model.head.weight.numpy(), [[0.5 + 1.0]])
    model = Net()
    clip = {"name": "ClipGradByNorm", "clip_norm": 2.0}
    step(model, OPTIMIZERS.get("SGD")(model, 1.0, grad_clip_cfg=clip), GRADIENTS[0])
    scale = 2.0 / np.hypot(3.0, 0.5)
    np.testing.assert_allclose(
        model.backbone.weight.numpy(), [[1.0 - 3.0 * scale, -2.0 - 0.5 * scale]], rtol=1e-6
    )
    np.testing.assert_allclose(model.head.weight.numpy(), [[2.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"clip_norm": 1.0}, r"name: got None; expected one of ClipGradByGlobalNorm"),
        ({"name": "ClipGradByGlobalNrm"}, r"did you mean 'ClipGradByGlobalNorm'\?"),
        ({"name": "ClipGradByNorm", "clip_nrm": 1.0}, r"unknown key 'clip_nrm'; did you mean 'clip_norm'\?"),
        ({"name": "ClipGradByNorm"}, r"clip_norm: got None; expected a number above 0"),
        ({"name": "ClipGradByValue", "max": 0.0}, r"max: got 0\.0; expected a number above 0"),
        ({"name": "ClipGradByValue", "max": 1.0, "min": "low"}, r"min: got 'low'; expected a number"),
        ({"name": "ClipGradByValue", "max": 1.0, "min": 2.0}, r"min: got 2\.0; expected .* below 1"),
    ],
)
def test_bad_clipping(clip: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_grad_clip(clip)
