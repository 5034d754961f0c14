"""Two steps of an optimiser over two parameters, and the same in float64 by a rule written down again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
from paddle import nn

import paddleseg.optim  # noqa: F401 - registers
from paddleseg.registry import OPTIMIZERS

Array = np.ndarray
Weights = dict[str, Array]
Kept = dict[str, Any]
Rule = Callable[[Array, Array, float, float, Kept, int], Array]
"""(weights, gradient, rate, decay, what it keeps between steps, 1-based step) → new weights."""

NAMES = ["backbone.weight", "head.weight"]
START = {"backbone.weight": np.array([[1.0, -2.0]]), "head.weight": np.array([[0.5]])}
# With another learning rate in each step.
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


def train(name: str, *, repeats: int = 1, **options: Any) -> Weights:
    """The weights after the two steps, ``repeats`` times."""
    model = Net()
    optimizer = OPTIMIZERS.get(name)(model, 1.0, **options)
    for rate, gradients in zip(RATES * repeats, GRADIENTS * repeats, strict=True):
        optimizer.set_lr(rate)
        step(model, optimizer, gradients)
    return {name: param.numpy() for name, param in model.named_parameters()}


def step(model: nn.Layer, optimizer: paddle.optimizer.Optimizer, gradients: Weights) -> None:
    """One step with the given gradients: those of Σ gradient·weight."""
    terms = [
        (paddle.to_tensor(gradients[name], dtype="float32") * param).sum()
        for name, param in model.named_parameters()
    ]
    paddle.add_n(terms).backward()
    optimizer.step()
    optimizer.clear_grad()


def expected(
    rule: Rule,
    *,
    decay: float = 0.0,
    factors: dict[str, tuple[float, float]] | None = None,
    global_norm: float | None = None,
    repeats: int = 1,
) -> Weights:
    """What :func:`train` should give, in float64."""
    weights = {name: value.copy() for name, value in START.items()}
    kept: dict[str, Kept] = {name: {} for name in NAMES}
    for time, (rate, gradients) in enumerate(zip(RATES * repeats, GRADIENTS * repeats, strict=True), start=1):
        scale = 1.0
        if global_norm is not None:
            norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
            scale = min(1.0, global_norm / norm)
        for name in NAMES:
            lr_mult, decay_mult = (factors or {}).get(name, (1.0, 1.0))
            gradient = gradients[name] * scale
            weights[name] = rule(
                weights[name], gradient, rate * lr_mult, decay * decay_mult, kept[name], time
            )
    return weights


def with_l2(rule: Rule) -> Rule:
    """The rule for the gradient with decay·w on top."""
    return lambda w, g, rate, decay, kept, time: rule(w, g + decay * w, rate, decay, kept, time)


def assert_equal(ours: Weights, oracle: Weights, rtol: float = 2e-6) -> None:
    for name in NAMES:
        np.testing.assert_allclose(ours[name], oracle[name], rtol=rtol, err_msg=name)
