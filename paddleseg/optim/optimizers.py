"""Optimisers by PaddleSeg's names: ``(model, learning_rate, **options) → paddle.optimizer.Optimizer``.

Every parameter's factors on learning rate and weight decay are set on the parameter, not by Paddle's
parameter groups: Paddle clips each group by the norm of that group alone, so a "global" norm would not be
global.

The trainer moves the learning rate with ``optimizer.set_lr``; factors apply on top of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn
from paddle.nn.clip import GradientClipBase
from paddle.optimizer import Optimizer
from paddle.regularizer import L2Decay
from paddle.utils import unique_name

from paddleseg.errors import ConfigError, did_you_mean
from paddleseg.optim.param_groups import ParamOptions, assign_options, name_parameters, parse_rules
from paddleseg.registry import OPTIMIZERS

__all__ = ["adamw", "build_grad_clip", "momentum_sgd", "plain_or_momentum_sgd"]

CustomCfg = Sequence[Mapping[str, Any]]

# Name → (class, options needed, options allowed besides).
_CLIPS: dict[str, tuple[type[GradientClipBase], tuple[str, ...], tuple[str, ...]]] = {
    "ClipGradByGlobalNorm": (nn.ClipGradByGlobalNorm, ("clip_norm",), ()),
    "ClipGradByNorm": (nn.ClipGradByNorm, ("clip_norm",), ()),
    "ClipGradByValue": (nn.ClipGradByValue, ("max",), ("min",)),
}


def build_grad_clip(grad_clip_cfg: Mapping[str, Any] | None) -> GradientClipBase | None:
    """Builds the gradient clipping.

    Args:
        grad_clip_cfg: ``{name: ClipGradByGlobalNorm, clip_norm: 1.0}`` (over all parameters together),
            ``{name: ClipGradByNorm, clip_norm: 1.0}`` (each parameter alone) or
            ``{name: ClipGradByValue, max: 1.0, min: -1.0}`` (``min`` is −``max`` by default).

    Raises:
        ConfigError: The name or an option is unknown, missing or out of range.
    """
    if grad_clip_cfg is None:
        return None
    where = "optimizer.grad_clip_cfg"
    options = dict(grad_clip_cfg)
    name = options.pop("name", None)
    if name not in _CLIPS:
        known = ", ".join(_CLIPS)
        raise ConfigError(
            f"{where}.name: got {name!r}; expected one of {known}{did_you_mean(str(name), _CLIPS)}"
        )
    clip, needed, optional = _CLIPS[name]
    for key in options:
        if key not in needed + optional:
            raise ConfigError(f"{where}: unknown key '{key}'{did_you_mean(key, needed + optional)}")
    for key in needed:
        _check_number(f"{where}.{key}", options.get(key), above=0.0)
    if "min" in options:
        _check_number(f"{where}.min", options["min"], above=-math.inf, below=options["max"])
    return clip(**{key: float(value) for key, value in options.items()})


@OPTIMIZERS.register(name="sgd")
@OPTIMIZERS.register(name="Momentum")
def momentum_sgd(
    model: nn.Layer,
    learning_rate: float,
    *,
    momentum: float = 0.9,
    use_nesterov: bool = False,
    weight_decay: float | None = None,
    grad_clip_cfg: Mapping[str, Any] | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Stochastic gradient descent with momentum: v ← momentum·v + g + decay·w, w ← w − lr·v.

    Args:
        model: The bare model, as for :func:`paddleseg.optim.param_groups.name_parameters`.
        learning_rate: Until the first ``set_lr``.
        momentum: From 0 to below 1.
        use_nesterov: Look ahead: w ← w − lr·(g + decay·w + momentum·v).
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    _check_number("optimizer.momentum", momentum, below=1.0)
    options = _prepare(model, custom_cfg)
    _decay_by_regularizer(options, weight_decay)
    return _Momentum(
        learning_rate=float(learning_rate),
        momentum=momentum,
        use_nesterov=use_nesterov,
        parameters=[option.param for option in options],
        grad_clip=build_grad_clip(grad_clip_cfg),
    )


@OPTIMIZERS.register(name="SGD")
def plain_or_momentum_sgd(
    model: nn.Layer,
    learning_rate: float,
    *,
    momentum: float | None = None,
    use_nesterov: bool = False,
    weight_decay: float | None = None,
    grad_clip_cfg: Mapping[str, Any] | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Stochastic gradient descent, plain where no momentum is given: w ← w − lr·(g + decay·w).

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        momentum: Given: the same as :func:`momentum_sgd`.
        use_nesterov: Only with momentum.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    if momentum is not None:
        return momentum_sgd(
            model,
            learning_rate,
            momentum=momentum,
            use_nesterov=use_nesterov,
            weight_decay=weight_decay,
            grad_clip_cfg=grad_clip_cfg,
            custom_cfg=custom_cfg,
        )
    if use_nesterov:
        raise ConfigError("optimizer.use_nesterov: needs optimizer.momentum, e.g. 0.9")
    options = _prepare(model, custom_cfg)
    _decay_by_regularizer(options, weight_decay)
    return paddle.optimizer.SGD(
        learning_rate=float(learning_rate),
        parameters=[option.param for option in options],
        grad_clip=build_grad_clip(grad_clip_cfg),
    )


@OPTIMIZERS.register(name="AdamW")
def adamw(
    model: nn.Layer,
    learning_rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    lazy_mode: bool = False,
    grad_clip_cfg: Mapping[str, Any] | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam with decoupled weight decay (arXiv 1711.05101): w ← w·(1 − lr·decay), then Adam's step.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the divisor.
        weight_decay: Decoupled: not part of the gradient.
        lazy_mode: Paddle's option for sparse gradients.
        grad_clip_cfg: See :func:`build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    _check_number("optimizer.beta1", beta1, below=1.0)
    _check_number("optimizer.beta2", beta2, below=1.0)
    _check_number("optimizer.epsilon", epsilon, above=0.0)
    _check_number("optimizer.weight_decay", weight_decay)
    options = _prepare(model, custom_cfg)
    return _AdamW(
        decays={option.param.name: weight_decay * option.weight_decay_mult for option in options},
        learning_rate=float(learning_rate),
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        parameters=[option.param for option in options],
        weight_decay=float(weight_decay),
        lazy_mode=lazy_mode,
        grad_clip=build_grad_clip(grad_clip_cfg),
    )


class _StableKeys(Optimizer):
    """Keys of the state are always ``<parameter>_<slot>_0``, however many optimisers were built before."""

    def _add_accumulator(self, *args: Any, **options: Any) -> Any:
        with unique_name.guard():
            return super()._add_accumulator(*args, **options)


class _Momentum(_StableKeys, paddle.optimizer.Momentum):
    """Paddle's Momentum with stable keys."""


