from __future__ import annotations

import numpy as np
import pytest
from optimizer_case import (
    FACTORS,
    GRADIENTS,
    RULES,
    Array,
    Kept,
    Net,
    Weights,
    assert_equal,
    expected,
    step,
    train,
    with_l2,
)

from paddleseg.errors import ConfigError
from paddleseg.registry import OPTIMIZERS


def momentum_oracle(
    *,
    decay: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
    factors: dict[str, tuple[float, float]] | None = None,
    global_norm: float | None = None,
) -> Weights:
    def rule(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
        kept["speed"] = momentum * kept.get("speed", 0.0) + g
        return w - rate * (g + momentum * kept["speed"] if nesterov else kept["speed"])

    return expected(with_l2(rule), decay=decay, factors=factors, global_norm=global_norm)


@pytest.mark.parametrize("name", ["sgd", "Momentum"])
def test_momentum_is_0_9_unless_given(name: str) -> None:
    assert_equal(train(name), momentum_oracle())
    assert_equal(train(name, momentum=0.5, weight_decay=0.3), momentum_oracle(momentum=0.5, decay=0.3))


def test_nesterov() -> None:
    assert_equal(
        train("Momentum", use_nesterov=True, weight_decay=0.3), momentum_oracle(nesterov=True, decay=0.3)
    )


def test_sgd_is_plain_without_momentum() -> None:
    assert_equal(train("SGD", weight_decay=0.3), momentum_oracle(momentum=0.0, decay=0.3))
    assert_equal(train("SGD", weight_decay=0.3, momentum=0.9), momentum_oracle(decay=0.3))
    with pytest.raises(ConfigError, match=r"use_nesterov: needs optimizer\.momentum"):
        train("SGD", use_nesterov=True)


def test_literal_of_one_plain_step() -> None:
    model = Net()
    step(model, OPTIMIZERS.get("SGD")(model, 0.1, weight_decay=0.5), GRADIENTS[0])
    # 1 − 0.1·(3 + 0.5·1) = 0.65; −2 − 0.1·(0.5 − 0.5·2) = −1.95; 0.5 − 0.1·(−4 + 0.5·0.5) = 0.875.
    np.testing.assert_allclose(model.backbone.weight.numpy(), [[0.65, -1.95]], rtol=1e-6)
    np.testing.assert_allclose(model.head.weight.numpy(), [[0.875]], rtol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "sgd"])
def test_factors_take_effect_with_set_lr(name: str) -> None:
    momentum = 0.0 if name == "SGD" else 0.9
    assert_equal(
        train(name, weight_decay=0.3, custom_cfg=RULES),
        momentum_oracle(momentum=momentum, decay=0.3, factors=FACTORS),
    )


@pytest.mark.parametrize("rules", [None, RULES])
def test_the_global_norm_is_over_all_parameters_also_with_factors(rules: list | None) -> None:
    clip = {"name": "ClipGradByGlobalNorm", "clip_norm": 1.5}
    factors = FACTORS if rules else None
    assert_equal(
        train("sgd", weight_decay=0.3, grad_clip_cfg=clip, custom_cfg=rules),
        momentum_oracle(decay=0.3, factors=factors, global_norm=1.5),
    )


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("sgd", {"momentum": 1.0}, "momentum"),
        ("sgd", {"momentum": "0.9"}, "momentum"),
        ("SGD", {"weight_decay": -0.1}, "weight_decay"),
        ("Momentum", {"weight_decay": "4e-5"}, "weight_decay"),
    ],
)
def test_values_out_of_range(name: str, options: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{key}: got .*; expected a number"):
        OPTIMIZERS.get(name)(Net(), 0.1, **options)
