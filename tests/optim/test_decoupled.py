from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_case import (
    FACTORS,
    GRADIENTS,
    NAMES,
    RULES,
    START,
    Array,
    Kept,
    Net,
    Rule,
    assert_equal,
    expected,
    step,
    train,
)

from paddleseg.errors import ConfigError
from paddleseg.registry import OPTIMIZERS

EPSILON = 0.1  # large, to show where it stands


def means(g: Array, kept: Kept, time: int) -> tuple[Array, Array]:
    kept["m"] = 0.9 * kept.get("m", 0.0) + 0.1 * g
    kept["v"] = 0.999 * kept.get("v", 0.0) + 0.001 * g**2
    return kept["m"] / (1 - 0.9**time), np.sqrt(kept["v"] / (1 - 0.999**time))


def adamw(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    mean, root = means(g, kept, time)
    return w * (1 - rate * decay) - rate * mean / (root + EPSILON)


def lamb(
    w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int, *, always: bool = False
) -> Array:
    mean, root = means(g, kept, time)
    move = mean / (root + EPSILON) + decay * w
    trust = np.linalg.norm(w) / np.linalg.norm(move) if decay or always else 1.0
    return w - rate * trust * move


def lars(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    local = rate
    if decay:
        norm = np.linalg.norm(w)
        local = rate * 0.5 * norm / (np.linalg.norm(g) + decay * norm + EPSILON)
    kept["speed"] = 0.8 * kept.get("speed", 0.0) + local * (g + decay * w)
    return w - kept["speed"]


CASES: dict[str, tuple[Rule, dict[str, Any]]] = {
    "AdamW": (adamw, {}),
    "Lamb": (lamb, {}),
    "LarsMomentum": (lars, {"momentum": 0.8, "lars_coeff": 0.5}),
}
every_case = pytest.mark.parametrize("name", CASES)


def ours_and_oracle(name: str, decay: float, **options: Any) -> tuple[dict, dict]:
    rule, own = CASES[name]
    clip = options.get("grad_clip_cfg", {}).get("clip_norm")
    factors = FACTORS if "custom_cfg" in options else None
    ours = train(name, repeats=4, epsilon=EPSILON, weight_decay=decay, **own, **options)
    return ours, expected(rule, decay=decay, factors=factors, global_norm=clip, repeats=4)


@every_case
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_follows_its_rule(name: str, decay: float) -> None:
    assert_equal(*ours_and_oracle(name, decay), rtol=1e-5)


@every_case
def test_factors_take_effect_with_set_lr(name: str) -> None:
    assert_equal(*ours_and_oracle(name, 0.3, custom_cfg=RULES), rtol=1e-5)


@every_case
def test_the_global_norm_is_over_all_parameters_also_with_factors(name: str) -> None:
    clip = {"name": "ClipGradByGlobalNorm", "clip_norm": 1.5}
    assert_equal(*ours_and_oracle(name, 0.3, grad_clip_cfg=clip, custom_cfg=RULES), rtol=1e-5)


def test_defaults_of_adamw() -> None:
    def rule(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
        mean, root = means(g, kept, time)
        return w * (1 - rate * 0.01) - rate * mean / (root + 1e-8)

    assert_equal(train("AdamW"), expected(rule))


def test_lamb_adapts_parameters_without_decay_where_asked() -> None:
    def rule(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
        return lamb(w, g, rate, decay, kept, time, always=True)

    ours = train("Lamb", repeats=4, epsilon=EPSILON, weight_decay=0.0, always_adapt=True)
    assert_equal(ours, expected(rule, repeats=4), rtol=1e-5)


def test_adamw_equals_pytorch() -> None:
    # PyTorch 2.13 in float64: the same eight steps, decay 0.3, epsilon 0.1.
    ours = train("AdamW", repeats=4, weight_decay=0.3, epsilon=0.1)
    weights = np.concatenate([ours[name][0] for name in NAMES])
    np.testing.assert_allclose(weights, [0.5836623, -2.0862907, 0.7743669], rtol=2e-5)


def test_a_literal_of_lars() -> None:
    # head: w 0.5, g −4, decay 1: local = 0.1·0.5 / (4 + 0.5) = 1/90, v = (−4 + 0.5) / 90, w = 0.5 + 3.5/90.
    model = Net()
    step(model, OPTIMIZERS.get("LarsMomentum")(model, 0.1, lars_coeff=1.0, weight_decay=1.0), GRADIENTS[0])
    np.testing.assert_allclose(model.head.weight.numpy(), [[0.5 + 3.5 / 90]], rtol=1e-6)
    assert not np.array_equal(model.backbone.weight.numpy(), START["backbone.weight"])


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("AdamW", {"weight_decay": -0.1}, "weight_decay"),
        ("AdamW", {"beta1": 1.0}, "beta1"),
        ("AdamW", {"beta2": -0.1}, "beta2"),
        ("AdamW", {"epsilon": 0.0}, "epsilon"),
        ("Lamb", {"weight_decay": "0.1"}, "weight_decay"),
        ("Lamb", {"beta1": 1.0}, "beta1"),
        ("LarsMomentum", {"momentum": 1.0}, "momentum"),
        ("LarsMomentum", {"lars_coeff": 0.0}, "lars_coeff"),
        ("LarsMomentum", {"epsilon": -1e-8}, "epsilon"),
    ],
)
def test_values_out_of_range(name: str, options: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{key}: got .*; expected a number"):
        OPTIMIZERS.get(name)(Net(), 0.1, **options)
