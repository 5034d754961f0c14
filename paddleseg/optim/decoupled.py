"""Optimisers that apply weight decay themselves, beside the gradient: AdamW, Lamb and LARS.

In the formulas m and v are the running means of g and of g², with bias correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import paddle
from paddle import nn
from paddle.incubate.optimizer import lars_momentum as paddle_lars
from paddle.optimizer import Optimizer

from paddleseg.optim.assembly import CustomCfg, StableKeys, assemble, check_betas, decays_of, prepare
from paddleseg.optim.grad_clip import GradClipCfg
from paddleseg.optim.ranges import check_number
from paddleseg.registry import OPTIMIZERS

__all__ = ["adamw", "lamb", "lars"]


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
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam with decoupled weight decay: w ← w·(1 − lr·decay), then Adam's step.

    Source: Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the divisor.
        weight_decay: Decoupled: not part of the gradient.
        lazy_mode: Paddle's option for sparse gradients.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_betas(beta1, beta2, epsilon)
    parts = prepare(model, custom_cfg)
    return assemble(
        _AdamW,
        parts,
        learning_rate,
        grad_clip_cfg,
        decays=decays_of(parts, weight_decay),
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        weight_decay=float(weight_decay),
        lazy_mode=lazy_mode,
    )


@OPTIMIZERS.register(name="Lamb")
def lamb(
    model: nn.Layer,
    learning_rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    always_adapt: bool = False,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam for large batches: r = m / (√v + epsilon) + decay·w, w ← w − lr·(‖w‖ / ‖r‖)·r.

    Source: You et al., ICLR 2020, arXiv 1904.00962.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the divisor.
        weight_decay: Part of r: not part of the gradient. Paddle's name is ``lamb_weight_decay``.
        always_adapt: Whether parameters without decay get the factor ‖w‖ / ‖r‖, too.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_betas(beta1, beta2, epsilon)
    parts = prepare(model, custom_cfg)
    return assemble(
        _Lamb,
        parts,
        learning_rate,
        grad_clip_cfg,
        decays=decays_of(parts, weight_decay),
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        always_adapt=always_adapt,
    )


@OPTIMIZERS.register(name="LarsMomentum")
def lars(
    model: nn.Layer,
    learning_rate: float,
    *,
    momentum: float = 0.9,
    lars_coeff: float = 0.001,
    epsilon: float = 0.0,
    weight_decay: float = 0.0005,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Momentum for large batches: each parameter's learning rate is in proportion to ‖w‖ / ‖g‖.

    v ← momentum·v + local·(g + decay·w), w ← w − v, where local = lr·lars_coeff·‖w‖ / (‖g‖ + decay·‖w‖ +
    epsilon). A parameter whose decay, weight or gradient is 0 has local = lr, as in Paddle's kernel; so
    ``{name: norm, weight_decay_mult: 0}`` in ``custom_cfg`` gives plain momentum. Source: You et al., 2017,
    arXiv 1708.03888.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        momentum: From 0 to below 1.
        lars_coeff: The trust coefficient.
        epsilon: Added to the divisor.
        weight_decay: Part of the rule above; it is not L2 regularisation, which ‖g‖ would contain.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_number("optimizer.momentum", momentum, below=1.0)
    check_number("optimizer.lars_coeff", lars_coeff, above=0.0)
    check_number("optimizer.epsilon", epsilon)
    parts = prepare(model, custom_cfg)
    return assemble(
        _Lars,
        parts,
        learning_rate,
        grad_clip_cfg,
        decays=decays_of(parts, weight_decay),
        momentum=momentum,
        lars_coeff=lars_coeff,
        epsilon=epsilon,
    )


class _OwnDecays(StableKeys):
    """Gives each parameter its weight decay outside parameter groups.

    Args:
        decays: By the parameter's name.
        options: Those of Paddle's class.
    """

    _place: ClassVar[str]
    """Where Paddle's class keeps the weight decay of the next parameter."""

    def __init__(self, *, decays: Mapping[str, float], **options: Any) -> None:
        super().__init__(**options)
        self._decays = dict(decays)

    def _append_optimize_op(self, block: Any, param_and_grad: Any) -> Any:
        setattr(self, self._place, self._decays[param_and_grad[0].name])
        return super()._append_optimize_op(block, param_and_grad)


class _AdamW(_OwnDecays, paddle.optimizer.AdamW):
    """Paddle's AdamW."""

    _place = "_weight_decay"


class _Lamb(_OwnDecays, paddle.optimizer.Lamb):
    """Paddle's Lamb."""

    _place = "_lamb_weight_decay"


class _Lars(_OwnDecays, paddle_lars.LarsMomentumOptimizer):
    """Paddle's LARS."""

    _place = "_lars_weight_decay"

    def __init__(self, *, parameters: list[paddle.Tensor], **options: Any) -> None:
        super().__init__(parameter_list=parameters, **options)
