"""Paddle Inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from deploy.python.description import DeployDescription
from deploy.python.engines.base import EngineOptions, Floats, Output, check_input_shape, unreadable
from paddleseg import runtime
from paddleseg.errors import DeviceError
from paddleseg.log import get_logger

__all__ = ["PaddleEngine"]

_GPU_MEMORY_MB = 256
_TRT_WORKSPACE_BYTES = 1 << 30
# What TensorRT is built for where nothing was collected: PaddleSeg's range.
_TRT_SIZES = ((100, 100), (2000, 3000), (512, 1024))
# Passes that Paddle 3.3.1 runs by itself wherever oneDNN is on. The first puts bilinear interpolation on
# oneDNN, which fails; the others fuse activations, and the one for LeakyReLU ends the process.
_BROKEN_PASSES = (
    "onednn_placement_pass",
    "conv_activation_onednn_fuse_pass",
    "matmul_activation_onednn_fuse_pass",
    "fc_act_onednn_fuse_pass",
    "softplus_activation_onednn_fuse_pass",
    "elementwise_act_onednn_fuse_pass",
)
_logger = get_logger(__name__)


class PaddleEngine:
    """Runs the program in Paddle's own format.

    Args:
        description: The model.
        options: How it shall run.
        samples: Transformed inputs, whose sizes TensorRT is built for with ``enable_auto_tune``.

    Raises:
        ConfigError: A file is damaged.
        DeviceError: There is no such device.
        UsageError: Paddle is not installed.
    """

    name = "paddle"

    def __init__(
        self, description: DeployDescription, options: EngineOptions, samples: Sequence[Floats] = ()
    ) -> None:
        runtime.configure(threads=options.threads)
        runtime.import_framework()
        import paddle
        from paddle import inference

        paddle.disable_signal_handler()  # it prints a C++ stack on SIGTERM, too
        on_gpu = _on_gpu(options, paddle)
        assert description.model is not None
        assert description.params is not None
        for file in (description.model, description.params):
            description.read(file)
        settings = _base_settings(inference, description, options)
        if on_gpu:
            _configure_gpu(settings, inference, description, options, samples)
        else:
            _configure_cpu(settings, options)
        self._predictor = _predictor(inference, settings, description)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        shape = self._input.shape()
        if len(shape) == 4:  # before the first run Paddle knows a fixed one only, and of the new format only
            check_input_shape(description, shape)
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, batch: Floats) -> Output:
        self._input.reshape(batch.shape)
        self._input.copy_from_cpu(batch)
        self._predictor.run()
        return cast(Output, self._output.copy_to_cpu())


def _on_gpu(options: EngineOptions, paddle: Any) -> bool:
    if _gpu_count(paddle):
        return options.device != "cpu"
    needs = [
        flag
        for flag, asked in (
            ("--device gpu", options.device == "gpu"),
            ("--use_trt True", options.paddle.use_trt),
            ("--precision fp16", options.precision == "fp16"),
        )
        if asked
    ]
    if needs:
        raise DeviceError(
            f"{needs[0]}: Paddle sees no GPU (the CPU build of paddlepaddle, or nothing in nvidia-smi and "
            "CUDA_VISIBLE_DEVICES); use --device cpu in fp32, without --use_trt"
        )
    return False


def _gpu_count(paddle: Any) -> int:
    return paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0


def _base_settings(inference: Any, description: DeployDescription, options: EngineOptions) -> Any:
    settings = inference.Config(str(description.model), str(description.params))
    if not options.paddle.print_detail:
        settings.disable_glog_info()
    return settings


def _predictor(inference: Any, settings: Any, description: DeployDescription) -> Any:
    try:
        return inference.create_predictor(settings)
    except (RuntimeError, ValueError, TypeError) as error:
        raise unreadable(description, "Paddle", error) from error


def _configure_cpu(settings: Any, options: EngineOptions) -> None:
    settings.disable_gpu()
    settings.set_cpu_math_library_num_threads(options.threads)
    if not options.paddle.enable_mkldnn:
        settings.disable_mkldnn()
        return
    settings.enable_mkldnn()
    for broken in _BROKEN_PASSES:
        settings.delete_pass(broken)


def _configure_gpu(
    settings: Any,
    inference: Any,
    description: DeployDescription,
    options: EngineOptions,
    samples: Sequence[Floats],
) -> None:
    precision = {"fp32": inference.PrecisionType.Float32, "fp16": inference.PrecisionType.Half}[
        options.precision
    ]
    wanted = options.paddle
    settings.enable_use_gpu(_GPU_MEMORY_MB, 0, precision)
    if not wanted.use_trt:
        return
    count = _largest_batch(description, options)
    settings.enable_tensorrt_engine(
        workspace_size=_TRT_WORKSPACE_BYTES,
        max_batch_size=count,
        min_subgraph_size=wanted.min_subgraph_size,
        precision_mode=precision,
        use_static=False,
        use_calib_mode=False,
    )
    if wanted.enable_auto_tune:
        _collect_sizes(inference, description, options, samples)
        settings.enable_tuned_tensorrt_dynamic_shape(str(wanted.auto_tuned_shape_file), True)
    else:
        channels = description.input_shape[1]
        counts = (max(description.input_shape[0], 1), count, count)
        ranges = [{"x": [n, channels, *size]} for n, size in zip(counts, _TRT_SIZES, strict=True)]
        settings.set_trt_dynamic_shape_info(*ranges)


def _largest_batch(description: DeployDescription, options: EngineOptions) -> int:
    fixed = description.input_shape[0]
    return options.paddle.batch_size if fixed == -1 else fixed


def _collect_sizes(
    inference: Any, description: DeployDescription, options: EngineOptions, samples: Sequence[Floats]
) -> None:
    """Runs the model without TensorRT and lets Paddle write down the sizes inside it."""
    file = options.paddle.auto_tuned_shape_file
    settings = _base_settings(inference, description, options)
    settings.enable_use_gpu(_GPU_MEMORY_MB, 0)
    settings.collect_shape_range_info(str(file))
    predictor = _predictor(inference, settings, description)
    handle = predictor.get_input_handle(predictor.get_input_names()[0])
    counts = sorted({max(description.input_shape[0], 1), _largest_batch(description, options)})
    for sample in samples:
        for count in counts:
            batch = np.repeat(sample, count, axis=0)
            handle.reshape(batch.shape)
            handle.copy_from_cpu(batch)
            predictor.run()
    _logger.info(f"sizes of {len(samples)} inputs for TensorRT are in {file}")
