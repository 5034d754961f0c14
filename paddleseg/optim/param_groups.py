"""Which learning rate and weight decay each parameter gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddle import nn
from paddle.base.framework import EagerParamBase

from paddleseg.errors import ConfigError, did_you_mean

__all__ = ["ParamOptions", "ParamRule", "assign_options", "name_parameters", "parse_rules"]

RULE_KEYS = ("name", "lr_mult", "weight_decay_mult")


@dataclass(frozen=True)
class ParamRule:
    """One entry of ``optimizer.custom_cfg``.

    Attributes:
        name: A part of the names of the parameters meant.
        lr_mult: Factor on the learning rate.
        weight_decay_mult: Factor on the weight decay.
    """

    name: str
    lr_mult: float = 1.0
    weight_decay_mult: float = 1.0


@dataclass(frozen=True)
class ParamOptions:
    """One parameter with its factors."""

    param: EagerParamBase
    lr_mult: float
    weight_decay_mult: float


def parse_rules(custom_cfg: Sequence[Mapping[str, Any]] | None) -> list[ParamRule]:
    """Reads ``custom_cfg``.

    Args:
        custom_cfg: Mappings with ``name`` and, both optional, ``lr_mult`` and ``weight_decay_mult``.

    Raises:
        ConfigError: A key is unknown, the name is missing or a factor is not a number of at least 0.
    """
    rules = []
    for index, entry in enumerate(custom_cfg or ()):
        where = f"optimizer.custom_cfg[{index}]"
        for key in entry:
            if key not in RULE_KEYS:
                raise ConfigError(f"{where}: unknown key '{key}'{did_you_mean(key, RULE_KEYS)}")
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise ConfigError(
                f"{where}.name: got {name!r}; expected a part of parameter names, e.g. backbone"
            )
        rules.append(
            ParamRule(
                name=name,
                lr_mult=_factor(entry.get("lr_mult"), f"{where}.lr_mult"),
                weight_decay_mult=_factor(entry.get("weight_decay_mult"), f"{where}.weight_decay_mult"),
            )
        )
    return rules


def _factor(value: object, where: str) -> float:
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{where}: got {value!r}; expected a number of at least 0")
    return float(value)


def assign_options(model: nn.Layer, rules: Sequence[ParamRule]) -> list[ParamOptions]:
    """Gives every parameter the factors of the first rule whose name is part of the parameter's.

    Args:
        model: The bare model (not wrapped for several cards).
        rules: In order of precedence.

    Returns:
        All parameters in the model's order, with factor 1 where no rule applies.

    Raises:
        ConfigError: A rule's name is part of no parameter's name.
    """
    named = list(model.named_parameters())
    for index, rule in enumerate(rules):
        if not any(rule.name in name for name, _ in named):
            segments = {segment for name, _ in named for segment in name.split(".")}
            raise ConfigError(
                f"optimizer.custom_cfg[{index}].name: no parameter of the model has '{rule.name}' in its name"
                f"{did_you_mean(rule.name, segments)}"
            )
    neutral = ParamRule(name="")
    options = []
    for name, param in named:
        rule = next((rule for rule in rules if rule.name in name), neutral)
        options.append(ParamOptions(param, rule.lr_mult, rule.weight_decay_mult))
    return options


def name_parameters(model: nn.Layer) -> None:
    """Renames every parameter to its place in the model, e.g. ``head.conva._conv.weight``.

    Paddle numbers parameters in order of creation over the whole process, and an optimiser's state is keyed
    by these names: without this a checkpoint fits only a process that built the same layers in the same
    order.

    Args:
        model: The bare model (not wrapped for several cards).
    """
    for name, param in model.named_parameters():
        param.name = name
