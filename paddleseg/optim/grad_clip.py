"""Clipping of gradients, from ``optimizer.grad_clip_cfg``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paddle import nn
from paddle.nn.clip import GradientClipBase

from paddleseg.errors import ConfigError, did_you_mean
from paddleseg.optim.ranges import check_number

__all__ = ["GradClipCfg", "build_grad_clip"]

GradClipCfg = Mapping[str, Any]

# Name → (class, options needed, options allowed besides).
_CLIPS: dict[str, tuple[type[GradientClipBase], tuple[str, ...], tuple[str, ...]]] = {
    "ClipGradByGlobalNorm": (nn.ClipGradByGlobalNorm, ("clip_norm",), ()),
    "ClipGradByNorm": (nn.ClipGradByNorm, ("clip_norm",), ()),
    "ClipGradByValue": (nn.ClipGradByValue, ("max",), ("min",)),
}


def build_grad_clip(grad_clip_cfg: GradClipCfg | None) -> GradientClipBase | None:
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
        check_number(f"{where}.{key}", options.get(key), above=0.0)
    if "min" in options:
        check_number(f"{where}.min", options["min"], above=-math.inf, below=options["max"])
    return clip(**{key: float(value) for key, value in options.items()})
