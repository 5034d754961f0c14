"""The names that users may rely on, and that they come without importing Paddle."""

from __future__ import annotations

import subprocess
import sys

import pytest

import paddleseg


def test_public_names() -> None:
    assert sorted(paddleseg.__all__) == [
        "BACKBONES",
        "Config",
        "DATASETS",
        "LOSSES",
        "MODELS",
        "OPTIMIZERS",
        "SCHEDULES",
        "TRANSFORMS",
        "build_model",
        "load_config",
    ]
    for name in paddleseg.__all__:
        assert getattr(paddleseg, name) is not None
        assert name in dir(paddleseg)


def test_names_are_the_real_ones() -> None:
    from paddleseg import build, registry

    assert paddleseg.load_config is build.load_config
    assert paddleseg.build_model is build.build_model
    assert paddleseg.LOSSES is registry.LOSSES


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_confg'"):
        _ = paddleseg.load_confg


@pytest.mark.parametrize(
    "module",
    [
        "paddleseg",
        "paddleseg.build",
        "paddleseg.config.blocks",
        "paddleseg.config.record",
        "paddleseg.config.plugins",
    ],
)
def test_no_paddle_until_components_are_needed(module: str) -> None:
    code = (
        f"import sys, {module} as m; getattr(m, 'load_config', None); "
        "sys.exit('paddle' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
