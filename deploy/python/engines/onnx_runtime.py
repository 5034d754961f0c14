"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from deploy.python.description import DeployDescription
from deploy.python.engines.base import EngineOptions, Floats, Output, check_input_shape, unreadable
from deploy.python.engines.memory import lack_of_memory
from paddleseg.errors import DeviceError

__all__ = ["OnnxRuntimeEngine"]

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """Runs ``model.onnx``, or the quantised one.

    Args:
        description: The model.
        options: How it shall run.
        samples: Not needed.

    Raises:
        ConfigError: The file is damaged.
        DeviceError: This build of ONNX Runtime has no such device.
    """

    name = "onnxruntime"

    def __init__(
        self, description: DeployDescription, options: EngineOptions, samples: Sequence[Floats] = ()
    ) -> None:
        import onnxruntime

        file = description.int8 if options.precision == "int8" else description.onnx
        assert file is not None
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = _ERRORS_ONLY
        # Its threads would go on spinning after a run and take the cores from decoding and encoding.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        providers = _providers(options.device, onnxruntime.get_available_providers())
        try:
            self._session = onnxruntime.InferenceSession(
                description.read(file), sess_options=settings, providers=providers
            )
        except Exception as error:  # of many kinds, without a common base
            if type(error).__module__.startswith("onnxruntime") or isinstance(
                error, RuntimeError | ValueError
            ):
                raise unreadable(description, "ONNX Runtime", error) from error
            raise
        if options.device == "gpu" and _CUDA not in self._session.get_providers():
            raise DeviceError(
                "--device gpu: ONNX Runtime cannot use the GPU (no driver, or not the CUDA and cuDNN that "
                "this onnxruntime-gpu needs); install these, or use --device cpu"
            )
        first = self._session.get_inputs()[0]
        check_input_shape(description, first.shape)
        self._input = first.name

    def run(self, batch: Floats) -> Output:
        with lack_of_memory():
            return cast(Output, self._session.run(None, {self._input: batch})[0])


def _providers(device: str, available: list[str]) -> list[str]:
    if device == "cpu" or (device == "auto" and _CUDA not in available):
        return [_CPU]
    if _CUDA not in available:
        raise DeviceError(
            "--device gpu: the installed onnxruntime is the CPU build; install onnxruntime-gpu in its place, "
            "or use --device cpu"
        )
    return [_CUDA, _CPU]
