from __future__ import annotations

import numpy as np
import pytest
from optimizer_case import GRADIENTS, NAMES, RULES, START, Net, step
from paddle import nn

from paddleseg.errors import ConfigError
from paddleseg.optim.assembly import check_betas, decays_of, prepare
from paddleseg.registry import OPTIMIZERS


def test_a_second_optimizer_forgets_the_first_ones_factors() -> None:
    model = Net()
    OPTIMIZERS.get("sgd")(model, 0.1, weight_decay=0.5, custom_cfg=RULES)
    step(model, OPTIMIZERS.get("SGD")(model, 0.1), GRADIENTS[0])
    np.testing.assert_allclose(model.head.weight.numpy(), [[0.5 + 0.1 * 4.0]], rtol=1e-6)


def test_frozen_parameters_stay() -> None:
    model = Net()
    model.head.weight.stop_gradient = True
    optimizer = OPTIMIZERS.get("sgd")(model, 0.1, weight_decay=0.5)
    step(model, optimizer, GRADIENTS[0])
    np.testing.assert_array_equal(model.head.weight.numpy(), START["head.weight"])


def test_state_fits_a_model_built_later() -> None:
    """The optimiser's keys are the parameters' places, not Paddle's running numbers."""
    model = Net()
    optimizer = OPTIMIZERS.get("sgd")(model, 0.1)
    step(model, optimizer, GRADIENTS[0])
    state = {
        key: value.numpy().copy() if hasattr(value, "numpy") else value
        for key, value in optimizer.state_dict().items()
    }
    assert all(key.startswith(tuple(NAMES)) for key in state)
    weights = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    step(model, optimizer, GRADIENTS[1])

    nn.Linear(4, 4)
    later = Net()
    later.set_state_dict(weights)
    resumed = OPTIMIZERS.get("sgd")(later, 0.1)
    resumed.set_state_dict(state)
    step(later, resumed, GRADIENTS[1])
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(later.state_dict()[key].numpy(), value.numpy())


def test_the_decay_of_each_parameter() -> None:
    parts = prepare(Net(), RULES)
    assert decays_of(parts, 0.5) == {"backbone.weight": 1.5, "head.weight": 0.5}
    with pytest.raises(ConfigError, match=r"^optimizer\.weight_decay: got None"):
        decays_of(parts, None)  # type: ignore[arg-type]


def test_betas_and_epsilon() -> None:
    check_betas(0.0, 0.999, 1e-8)
    for values, key in (((1.0, 0.9, 1e-8), "beta1"), ((0.9, 1.0, 1e-8), "beta2"), ((0.9, 0.9, 0), "epsilon")):
        with pytest.raises(ConfigError, match=rf"^optimizer\.{key}: got"):
            check_betas(*values)
