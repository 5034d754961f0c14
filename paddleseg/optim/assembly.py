"""What all optimisers share: names of parameters and state, factors, clipping and L2 regularisation.

Every parameter's factors on learning rate and weight decay are set on the parameter, not by Paddle's
parameter groups: Paddle clips each group by the norm of that group alone, so a "global" norm would not be
global.

The trainer moves the learning rate with ``optimizer.set_lr``; factors apply on top of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddle import nn
from paddle.optimizer import Optimizer
from paddle.regularizer import L2Decay
from paddle.utils import unique_name

from paddleseg.optim.grad_clip import GradClipCfg, build_grad_clip
from paddleseg.optim.param_groups import ParamOptions, assign_options, name_parameters, parse_rules
from paddleseg.optim.ranges import check_number

__all__ = ["CustomCfg", "StableKeys", "assemble", "assemble_with_l2", "check_betas", "decays_of", "prepare"]

CustomCfg = Sequence[Mapping[str, Any]]


class StableKeys(Optimizer):
    """Keys of the state are always ``<parameter>_<slot>_0``, however many optimisers were built before."""

    def _add_accumulator(self, *args: Any, **options: Any) -> Any:
        with unique_name.guard():
            return super()._add_accumulator(*args, **options)


def prepare(model: nn.Layer, custom_cfg: CustomCfg | None) -> list[ParamOptions]:
    """Names the parameters, sets their learning-rate factors and clears what an earlier optimiser set.

    Args:
        model: The bare model, as for :func:`paddleseg.optim.param_groups.name_parameters`.
        custom_cfg: See :func:`paddleseg.optim.param_groups.parse_rules`.

    Raises:
        ConfigError: A rule is wrong.
    """
    options = assign_options(model, parse_rules(custom_cfg))
    name_parameters(model)
    for option in options:
        option.param.optimize_attr["learning_rate"] = option.lr_mult
        option.param.regularizer = None
    return options


def assemble(
    kind: type[Optimizer],
    parts: Sequence[ParamOptions],
    learning_rate: float,
    grad_clip_cfg: GradClipCfg | None,
    **options: Any,
) -> Optimizer:
    """Constructs one of Paddle's optimisers.

    Args:
        kind: Its class, with :class:`StableKeys`.
        parts: The parameters, from :func:`prepare`.
        learning_rate: Until the first ``set_lr``.
        grad_clip_cfg: See :func:`paddleseg.optim.grad_clip.build_grad_clip`.
        options: The rest of its arguments.
    """
    return kind(
        learning_rate=float(learning_rate),
        parameters=[part.param for part in parts],
        grad_clip=build_grad_clip(grad_clip_cfg),
        **options,
    )


def assemble_with_l2(
    kind: type[Optimizer],
    model: nn.Layer,
    learning_rate: float,
    *,
    weight_decay: float | None,
    grad_clip_cfg: GradClipCfg | None,
    custom_cfg: CustomCfg | None,
    **options: Any,
) -> Optimizer:
    """Constructs an optimiser whose weight decay is L2 regularisation: the gradient gets decay·w on top.

    Args:
        kind: Its class, with :class:`StableKeys`.
        model: The bare model.
        learning_rate: Until the first ``set_lr``.
        weight_decay: The decay of parameters without a factor; None: 0.
        grad_clip_cfg: As for :func:`assemble`. What is clipped is the gradient without decay·w.
        custom_cfg: As for :func:`prepare`.
        options: The rest of its arguments.

    Raises:
        ConfigError: An option is wrong.
    """
    parts = prepare(model, custom_cfg)
    if weight_decay is not None:
        check_number("optimizer.weight_decay", weight_decay)
        for part in parts:
            part.param.regularizer = L2Decay(float(weight_decay * part.weight_decay_mult))
    return assemble(kind, parts, learning_rate, grad_clip_cfg, **options)


def decays_of(parts: Sequence[ParamOptions], weight_decay: float) -> dict[str, float]:
    """The weight decay of each parameter by its name, for optimisers that apply it themselves.

    Raises:
        ConfigError: ``weight_decay`` is not a number of at least 0.
    """
    check_number("optimizer.weight_decay", weight_decay)
    return {part.param.name: float(weight_decay * part.weight_decay_mult) for part in parts}


def check_betas(beta1: float, beta2: float, epsilon: float) -> None:
    """Checks what the relatives of Adam share.

    Raises:
        ConfigError: One is out of range.
    """
    check_number("optimizer.beta1", beta1, below=1.0)
    check_number("optimizer.beta2", beta2, below=1.0)
    check_number("optimizer.epsilon", epsilon, above=0.0)
