from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg.errors import ConfigError
from paddleseg.optim.optimizers import build_grad_clip
from paddleseg.registry import OPTIMIZERS

NAMES = ["backbone.weight", "head.weight"]
START = {"backbone.weight": np.array([[1.0, -2.0]]), "head.weight": np.array([[0.5]])}
# Two steps, with another learning rate in the second.
GRADIENTS = [
    {"backbone.weight": np.array([[3.0, 0.5]]), "head.weight": np.array([[-4.0]])},
    {"backbone.weight": np.array([[-1.0, 2.0]]), "head.weight": np.array([[0.25]])},
]
RATES = [0.1, 0.02]
RULES = [{"name": "backbone", "lr_mult": 0.5, "weight_decay_mult": 3.0}, {"name": "head", "lr_mult": 2.0}]
FACTORS = {"backbone.weight": (0.5, 3.0), "head.weight": (2.0, 1.0)}


class Net(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 2, bias_attr=False)
        self.head = nn.Linear(1, 1, bias_attr=False)
        for name, param in self.named_parameters():
            param.set_value(paddle.to_tensor(START[name], dtype="float32"))


def train(name: str, **options: Any) -> dict[str, np.ndarray]:
    """The weights after the two steps."""
    model = Net()
    optimizer = OPTIMIZERS.get(name)(model, 1.0, **options)
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        optimizer.set_lr(rate)
        step(model, optimizer, gradients)
    return {name: param.numpy() for name, param in model.named_parameters()}


def step(model: Net, optimizer: paddle.optimizer.Optimizer, gradients: dict[str, np.ndarray]) -> None:
    """One step with the given gradients: those of Σ gradient·weight."""
    terms = [
        (paddle.to_tensor(gradients[name], dtype="float32") * param).sum()
        for name, param in model.named_parameters()
    ]
    paddle.add_n(terms).backward()
    optimizer.step()
    optimizer.clear_grad()


def momentum_oracle(
    *,
    decay: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
    factors: dict[str, tuple[float, float]] | None = None,
    global_norm: float | None = None,
) -> dict[str, np.ndarray]:
    weights = {name: value.copy() for name, value in START.items()}
    speed = {name: np.zeros_like(value) for name, value in START.items()}
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        scale = 1.0
        if global_norm is not None:
            norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
            scale = min(1.0, global_norm / norm)
        for name in NAMES:
            lr_mult, decay_mult = (factors or {}).get(name, (1.0, 1.0))
            slope = gradients[name] * scale + decay * decay_mult * weights[name]
            speed[name] = momentum * speed[name] + slope
            move = slope + momentum * speed[name] if nesterov else speed[name]
            weights[name] = weights[name] - rate * lr_mult * move
    return weights


def adamw_oracle(
    *, decay: float, factors: dict[str, tuple[float, float]] | None = None, global_norm: float | None = None
) -> dict[str, np.ndarray]:
    weights = {name: value.copy() for name, value in START.items()}
    first = {name: np.zeros_like(value) for name, value in START.items()}
    second = {name: np.zeros_like(value) for name, value in START.items()}
    for time, (rate, gradients) in enumerate(zip(RATES, GRADIENTS, strict=True), start=1):
        scale = 1.0
        if global_norm is not None:
            norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
            scale = min(1.0, global_norm / norm)
        for name in NAMES:
            lr_mult, decay_mult = (factors or {}).get(name, (1.0, 1.0))
            slope = gradients[name] * scale
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            mean, square = first[name] / (1 - 0.9**time), second[name] / (1 - 0.999**time)
            weights[name] = weights[name] * (1 - rate * lr_mult * decay * decay_mult)
            weights[name] = weights[name] - rate * lr_mult * mean / (np.sqrt(square) + 1e-8)
    return weights


def assert_equal(ours: dict[str, np.ndarray], oracle: dict[str, np.ndarray]) -> None:
    for name in NAMES:
        np.testing.assert_allclose(ours[name], oracle[name], rtol=2e-6, err_msg=name)


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


def test_adamw() -> None:
    assert_equal(train("AdamW"), adamw_oracle(decay=0.01))
    assert_equal(train("AdamW", weight_decay=0.3), adamw_oracle(decay=0.3))


def test_adamw_factors_take_effect_with_set_lr() -> None:
    assert_equal(train("AdamW", weight_decay=0.3, custom_cfg=RULES), adamw_oracle(decay=0.3, factors=FACTORS))


@pytest.mark.parametrize("rules", [None, RULES])
def test_the_global_norm_is_over_all_parameters_also_with_factors(rules: list | None) -> None:
    clip = {"name": "ClipGradByGlobalNorm", "clip_norm": 1.5}
    factors = FACTORS if rules else None
    assert_equal(
        train("sgd", weight_decay=0.3, grad_clip_cfg=clip, custom_cfg=rules),
        momentum_oracle(decay=0.3, factors=factors, global_norm=1.5),
    )
    assert_equal(
        train("AdamW", weight_decay=0.3, grad_clip_cfg=clip, custom_cfg=rules),
        adamw_oracle(decay=0.3, factors=factors, global_norm=1.5),
    )


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


@pytest.mark.parametrize("name", ["sgd", "AdamW"])
def test_state_fits_a_model_built_later(name: str) -> None:
    """The optimiser's keys are the parameters' places, not Paddle's running numbers."""
    model = Net()
    optimizer = OPTIMIZERS.get(name)(model, 0.1)
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
    resumed = OPTIMIZERS.get(name)(later, 0.1)
    resumed.set_state_dict(state)
    step(later, resumed, GRADIENTS[1])
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(later.state_dict()[key].numpy(), value.numpy())


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("sgd", {"momentum": 1.0}, "momentum"),
        ("sgd", {"momentum": "0.9"}, "momentum"),
        ("SGD", {"weight_decay": -0.1}, "weight_decay"),
        ("Momentum", {"weight_decay": "4e-5"}, "weight_decay"),
        ("AdamW", {"weight_decay": -0.1}, "weight_decay"),
        ("AdamW", {"beta1": 1.0}, "beta1"),
        ("AdamW", {"beta2": -0.1}, "beta2"),
        ("AdamW", {"epsilon": 0.0}, "epsilon"),
    ],
)
def test_values_out_of_range(name: str, options: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{key}: got .*; expected a number"):
        OPTIMIZERS.get(name)(Net(), 0.1, **options)


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
