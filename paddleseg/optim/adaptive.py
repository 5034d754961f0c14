"""Gradient descent with a step for each weight from the size of its gradients: RMSProp, Adagrad, Adadelta.

Weight decay is L2 regularisation: g includes decay·w. Names are Paddle's.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.optimizer import Optimizer

from paddleseg.optim.assembly import CustomCfg, StableKeys, assemble_with_l2
from paddleseg.optim.grad_clip import GradClipCfg
from paddleseg.optim.ranges import check_number
from paddleseg.registry import OPTIMIZERS

__all__ = ["adadelta", "adagrad", "rmsprop"]


@OPTIMIZERS.register(name="RMSProp")
def rmsprop(
    model: nn.Layer,
    learning_rate: float,
    *,
    rho: float = 0.95,
    epsilon: float = 1e-6,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """RMSProp: v ← rho·v + (1 − rho)·g², u ← momentum·u + lr·g / √(v + epsilon), w ← w − u.

    PyTorch adds epsilon outside the root, and multiplies u by the learning rate of the latest step; configs
    from there need another epsilon. Source: Tieleman and Hinton, Coursera 2012, lecture 6.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        rho: Decay of the mean of squared gradients.
        epsilon: Added under the root.
        momentum: From 0 to below 1.
        centered: Take the squared mean of gradients off v: their variance (Graves, 2013, arXiv 1308.0850).
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_number("optimizer.rho", rho, below=1.0)
    check_number("optimizer.epsilon", epsilon, above=0.0)
    check_number("optimizer.momentum", momentum, below=1.0)
    return assemble_with_l2(
        _RMSProp,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        rho=rho,
        epsilon=epsilon,
        momentum=momentum,
        centered=centered,
    )


@OPTIMIZERS.register(name="Adagrad")
def adagrad(
    model: nn.Layer,
    learning_rate: float,
    *,
    epsilon: float = 1e-6,
    initial_accumulator_value: float = 0.0,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adagrad: s ← s + g², w ← w − lr·g / (√s + epsilon).

    Source: Duchi et al., JMLR 2011.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        epsilon: Added to the divisor.
        initial_accumulator_value: s before the first step.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_number("optimizer.epsilon", epsilon, above=0.0)
    check_number("optimizer.initial_accumulator_value", initial_accumulator_value)
    return assemble_with_l2(
        _Adagrad,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        epsilon=epsilon,
        initial_accumulator_value=float(initial_accumulator_value),
    )


@OPTIMIZERS.register(name="Adadelta")
def adadelta(
    model: nn.Layer,
    learning_rate: float,
    *,
    epsilon: float = 1e-6,
    rho: float = 0.95,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adadelta: w ← w − lr·d, where d = g·√(u + epsilon) / √(v + epsilon); u, v: running means of d², g².

    Source: Zeiler, 2012, arXiv 1212.5701, where lr is 1.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        epsilon: Added under both roots.
        rho: Decay of both means.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_number("optimizer.epsilon", epsilon, above=0.0)
    check_number("optimizer.rho", rho, below=1.0)
    return assemble_with_l2(
        _Adadelta,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        epsilon=epsilon,
        rho=rho,
    )


class _RMSProp(StableKeys, paddle.optimizer.RMSProp):
    """Paddle's RMSProp with stable keys."""


class _Adagrad(StableKeys, paddle.optimizer.Adagrad):
    """Paddle's Adagrad with stable keys."""


class _Adadelta(StableKeys, paddle.optimizer.Adadelta):
    """Paddle's Adadelta with stable keys."""
