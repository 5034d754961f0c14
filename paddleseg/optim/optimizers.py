"""Stochastic gradient descent, plain and with momentum, by PaddleSeg's names."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.optimizer import Optimizer

from paddleseg.errors import ConfigError
from paddleseg.optim.assembly import CustomCfg, StableKeys, assemble_with_l2
from paddleseg.optim.grad_clip import GradClipCfg
from paddleseg.optim.ranges import check_number
from paddleseg.registry import OPTIMIZERS

__all__ = ["momentum_sgd", "plain_or_momentum_sgd"]


@OPTIMIZERS.register(name="sgd")
@OPTIMIZERS.register(name="Momentum")
def momentum_sgd(
    model: nn.Layer,
    learning_rate: float,
    *,
    momentum: float = 0.9,
    use_nesterov: bool = False,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Stochastic gradient descent with momentum: v ← momentum·v + g + decay·w, w ← w − lr·v.

    Args:
        model: The bare model, as for :func:`paddleseg.optim.param_groups.name_parameters`.
        learning_rate: Until the first ``set_lr``.
        momentum: From 0 to below 1.
        use_nesterov: Look ahead: w ← w − lr·(g + decay·w + momentum·v).
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_number("optimizer.momentum", momentum, below=1.0)
    return assemble_with_l2(
        _Momentum,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        momentum=momentum,
        use_nesterov=use_nesterov,
    )


@OPTIMIZERS.register(name="SGD")
def plain_or_momentum_sgd(
    model: nn.Layer,
    learning_rate: float,
    *,
    momentum: float | None = None,
    use_nesterov: bool = False,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Stochastic gradient descent, plain where no momentum is given: w ← w − lr·(g + decay·w).

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        momentum: Given: the same as :func:`momentum_sgd`.
        use_nesterov: Only with momentum.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    common: dict[str, Any] = {
        "weight_decay": weight_decay,
        "grad_clip_cfg": grad_clip_cfg,
        "custom_cfg": custom_cfg,
    }
    if momentum is not None:
        return momentum_sgd(model, learning_rate, momentum=momentum, use_nesterov=use_nesterov, **common)
    if use_nesterov:
        raise ConfigError("optimizer.use_nesterov: needs optimizer.momentum, e.g. 0.9")
    return assemble_with_l2(paddle.optimizer.SGD, model, learning_rate, **common)


class _Momentum(StableKeys, paddle.optimizer.Momentum):
    """Paddle's Momentum with stable keys."""
