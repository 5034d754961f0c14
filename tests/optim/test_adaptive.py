from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_case import (
    FACTORS,
    NAMES,
    RULES,
    Array,
    Kept,
    Net,
    Rule,
    assert_equal,
    expected,
    train,
    with_l2,
)

from paddleseg.errors import ConfigError
from paddleseg.registry import OPTIMIZERS

EPSILON = 0.1  # large, to show where it stands


def rmsprop(*, centered: bool) -> Rule:
    def rule(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
        kept["v"] = 0.9 * kept.get("v", 0.0) + 0.1 * g**2
        kept["m"] = 0.9 * kept.get("m", 0.0) + 0.1 * g
        spread = kept["v"] - kept["m"] ** 2 if centered else kept["v"]
        kept["u"] = 0.4 * kept.get("u", 0.0) + rate * g / np.sqrt(spread + EPSILON)
        return w - kept["u"]

    return rule


def adagrad(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    kept["s"] = kept.get("s", 0.5) + g**2
    return w - rate * g / (np.sqrt(kept["s"]) + EPSILON)


def adadelta(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    kept["v"] = 0.9 * kept.get("v", 0.0) + 0.1 * g**2
    move = g * np.sqrt(kept.get("u", 0.0) + EPSILON) / np.sqrt(kept["v"] + EPSILON)
    kept["u"] = 0.9 * kept.get("u", 0.0) + 0.1 * move**2
    return w - rate * move


CASES: list[tuple[str, dict[str, Any], Rule]] = [
    ("RMSProp", {"rho": 0.9, "momentum": 0.4}, rmsprop(centered=False)),
    ("RMSProp", {"rho": 0.9, "momentum": 0.4, "centered": True}, rmsprop(centered=True)),
    ("Adagrad", {"initial_accumulator_value": 0.5}, adagrad),
    ("Adadelta", {"rho": 0.9}, adadelta),
]


@pytest.mark.parametrize(("name", "options", "rule"), CASES)
@pytest.mark.parametrize("factors", [False, True])
def test_follows_its_rule_with_l2_regularisation(
    name: str, options: dict[str, Any], rule: Rule, factors: bool
) -> None:
    ours = train(
        name,
        repeats=4,
        weight_decay=0.3,
        epsilon=EPSILON,
        custom_cfg=RULES if factors else None,
        **options,
    )
    oracle = expected(with_l2(rule), decay=0.3, factors=FACTORS if factors else None, repeats=4)
    assert_equal(ours, oracle, rtol=1e-5)


# PyTorch 2.13 in float64: the same eight steps with L2 regularisation 0.3. Its RMSprop has epsilon at another
# place, so there it is next to nothing.
@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        ("RMSProp", {"epsilon": 1e-12}, [-0.1679462, -1.8014475, 1.7126747]),
        ("RMSProp", {"epsilon": 1e-12, "rho": 0.9, "centered": True}, [0.0735176, -1.8541602, 1.4736036]),
        ("Adagrad", {"epsilon": 0.1, "initial_accumulator_value": 0.5}, [0.746954, -2.0223979, 0.7624939]),
        ("Adadelta", {"epsilon": 0.1, "rho": 0.9}, [0.6273419, -2.033729, 0.8849226]),
    ],
)
def test_equals_pytorch(name: str, options: dict[str, Any], weights: list[float]) -> None:
    ours = train(name, repeats=4, weight_decay=0.3, **options)
    np.testing.assert_allclose(np.concatenate([ours[one][0] for one in NAMES]), weights, rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("RMSProp", {"rho": 1.0}, "rho"),
        ("RMSProp", {"momentum": 1.0}, "momentum"),
        ("RMSProp", {"epsilon": 0.0}, "epsilon"),
        ("Adagrad", {"initial_accumulator_value": -0.1}, "initial_accumulator_value"),
        ("Adagrad", {"epsilon": "small"}, "epsilon"),
        ("Adadelta", {"rho": -0.1}, "rho"),
        ("Adadelta", {"epsilon": 0.0}, "epsilon"),
    ],
)
def test_values_out_of_range(name: str, options: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{key}: got .*; expected a number"):
        OPTIMIZERS.get(name)(Net(), 0.1, **options)
