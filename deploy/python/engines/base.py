"""What an inference engine takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from deploy.python.description import DeployDescription
from paddleseg.errors import ConfigError, UsageError

__all__ = [
    "DEVICES",
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "EngineOptions",
    "Floats",
    "Output",
    "PaddleOptions",
    "unreadable",
]

Floats: TypeAlias = npt.NDArray[np.float32]
Output: TypeAlias = npt.NDArray[Any]

# The lightest to start first.
ENGINES = ("onnxruntime", "openvino", "paddle")
DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


class Engine(Protocol):
    """Runs one model on one device. Not for several threads at once."""

    name: str

    def run(self, batch: Floats) -> Output:
        """Runs the model.

        Args:
            batch: N×C×H×W float32, of a size that the model takes.

        Returns:
            N×H×W class ids (int32 or int64) or N×K×H×W float32; the caller may write into it.
        """


@dataclass(frozen=True)
class PaddleOptions:
    """What only Paddle Inference has.

    Attributes:
        enable_mkldnn: oneDNN's convolutions on CPU, fused with what follows them where that is safe.
        use_trt: TensorRT on GPU.
        min_subgraph_size: Operations from which on a part of the model goes to TensorRT.
        enable_auto_tune: Collect the sizes inside the model from real inputs, for TensorRT.
        auto_tuned_shape_file: Where they are kept.
        print_detail: Show Paddle's own messages.
    """

    enable_mkldnn: bool = True
    use_trt: bool = False
    min_subgraph_size: int = 3
    enable_auto_tune: bool = False
    auto_tuned_shape_file: Path = Path("auto_tune_tmp.pbtxt")
    print_detail: bool = False


@dataclass(frozen=True)
class EngineOptions:
    """How a model shall run.

    Attributes:
        device: ``"auto"`` (a GPU where the engine sees one), ``"cpu"`` or ``"gpu"``.
        threads: CPU threads.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``.
        paddle: What only Paddle Inference has.
    """

    threads: int
    device: str = "auto"
    precision: str = "fp32"
    paddle: PaddleOptions = field(default_factory=PaddleOptions)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("device", self.device, DEVICES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise UsageError(f"{name}: expected one of {', '.join(known)}, got '{value}'")


def unreadable(description: DeployDescription, engine: str, error: Exception) -> ConfigError:
    """The error for a file that an engine cannot load.

    Args:
        description: Whose file it is.
        engine: The engine.
        error: What it raised.
    """
    reason = " ".join(str(error).split())[:300]
    return ConfigError(
        f"{description.path}: {engine} cannot load the model ({reason}); export the model again"
    )
