"""What an engine cannot do, found before anything is loaded: one sentence each, with what to do instead."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from deploy.python.description import DeployDescription
from deploy.python.engines.base import ENGINES, EngineOptions
from paddleseg.errors import ConfigError, DeviceError, PaddleSegError, UsageError

__all__ = ["Obstacle", "first_obstacle", "installed_engines"]


class Obstacle(NamedTuple):
    """Why an engine cannot run a model.

    Attributes:
        step: How far it came: precision, device, files, installation.
        error: For the user.
    """

    step: int
    error: PaddleSegError


def installed_engines() -> list[str]:
    """Returns the engines whose packages are installed; none is imported."""
    return [name for name in ENGINES if importlib.util.find_spec(name) is not None]


def first_obstacle(name: str, description: DeployDescription, options: EngineOptions) -> Obstacle | None:
    """Why an engine cannot run a model as the options say.

    Args:
        name: One of ``ENGINES``.
        description: The model.
        options: How it shall run.

    Returns:
        None where it can, as far as can be told without loading it.
    """
    checks = (
        _wrong_precision(name, options),
        _wrong_device(name, options),
        _missing_file(name, description, options),
        _not_installed(name),
    )
    return next((Obstacle(step, error) for step, error in enumerate(checks) if error is not None), None)


def _wrong_precision(name: str, options: EngineOptions) -> UsageError | None:
    flag = f"--precision {options.precision}"
    if options.precision == "fp16" and (name != "paddle" or options.device == "cpu"):
        return UsageError(
            f"{flag}: half precision needs a GPU and --engine paddle; on CPU use fp32, int8, or bf16 where "
            "the processor has it"
        )
    if options.precision == "bf16" and name != "openvino":
        return UsageError(f"{flag}: of the engines only openvino computes in bf16; use --engine openvino")
    if options.precision == "int8" and name == "paddle":
        return UsageError(
            f"{flag}: the quantised model is ONNX, which Paddle does not run; use --engine onnxruntime or "
            "openvino"
        )
    return None


def _wrong_device(name: str, options: EngineOptions) -> DeviceError | None:
    if options.paddle.use_trt and (name != "paddle" or options.device == "cpu"):
        return DeviceError(
            "--use_trt True: TensorRT needs an NVIDIA GPU and --engine paddle; on CPU leave it out"
        )
    if name == "openvino" and options.device == "gpu":
        return DeviceError(
            "--device gpu: OpenVINO runs on the CPU here; use --engine paddle or onnxruntime, or --device cpu"
        )
    return None


def _missing_file(name: str, description: DeployDescription, options: EngineOptions) -> ConfigError | None:
    path = description.path
    if name == "paddle":
        if description.model is None or description.params is None:
            return ConfigError(
                f"{path}: holds no model in Paddle's format, which --engine paddle runs; export it with "
                "--format all, or use --engine onnxruntime"
            )
    elif options.precision == "int8":
        if description.int8 is None:
            return ConfigError(
                f"{path}: there is no quantised model yet; make it: "
                f"python slim/quant/ptq.py --config {path} --calibration FOLDER_OF_IMAGES"
            )
    elif description.onnx is None:
        return ConfigError(
            f"{path}: holds no ONNX model, which --engine {name} runs; export it with --format all, or use "
            "--engine paddle"
        )
    return None


def _not_installed(name: str) -> UsageError | None:
    installed = installed_engines()
    if name in installed:
        return None
    package = "paddlepaddle" if name == "paddle" else name
    return UsageError(
        f"--engine {name}: it is not installed; `pip install {package}`, or choose of those that are: "
        f"{', '.join(installed) or 'none'}"
    )
