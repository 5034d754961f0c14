"""Adam and its relatives, by PaddleSeg's and Paddle's names.

In the formulas m and v are the running means of g and of g², with bias correction. Weight decay is L2
regularisation: g includes decay·w, so m and v do, too; AdamW and Lamb are in
:mod:`paddleseg.optim.decoupled`.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.optimizer import Optimizer

from paddleseg.optim.assembly import CustomCfg, StableKeys, assemble_with_l2, check_betas
from paddleseg.optim.grad_clip import GradClipCfg
from paddleseg.optim.ranges import check_number
from paddleseg.registry import OPTIMIZERS

__all__ = ["adam", "adamax", "nadam", "radam"]


@OPTIMIZERS.register(name="adam")
@OPTIMIZERS.register(name="Adam")
def adam(
    model: nn.Layer,
    learning_rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    lazy_mode: bool = False,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam: w ← w − lr·m / (√v + epsilon).

    Source: Kingma and Ba, ICLR 2015, arXiv 1412.6980.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the divisor.
        lazy_mode: Paddle's option for sparse gradients.
        weight_decay: L2 regularisation, added to the (clipped) gradient; AdamW decouples it.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_betas(beta1, beta2, epsilon)
    return assemble_with_l2(
        _Adam,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        lazy_mode=lazy_mode,
    )


@OPTIMIZERS.register(name="Adamax")
def adamax(
    model: nn.Layer,
    learning_rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam with a running maximum in place of √v: u ← max(beta2·u + epsilon, |g|), w ← w − lr·m / u.

    Source: Kingma and Ba, ICLR 2015, arXiv 1412.6980, section 7.1.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the maximum.
        epsilon: Keeps the maximum above 0.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_betas(beta1, beta2, epsilon)
    return assemble_with_l2(
        _Adamax,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
    )


@OPTIMIZERS.register(name="NAdam")
def nadam(
    model: nn.Layer,
    learning_rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 0.004,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam with Nesterov's look-ahead.

    At step t, μ(t) = beta1·(1 − 0.96^(t·momentum_decay) / 2) weighs the old mean. Source: Dozat, ICLR 2016
    workshop, as PyTorch and Paddle have it.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the divisor.
        momentum_decay: How fast μ(t) rises from beta1 / 2 to beta1.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_betas(beta1, beta2, epsilon)
    check_number("optimizer.momentum_decay", momentum_decay)
    return assemble_with_l2(
        _NAdam,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        momentum_decay=momentum_decay,
    )


@OPTIMIZERS.register(name="RAdam")
def radam(
    model: nn.Layer,
    learning_rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float | None = None,
    grad_clip_cfg: GradClipCfg | None = None,
    custom_cfg: CustomCfg | None = None,
) -> Optimizer:
    """Adam that follows m alone until v is known well enough, and then a part of v: a warm-up of its own.

    Source: Liu et al., ICLR 2020, arXiv 1908.03265.

    Args:
        model: The bare model.
        learning_rate: Until the first ``set_lr``. The first 5 steps, of size lr·m, are longer than Adam's
            where gradients are above 1.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        epsilon: Added to the divisor.
        weight_decay: L2 regularisation, added to the (clipped) gradient.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: An option is wrong.
    """
    check_betas(beta1, beta2, epsilon)
    return assemble_with_l2(
        _RAdam,
        model,
        learning_rate,
        weight_decay=weight_decay,
        grad_clip_cfg=grad_clip_cfg,
        custom_cfg=custom_cfg,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
    )


class _Adam(StableKeys, paddle.optimizer.Adam):
    """Paddle's Adam with stable keys."""


class _Adamax(StableKeys, paddle.optimizer.Adamax):
    """Paddle's Adamax with stable keys."""


class _NAdam(StableKeys, paddle.optimizer.NAdam):
    """Paddle's NAdam with stable keys."""


class _RAdam(StableKeys, paddle.optimizer.RAdam):
    """Paddle's RAdam with stable keys."""
