"""From a float ONNX model to one with eight-bit weights and activations, by ONNX Runtime."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import yaml
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from deploy.python.description import DeployDescription
from paddleseg.errors import ConfigError, PaddleSegError, WeightsError
from paddleseg.files import replace_file, write_whole
from slim.quant.calibration import CalibrationPictures
from slim.quant.float_parts import Parts, choose_parts

__all__ = ["Quantised", "input_name_of", "quantise", "save_beside"]

_METHODS = {method.name.lower(): method for method in CalibrationMethod}
_FILE = "model_int8.onnx"
_LEAST_OPSET = 13  # the first in which each channel can have a scale of its own
_ERRORS_ONLY = 3
_NOT_FINITE = "scale issue"  # what ONNX Runtime makes of a range that is NaN


@dataclass(frozen=True)
class Quantised:
    """A quantised model.

    Attributes:
        data: The ONNX file.
        parts: What of it is in eight bits.
    """

    data: bytes
    parts: Parts


def quantise(
    description: DeployDescription, pictures: CalibrationPictures, *, method: str, reduce_range: bool = False
) -> Quantised:
    """Quantises after training: unsigned activations, signed weights with one scale a channel.

    Args:
        description: The exported model; :attr:`~DeployDescription.onnx` must be there.
        pictures: What the ranges of activations are measured on.
        method: How: ``"minmax"``, ``"entropy"`` or another of ONNX Runtime's ways, in small letters.
        reduce_range: Seven-bit weights, for processors whose eight-bit products overflow (without VNNI).

    Returns:
        The model, in QuantizeLinear / DequantizeLinear form, and what was quantised.

    Raises:
        ConfigError: The float model is damaged, too old, or has no convolution.
        DataError: A picture is unreadable.
        WeightsError: The network's activations are not numbers.
    """
    assert description.onnx is not None
    source = description.read(description.onnx)
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    with tempfile.TemporaryDirectory(prefix="ptq-") as folder, _as_config_error(description):
        _check_opset(onnx.load_from_string(source), description)
        optimised, target = _optimise(source, Path(folder)), Path(folder, _FILE)
        parts = choose_parts(onnx.load(str(optimised)).graph)
        if not parts.quantised:
            raise ConfigError(f"{description.onnx}: the network has no convolution to quantise")
        with _quiet():
            quantize_static(
                optimised,
                target,
                pictures,
                quant_format=QuantFormat.QDQ,
                calibrate_method=_METHODS[method],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=reduce_range,
                nodes_to_quantize=parts.quantised,
                # One picture at a time for every method: sizes may differ, and activations are large.
                extra_options={"CalibStridedMinMax": 1},
            )
        return Quantised(target.read_bytes(), parts)


def save_beside(description: DeployDescription, model: Quantised) -> Path:
    """Writes the quantised model beside the float one and enters it into deploy.yaml.

    Whenever the process ends, deploy.yaml names a quantised model that fits its checksum, or none.

    Args:
        description: The exported model.
        model: Its quantised form.

    Returns:
        The file written.

    Raises:
        OutputError: A file cannot be written. An earlier quantised model is untouched, or no longer in
            deploy.yaml where the disk fails late.
    """
    target = description.path.parent / _FILE
    tree = yaml.safe_load(description.path.read_text(encoding="utf-8"))
    deploy: dict[str, Any] = tree["Deploy"]
    deploy.pop("int8", None)
    checksums = {name: value for name, value in (deploy.get("checksums") or {}).items() if name != _FILE}
    deploy["checksums"] = checksums
    without = _yaml_bytes(tree)
    deploy["int8"] = _FILE
    deploy["checksums"] = {**checksums, _FILE: f"sha256:{hashlib.sha256(model.data).hexdigest()}"}

    # Both files under other names first: a full disk is noticed before anything is replaced. Then deploy.yaml
    # without the earlier model, the new model, and deploy.yaml with it take their places.
    def write_description(part: Path) -> None:
        part.write_bytes(_yaml_bytes(tree))
        replace_file(target, write_model)

    def write_model(part: Path) -> None:
        part.write_bytes(model.data)
        write_whole(description.path, without)

    replace_file(description.path, write_description)
    return target


def input_name_of(description: DeployDescription) -> str:
    """Name of the network's only input.

    Raises:
        ConfigError: The file is damaged.
    """
    assert description.onnx is not None
    with _as_config_error(description):
        graph = onnx.load_from_string(description.read(description.onnx)).graph
        return str(graph.input[0].name)


def _yaml_bytes(tree: dict[str, Any]) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress that the histogram methods print, and NumPy's words on NaN: an error follows."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@contextlib.contextmanager
def _as_config_error(description: DeployDescription) -> Iterator[None]:
    """Says which file it was when onnx or ONNX Runtime, whose errors have no common base, stumble."""
    try:
        yield
    except (PaddleSegError, OSError, MemoryError):
        raise
    except Exception as error:
        if _NOT_FINITE in str(error):
            raise WeightsError(
                f"{description.onnx}: its activations are not numbers (NaN) on the calibration pictures: "
                "the weights are damaged, or training diverged; export an earlier checkpoint"
            ) from error
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{description.onnx}: cannot be quantised ({type(error).__name__}: {reason}); "
            "export the model again"
        ) from error


def _optimise(source: bytes, folder: Path) -> Path:
    """Merges batch normalisation and biases into convolutions, and notes the shapes of activations."""
    optimised, prepared = folder / "optimised.onnx", folder / "prepared.onnx"
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.optimized_model_filepath = str(optimised)
    onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
    # Its own optimisation goes on without a word when it fails, and symbolic shapes fail on these networks.
    quant_pre_process(optimised, prepared, skip_optimization=True, skip_symbolic_shape=True)
    return prepared


def _check_opset(model: onnx.ModelProto, description: DeployDescription) -> None:
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    if opset < _LEAST_OPSET:
        raise ConfigError(
            f"{description.onnx}: written for ONNX opset {opset}; scales by channel need "
            f"{_LEAST_OPSET} or later: export the model again with --format onnx"
        )
