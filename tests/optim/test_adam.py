from __future__ import annotations

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

REPEATS = 4  # eight steps: RAdam makes its first six otherwise than the rest
BETA1, BETA2, EPSILON = 0.8, 0.99, 0.1  # a large epsilon shows where it stands


def means(g: Array, kept: Kept, time: int) -> tuple[Array, Array]:
    """Adam's two means with bias correction."""
    kept["m"] = BETA1 * kept.get("m", 0.0) + (1 - BETA1) * g
    kept["v"] = BETA2 * kept.get("v", 0.0) + (1 - BETA2) * g**2
    return kept["m"] / (1 - BETA1**time), kept["v"] / (1 - BETA2**time)


def adam(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    mean, square = means(g, kept, time)
    return w - rate * mean / (np.sqrt(square) + EPSILON)


def adamax(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    mean, _ = means(g, kept, time)
    kept["u"] = np.maximum(BETA2 * kept.get("u", 0.0) + EPSILON, np.abs(g))
    return w - rate * mean / kept["u"]


def nadam(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    now, following = (BETA1 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (time, time + 1))
    _, square = means(g, kept, time)
    kept["product"] = kept.get("product", 1.0) * now
    mean = following * kept["m"] / (1 - kept["product"] * following) + (1 - now) * g / (1 - kept["product"])
    return w - rate * mean / (np.sqrt(square) + EPSILON)


def radam(w: Array, g: Array, rate: float, decay: float, kept: Kept, time: int) -> Array:
    mean, _ = means(g, kept, time)
    last = 2 / (1 - BETA2) - 1
    length = last - 2 * time * BETA2**time / (1 - BETA2**time)
    if length <= 5:
        return w - rate * mean
    part = (length - 4) * (length - 2) * last / ((last - 4) * (last - 2) * length)
    # The correction stands beside epsilon, not inside, as in the papers' code, PyTorch and Paddle.
    root = np.sqrt(kept["v"]) + EPSILON
    return w - rate * mean * np.sqrt(part) * np.sqrt(1 - BETA2**time) / root


RULES_OF: dict[str, Rule] = {
    "Adam": adam,
    "adam": adam,
    "Adamax": adamax,
    "NAdam": nadam,
    "RAdam": radam,
}
OPTIONS = {"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON}


@pytest.mark.parametrize("name", RULES_OF)
@pytest.mark.parametrize("factors", [False, True])
def test_follows_its_rule_with_l2_regularisation(name: str, factors: bool) -> None:
    ours = train(name, repeats=REPEATS, weight_decay=0.3, custom_cfg=RULES if factors else None, **OPTIONS)
    oracle = expected(
        with_l2(RULES_OF[name]), decay=0.3, factors=FACTORS if factors else None, repeats=REPEATS
    )
    assert_equal(ours, oracle, rtol=1e-5)


# PyTorch 2.13 in float64: the same eight steps with L2 regularisation 0.3 and default betas. Its Adamax has
# epsilon at another place, so there it is next to nothing.
@pytest.mark.parametrize(
    ("name", "epsilon", "weights"),
    [
        ("Adam", 0.1, [0.6745581, -2.1471933, 0.8521405]),
        ("Adamax", 1e-12, [0.7143885, -2.0436378, 0.8032286]),
        ("NAdam", 0.1, [0.6647576, -2.0277154, 0.8510565]),
        ("RAdam", 0.1, [0.2742718, -2.1076181, 1.3855079]),
    ],
)
def test_equals_pytorch(name: str, epsilon: float, weights: list[float]) -> None:
    ours = train(name, repeats=REPEATS, weight_decay=0.3, epsilon=epsilon)
    np.testing.assert_allclose(np.concatenate([ours[one][0] for one in NAMES]), weights, rtol=2e-5)


def test_nadam_with_another_momentum_decay_equals_pytorch() -> None:
    # torch.optim.NAdam of PyTorch 2.13 in float64, eps=0.1, weight_decay=0.3, momentum_decay=0.5
    ours = train("NAdam", repeats=REPEATS, weight_decay=0.3, epsilon=0.1, momentum_decay=0.5)
    weights = np.concatenate([ours[one][0] for one in NAMES])
    np.testing.assert_allclose(weights, [0.672978, -2.0293432, 0.8427248], rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("Adam", {"beta1": 1.0}, "beta1"),
        ("Adamax", {"beta2": -0.1}, "beta2"),
        ("RAdam", {"epsilon": 0.0}, "epsilon"),
        ("NAdam", {"momentum_decay": -0.1}, "momentum_decay"),
        ("NAdam", {"beta1": float("nan")}, "beta1"),
        ("adam", {"weight_decay": float("inf")}, "weight_decay"),
    ],
)
def test_values_out_of_range(name: str, options: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{key}: got .*; expected a number"):
        OPTIMIZERS.get(name)(Net(), 0.1, **options)