class _AdamW(_StableKeys, paddle.optimizer.AdamW):
    """Paddle's AdamW with stable keys, and a weight decay for each parameter outside parameter groups."""

    def __init__(self, *, decays: Mapping[str, float], **options: Any) -> None:
        super().__init__(**options)
        self._decays = dict(decays)

    def _append_optimize_op(self, block: Any, param_and_grad: Any) -> Any:
        self._weight_decay = self._decays[param_and_grad[0].name]
        return super()._append_optimize_op(block, param_and_grad)


def _prepare(model: nn.Layer, custom_cfg: CustomCfg | None) -> list[ParamOptions]:
    """Names the parameters, sets their learning-rate factors and clears what an earlier optimiser set."""
    options = assign_options(model, parse_rules(custom_cfg))
    name_parameters(model)
    for option in options:
        option.param.optimize_attr["learning_rate"] = option.lr_mult
        option.param.regularizer = None
    return options


def _decay_by_regularizer(options: Sequence[ParamOptions], weight_decay: float | None) -> None:
    if weight_decay is None:
        return
    _check_number("optimizer.weight_decay", weight_decay)
    for option in options:
        option.param.regularizer = L2Decay(float(weight_decay * option.weight_decay_mult))


def _check_number(where: str, value: object, *, above: float | None = None, below: float = math.inf) -> None:
    """Refuses what is not a number in range; the lower end is 0, included, unless ``above`` is given."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and (value > above if above is not None else value >= 0) and value < below:  # type: ignore[operator]
        return
    low = "at least 0" if above is None else f"above {above:g}"
    high = "" if below == math.inf else f" and below {below:g}"
    raise ConfigError(f"{where}: got {value!r}; expected a number {low}{high}")
