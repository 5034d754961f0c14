"""Semantic segmentation with CCNet on Paddle.

Public interface: :func:`load_config`, :func:`build_model`, and the registries for components of one's own.
Names are imported when they are first used, so that ``import paddleseg`` does not import Paddle.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddleseg.build import build_model as build_model
    from paddleseg.build import load_config as load_config
    from paddleseg.config.config import Config as Config
    from paddleseg.registry import BACKBONES as BACKBONES
    from paddleseg.registry import DATASETS as DATASETS
    from paddleseg.registry import LOSSES as LOSSES
    from paddleseg.registry import MODELS as MODELS
    from paddleseg.registry import OPTIMIZERS as OPTIMIZERS
    from paddleseg.registry import SCHEDULES as SCHEDULES
    from paddleseg.registry import TRANSFORMS as TRANSFORMS

_REGISTRIES = ("BACKBONES", "DATASETS", "LOSSES", "MODELS", "OPTIMIZERS", "SCHEDULES", "TRANSFORMS")
_ORIGINS = {
    "Config": "paddleseg.config.config",
    "build_model": "paddleseg.build",
    "load_config": "paddleseg.build",
    **dict.fromkeys(_REGISTRIES, "paddleseg.registry"),
}

__all__ = [*_ORIGINS]


def __getattr__(name: str) -> Any:
    if name not in _ORIGINS:
        raise AttributeError(f"module 'paddleseg' has no attribute '{name}'")
    return getattr(importlib.import_module(_ORIGINS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ORIGINS})
