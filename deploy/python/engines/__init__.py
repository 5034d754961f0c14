"""Inference engines behind one interface. Importing this imports none of them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from deploy.python.description import DeployDescription
from deploy.python.engines.base import (
    ENGINES,
    PRECISIONS,
    Engine,
    EngineOptions,
    Floats,
    Guarded,
    PaddleOptions,
)
from deploy.python.engines.choice import choose_engine
from deploy.python.engines.obstacles import first_obstacle, installed_engines
from paddleseg.errors import UsageError

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "EngineOptions",
    "PaddleOptions",
    "installed_engines",
    "make_engine",
]

_CLASSES = {
    "onnxruntime": ("onnx_runtime", "OnnxRuntimeEngine"),
    "openvino": ("open_vino", "OpenVinoEngine"),
    "paddle": ("paddle_inference", "PaddleEngine"),
}


def make_engine(
    description: DeployDescription,
    *,
    engine: str = "auto",
    device: str = "cpu",
    threads: int,
    precision: str = "fp32",
    paddle: PaddleOptions | None = None,
    samples: Sequence[Floats] = (),
) -> Engine:
    """Loads a model into an engine.

    Args:
        description: The model.
        engine: ``"paddle"``, ``"onnxruntime"``, ``"openvino"``, or ``"auto"``: the one that is fastest in a
            short trial, which is remembered beside deploy.yaml.
        device: ``"auto"`` (a GPU where the engine sees one), ``"cpu"`` or ``"gpu"``.
        threads: CPU threads.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``.
        paddle: What only Paddle Inference has.
        samples: Transformed inputs, each 1×C×H×W: the first is for the trial of ``"auto"`` (which makes one
            up where there is none), all are for TensorRT's sizes.

    Returns:
        The engine, ready to run.

    Raises:
        ConfigError: A file of the model is damaged, or missing for what is asked.
        DeviceError: The device or its instructions are not there.
        UsageError: The engine is unknown, not installed, or cannot do what is asked.
    """
    options = EngineOptions(
        threads=threads,
        device=device,
        precision=precision,
        paddle=paddle or PaddleOptions(),
    )
    if engine not in ("auto", *ENGINES):
        raise UsageError(f"--engine {engine}: expected auto, {', '.join(ENGINES)}")
    wanted = ENGINES if engine == "auto" else (engine,)
    obstacles = {name: first_obstacle(name, description, options) for name in wanted}
    able = [name for name in wanted if obstacles[name] is None]
    if not able:
        # Of several engines, the one that came furthest says most.
        raise max((one for one in obstacles.values() if one), key=lambda one: one.step).error
    if engine == "auto":
        return choose_engine(able, description, options, load=_load, samples=samples)
    return _load(engine, description, options, samples)


def _load(
    name: str, description: DeployDescription, options: EngineOptions, samples: Sequence[Floats]
) -> Engine:
    module, class_name = _CLASSES[name]
    make = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)
    return Guarded(make(description, options, samples), description)
