"""Small Paddle-free components for the configuration's tests; conftest.py registers them for each test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from paddleseg.registry import (
    BACKBONES,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    TRANSFORMS,
    Registry,
)


class FakeBackbone:
    def __init__(self, *, output_stride: Literal[8, 16] = 8, in_channels: int = 3) -> None:
        self.output_stride = output_stride
        self.in_channels = in_channels


class FakeModel:
    def __init__(
        self, num_classes: int, backbone: FakeBackbone, *, indices: Sequence[int] = (2, 3), aux: bool = True
    ) -> None:
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        self.num_classes = num_classes
        self.backbone = backbone

    @staticmethod
    def count_outputs(params: Mapping[str, Any]) -> int:
        return 2 if params.get("aux", True) else 1


class FakeCity:
    NUM_CLASSES = 19
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3

    def __init__(self, transforms: Sequence[Any], dataset_root: str, mode: str) -> None:
        self.transforms = transforms
        self.mode = mode


class FakeList:
    def __init__(
        self,
        mode: str,
        num_classes: int,
        transforms: Sequence[Any] = (),
        dataset_root: str = "",
        ignore_index: int = 255,
        img_channels: int = 3,
        train_path: str | None = None,
        val_path: str | None = None,
    ) -> None: ...


class FakeCrop:
    def __init__(self, size: tuple[int, int] = (4, 4), prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob: expected a number from 0 to 1, got {prob}")
        self.size = size


class FakeLoss:
    def __init__(self, ignore_index: int = 255, weight: Sequence[float] | None = None) -> None:
        self.ignore_index = ignore_index


class FakeMixed:
    def __init__(self, losses: Sequence[Any], coef: Sequence[float]) -> None:
        if len(losses) != len(coef):
            raise ValueError("the lists differ in length")
        self.losses = losses


class FakeAnything:
    def __init__(self, **options: Any) -> None:
        self.options = options


def fake_optimizer(model: Any, learning_rate: float, *, momentum: float = 0.9) -> tuple[Any, float, float]:
    return model, learning_rate, momentum


def fake_schedule(*, learning_rate: float, iters: int, power: float = 1.0) -> Callable[[int], float]:
    return lambda step: learning_rate * (1 - step / iters) ** power


COMPONENTS: dict[Registry, list[Callable[..., Any]]] = {
    BACKBONES: [FakeBackbone],
    MODELS: [FakeModel],
    DATASETS: [FakeCity, FakeList],
    TRANSFORMS: [FakeCrop],
    LOSSES: [FakeLoss, FakeMixed, FakeAnything],
    OPTIMIZERS: [fake_optimizer],
    SCHEDULES: [fake_schedule],
}
