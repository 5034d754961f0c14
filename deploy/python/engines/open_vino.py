"""OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from deploy.python.description import DeployDescription
from deploy.python.engines.base import EngineOptions, Floats, Output, check_input_shape, unreadable
from deploy.python.engines.memory import lack_of_memory
from paddleseg.errors import DeviceError

if TYPE_CHECKING:
    from openvino import Core

__all__ = ["OpenVinoEngine"]


@cache
def _core() -> Core:
    """One for the process, to its end: it gives this thread a stack for signals and unmaps that when it goes,
    so that after two of them went in another order than they came, the next signal ends the process."""
    import openvino

    return openvino.Core()


class OpenVinoEngine:
    """Runs ``model.onnx``, or the quantised one, on the CPU.

    Args:
        description: The model.
        options: How it shall run.
        samples: Not needed.

    Raises:
        ConfigError: The file is damaged.
        DeviceError: The processor lacks the precision.
    """

    name = "openvino"

    def __init__(
        self, description: DeployDescription, options: EngineOptions, samples: Sequence[Floats] = ()
    ) -> None:
        core = _core()
        if options.precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise DeviceError(
                "--precision bf16: this processor has no bf16 instructions (avx512_bf16 or amx_bf16), which "
                "makes it slower and less exact than fp32; use --precision fp32 or int8"
            )
        file = description.int8 if options.precision == "int8" else description.onnx
        assert file is not None
        settings = {
            # By itself it computes in bf16 wherever the processor can.
            "INFERENCE_PRECISION_HINT": "bf16" if options.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": options.threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        data = description.read(file)
        try:
            self._model = core.compile_model(core.read_model(model=data), "CPU", settings)
        except (RuntimeError, ValueError, TypeError) as error:
            raise unreadable(description, "OpenVINO", error) from error
        shape = self._model.input(0).partial_shape
        check_input_shape(description, [-1 if n.is_dynamic else n.get_length() for n in shape])
        self._request = self._model.create_infer_request()

    def run(self, batch: Floats) -> Output:
        with lack_of_memory():
            results = self._request.infer([batch], share_inputs=True, share_outputs=True)
            shared = results[self._model.output(0)]
            # The request's next run writes into the same memory.
            output = np.array(shared)
        # Without memory OpenVINO 2026.4.1 raises nothing and leaves what was there, now and later.
        missing = -1 if output.dtype.kind in "iu" else np.finfo(output.dtype).min
        size = len(output), *output.shape[-2:]
        if size != (len(batch), *batch.shape[-2:]) or output.flat[0] == missing:
            raise MemoryError(f"OpenVINO gave no output for a batch of {batch.shape}; start again")
        shared.flat[0] = missing
        return output
