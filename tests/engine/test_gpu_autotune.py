from __future__ import annotations

from typing import Any

import pytest
from paddle.incubate import autotune

from paddleseg.engine.gpu_autotune import enable_gpu_autotune
from paddleseg.errors import DeviceError


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Paddle is told; nothing is switched on in this process."""
    told: list[Any] = []
    monkeypatch.setattr(autotune, "set_config", told.append)
    return told


def test_a_cpu_has_nothing_to_try_out(given: list[Any]) -> None:
    with pytest.raises(DeviceError, match=r"gpu_autotune: true has no meaning on cpu.*set it to false"):
        enable_gpu_autotune("cpu")
    assert given == []


def test_a_gpu_times_kernels_and_keeps_the_layout(given: list[Any]) -> None:
    enable_gpu_autotune("gpu:1")
    assert given == [{"kernel": {"enable": True, "tuning_range": [1, 10]}}]
