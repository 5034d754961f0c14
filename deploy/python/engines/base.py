"""What an inference engine takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from deploy.python.description import DeployDescription
from paddleseg.errors import ConfigError, PaddleSegError, UsageError

__all__ = [
    "DEVICES",
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "EngineOptions",
    "Floats",
    "Guarded",
    "Output",
    "PaddleOptions",
    "check_input_shape",
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
        batch_size: Images that go through the model together, at most; TensorRT is built for these.
    """

    enable_mkldnn: bool = True
    use_trt: bool = False
    min_subgraph_size: int = 3
    enable_auto_tune: bool = False
    auto_tuned_shape_file: Path = Path("auto_tune_tmp.pbtxt")
    print_detail: bool = False
    batch_size: int = 1


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


class Guarded:
    """An engine whose own exceptions become one message.

    Args:
        engine: The engine.
        description: Its model.
    """

    def __init__(self, engine: Engine, description: DeployDescription) -> None:
        self.name = engine.name
        self._engine, self._description = engine, description

    def run(self, batch: Floats) -> Output:
        """Runs the model: see :meth:`Engine.run`.

        Raises:
            ConfigError: The model cannot take the batch.
            MemoryError: There is not enough.
        """
        try:
            return self._engine.run(batch)
        except (PaddleSegError, MemoryError):
            raise
        except Exception as error:  # of many kinds, without a common base
            size = "×".join(map(str, batch.shape))
            raise ConfigError(
                f"{self._description.path}: {self.name} failed on an input of {size} "
                f"({_one_line(error)}); try another --engine, or export the model again"
            ) from error


def check_input_shape(description: DeployDescription, shape: Sequence[Any]) -> None:
    """Compares the input of a loaded model with ``input_shape`` in deploy.yaml, where that says it.

    Args:
        description: What deploy.yaml says.
        shape: N, C, H, W as the engine gives it; whatever is no number from 1 stands for any.

    Raises:
        ConfigError: The model takes one size only, and it is another one.
    """
    own = [n if isinstance(n, int) and n >= 1 else -1 for n in shape]
    said = list(description.input_shape)
    if "input_shape" not in description.raw:
        return
    if len(own) != 4 or any(have not in (-1, want) for have, want in zip(own, said, strict=True)):
        raise ConfigError(
            f"{description.path}: input_shape is {said}, but the model takes {own}; write that there, or "
            "export the model again"
        )


def unreadable(description: DeployDescription, engine: str, error: Exception) -> ConfigError:
    """The error for a file that an engine cannot load.

    Args:
        description: Whose file it is.
        engine: The engine.
        error: What it raised.
    """
    return ConfigError(
        f"{description.path}: {engine} cannot load the model ({_one_line(error)}); export the model again"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
