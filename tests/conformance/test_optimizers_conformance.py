"""What every registered optimiser promises. A new one joins by a line in ``EXAMPLES``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.optimizer import Optimizer

import paddleseg.optim  # noqa: F401 - registers
from paddleseg.engine.checkpoint_arrays import check_optimizer_arrays
from paddleseg.errors import ConfigError
from paddleseg.registry import OPTIMIZERS

# Parameters besides the model and the learning rate, all optional so far.
EXAMPLES: dict[str, dict[str, Any]] = {
    "Adadelta": {"epsilon": 1e-2},
    "Adagrad": {},
    "Adam": {},
    "AdamW": {},
    "Adamax": {},
    "Lamb": {},
    "LarsMomentum": {"lars_coeff": 0.5},
    "Momentum": {"use_nesterov": True},
    "NAdam": {},
    "RAdam": {},
    "RMSProp": {"momentum": 0.5, "centered": True},
    "SGD": {},
    "adam": {},
    "sgd": {"momentum": 0.8},
}
NAMES = [name for name in OPTIMIZERS if OPTIMIZERS.get(name).__module__.startswith("paddleseg.")]

START = {"backbone.weight": [[1.0, -2.0]], "head.weight": [[0.5]]}
# Norms 5.02… and 0.25: clipping to 1 changes the first alone.
GRADIENTS = [
    {"backbone.weight": [[3.0, 0.5]], "head.weight": [[-4.0]]},
    {"backbone.weight": [[-0.1, 0.2]], "head.weight": [[0.1]]},
]

every_optimizer = pytest.mark.parametrize("name", NAMES)


class Net(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 2, bias_attr=False)
        self.head = nn.Linear(1, 1, bias_attr=False)
        for name, param in self.named_parameters():
            param.set_value(paddle.to_tensor(START[name]))


def build(name: str, model: nn.Layer, learning_rate: float = 0.01, **options: Any) -> Optimizer:
    return OPTIMIZERS.get(name)(model, learning_rate, **{"weight_decay": 0.0, **EXAMPLES[name], **options})


def step(model: Net, optimizer: Optimizer, gradients: dict[str, Any]) -> None:
    """One step with the given gradients: those of Σ gradient·weight."""
    terms = [(paddle.to_tensor(gradients[name]) * param).sum() for name, param in model.named_parameters()]
    paddle.add_n(terms).backward()
    optimizer.step()
    optimizer.clear_grad()


def weights(model: Net) -> dict[str, np.ndarray]:
    return {name: param.numpy().astype("float64") for name, param in model.named_parameters()}


def moves(name: str, *, gradients: Sequence[dict[str, Any]] = GRADIENTS, **options: Any) -> dict[str, Any]:
    """How far each parameter went."""
    model = Net()
    optimizer = build(name, model, **options)
    for one in gradients:
        step(model, optimizer, one)
    return {key: value - START[key] for key, value in weights(model).items()}


def assert_close(ours: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for key, value in wanted.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-7, err_msg=key)


def test_every_registered_optimizer_is_here() -> None:
    assert set(NAMES) == set(EXAMPLES)


@every_optimizer
def test_is_documented(name: str) -> None:
    assert len(inspect.getdoc(OPTIMIZERS.get(name)) or "") > 30


@every_optimizer
def test_one_step_lowers_a_quadratic(name: str) -> None:
    model = Net()
    optimizer = build(name, model)
    before = weights(model)
    paddle.add_n([(param**2).sum() for param in model.parameters()]).backward()
    optimizer.step()
    for key, value in weights(model).items():
        assert (np.abs(value) < np.abs(before[key])).all(), key
        assert (np.sign(value) == np.sign(before[key])).all(), key


@every_optimizer
def test_set_lr_takes_effect(name: str) -> None:
    model = Net()
    optimizer = build(name, model, learning_rate=1.0)
    optimizer.set_lr(0.0)
    assert optimizer.get_lr() == 0.0
    step(model, optimizer, GRADIENTS[0])
    for key, value in weights(model).items():
        np.testing.assert_array_equal(value, START[key])
    # A first step is proportional to the learning rate.
    first = GRADIENTS[:1]
    slow, fast = moves(name, gradients=first, learning_rate=0.01), Net()
    optimizer = build(name, fast, learning_rate=1.0)
    optimizer.set_lr(0.03)
    step(fast, optimizer, GRADIENTS[0])
    assert_close(
        {key: value - START[key] for key, value in weights(fast).items()},
        {key: 3 * value for key, value in slow.items()},
    )


@every_optimizer
def test_custom_cfg_changes_the_learning_rate_of_the_named_part(name: str) -> None:
    plain = moves(name)
    rules = [{"name": "backbone", "lr_mult": 0.0}, {"name": "head", "lr_mult": 3.0}]
    ours = moves(name, custom_cfg=rules)
    np.testing.assert_array_equal(ours["backbone.weight"], [[0.0, 0.0]])
    np.testing.assert_allclose(ours["head.weight"], 3 * plain["head.weight"], rtol=1e-5)


@every_optimizer
def test_custom_cfg_changes_the_decay_of_the_named_part(name: str) -> None:
    nothing = {key: np.zeros_like(value) for key, value in START.items()}
    rules = [{"name": "head", "weight_decay_mult": 0.0}]
    ours = moves(name, gradients=[nothing], weight_decay=0.1, custom_cfg=rules)
    np.testing.assert_array_equal(ours["head.weight"], [[0.0]])
    assert (ours["backbone.weight"] * START["backbone.weight"] < 0).all()


@every_optimizer
def test_grad_clip_cfg_is_over_all_parameters_together(name: str) -> None:
    norms = [np.sqrt(sum(np.square(value).sum() for value in one.values())) for one in GRADIENTS]
    by_hand = [
        {key: np.asarray(value) * min(1.0, 1.0 / norm) for key, value in one.items()}
        for one, norm in zip(GRADIENTS, norms, strict=True)
    ]
    by_hand = [{key: value.astype("float32") for key, value in one.items()} for one in by_hand]
    ours = moves(name, grad_clip_cfg={"name": "ClipGradByGlobalNorm", "clip_norm": 1.0})
    assert_close(ours, moves(name, gradients=by_hand))
    assert not np.allclose(ours["head.weight"], moves(name)["head.weight"], rtol=1e-3)


@every_optimizer
@pytest.mark.parametrize(
    "options",
    [
        {"custom_cfg": [{"name": "no_such_part", "lr_mult": 0.1}]},
        {"grad_clip_cfg": {"name": "NoSuchClip"}},
        {"weight_decay": -0.1},
    ],
)
def test_a_wrong_option_is_named(name: str, options: dict[str, Any]) -> None:
    (key,) = options
    with pytest.raises(ConfigError, match=rf"^optimizer\.{key}"):
        build(name, Net(), **options)


@every_optimizer
def test_the_state_makes_the_round_trip(name: str) -> None:
    model = Net()
    optimizer = build(name, model, weight_decay=0.1)
    step(model, optimizer, GRADIENTS[0])
    state = {
        key: value.numpy().copy() if isinstance(value, paddle.Tensor) else value
        for key, value in optimizer.state_dict().items()
    }
    kept = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    step(model, optimizer, GRADIENTS[1])

    nn.Linear(2, 2)  # moves Paddle's running numbers, which must not be part of the state's keys
    later = Net()
    later.set_state_dict(kept)
    resumed = build(name, later, weight_decay=0.1)
    resumed.set_state_dict(state)
    step(later, resumed, GRADIENTS[1])
    for key, value in weights(model).items():
        np.testing.assert_array_equal(weights(later)[key], value, err_msg=key)


@every_optimizer
def test_a_checkpoint_has_a_place_for_all_of_the_state(name: str) -> None:
    model = Net()
    optimizer = build(name, model, weight_decay=0.1)
    step(model, optimizer, GRADIENTS[0])
    arrays = {key: value.numpy() for key, value in optimizer.state_dict().items()}
    assert bool(arrays) == (name != "SGD")
    check_optimizer_arrays("model.pdopt", build(name, Net()), arrays)


@every_optimizer
def test_frozen_parameters_stay(name: str) -> None:
    model = Net()
    model.head.weight.stop_gradient = True
    step(model, build(name, model, weight_decay=0.1), GRADIENTS[0])
    np.testing.assert_array_equal(model.head.weight.numpy(), START["head.weight"])
    assert not np.array_equal(model.backbone.weight.numpy(), START["backbone.weight"])
