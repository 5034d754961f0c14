"""A static graph as ONNX, with the faults of the conversion put right."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg.engine.export_check import ExportError, Floats, Outcome, OutputOp
from paddleseg.engine.static_export import INPUT_NAME
from paddleseg.errors import UsageError

__all__ = ["OnnxModel", "onnx_versions", "require_onnx_packages", "write_onnx"]

_OPSET = 17
_PACKAGES = ("paddle2onnx", "onnx", "onnxruntime")
_OUTPUT_NAMES: dict[OutputOp, str] = {"argmax": "labels", "softmax": "probabilities", "none": "logits"}
_SCORES = "logits"
_ERRORS_ONLY = 3
_CONVERSION = (
    "import sys, paddle2onnx\n"
    "*files, opset = sys.argv[1:]\n"
    "paddle2onnx.export(\n"
    "    *files, opset_version=int(opset), auto_upgrade_opset=False, optimize_tool='none'\n"
    ")\n"
)
_COMPLAINT = re.compile(r"\[ERROR\]|^\w*Error: ")


def require_onnx_packages() -> None:
    """Makes sure that the conversion and its check can run.

    Raises:
        UsageError: A package is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"ONNX needs {', '.join(missing)}, not installed here: pip install 'paddleseg-ccnet[deploy]', or "
            "use --format paddle"
        )


def onnx_versions() -> dict[str, Any]:
    """What an ONNX file was made with, for deploy.yaml."""
    return {"paddle2onnx": metadata.version("paddle2onnx"), "onnx_opset": _OPSET}


def write_onnx(source: Path, target: Path, slopes: Sequence[float], *, output_op: OutputOp) -> None:
    """Converts a program of Paddle's current format.

    paddle2onnx 2.1 writes LeakyReLU with a slope that it never read; here each gets the program's. ONNX
    Runtime's basic optimisation then removes what is not used and joins convolutions with their
    normalisation, in operators of the ONNX standard only.

    Args:
        source: Path of the program without suffix.
        target: The file to write. Its input is ``x``, its output ``labels``, ``probabilities`` or ``logits``,
            its dynamic axes are N, H and W.
        slopes: Those of the program's LeakyReLU operators, in order.
        output_op: What the program returns.

    Raises:
        ExportError: The model cannot be converted.
        OSError: The file cannot be written.
    """
    import onnx

    _convert(source, target)
    model = onnx.load(str(target))
    _set_slopes(model, slopes)
    model = _simplified(model, target)
    _name_ends(model, output_op)
    _drop_other_domains(model)
    model.producer_name, model.graph.name = "paddleseg", "segmentation"
    onnx.save(model, str(target))


def _convert(source: Path, target: Path) -> None:
    """Runs paddle2onnx in a process of its own: it prints a lot, and it aborts on what it does not know."""
    files = [f"{source}.json", f"{source}.pdiparams", str(target)]
    command = [sys.executable, "-c", _CONVERSION, *files, str(_OPSET)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 or not target.is_file():
        complaints = [line.strip() for line in done.stderr.splitlines() if _COMPLAINT.search(line)]
        reason = complaints[-1] if complaints else f"exit status {done.returncode}"
        raise ExportError(
            f"paddle2onnx cannot convert this model ({reason}); use --format paddle (nothing was written)"
        )


def _set_slopes(model: Any, slopes: Sequence[float]) -> None:
    import onnx

    nodes = [node for node in model.graph.node if node.op_type == "LeakyRelu"]
    if len(nodes) != len(slopes):
        raise ExportError(
            f"the converted model has {len(nodes)} LeakyReLU operators, the trained one {len(slopes)}: their "
            "slopes cannot be told apart; use --format paddle (nothing was written)"
        )
    for node, slope in zip(nodes, slopes, strict=True):
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("alpha", slope))


def _simplified(model: Any, scratch: Path) -> Any:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(scratch)
    options.log_severity_level = _ERRORS_ONLY
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        simplified = onnx.load(str(scratch))
        onnx.checker.check_model(simplified, full_check=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ExportError(
            f"ONNX Runtime cannot open the converted model ({error}); use --format paddle (nothing was "
            "written)"
        ) from error
    return simplified


def _name_ends(model: Any, output_op: OutputOp) -> None:
    """Gives the ends of the graph, and the scores before its argmax, the names that users expect."""
    graph = model.graph
    (output,) = graph.output
    _rename(graph, output.name, _OUTPUT_NAMES[output_op])
    if output_op == "argmax":
        _rename(graph, _argmax_input(graph), _SCORES)
    for value in (*graph.input, *graph.output):
        axes = ("N", "C", "H", "W") if len(value.type.tensor_type.shape.dim) == 4 else ("N", "H", "W")
        for dimension, name in zip(value.type.tensor_type.shape.dim, axes, strict=True):
            if not dimension.dim_value:
                dimension.dim_param = name


def _argmax_input(graph: Any) -> str:
    return str([node.input[0] for node in graph.node if node.op_type == "ArgMax"][-1])


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in graph.output:
        if value.name == old:
            value.name = new


def _drop_other_domains(model: Any) -> None:
    """ONNX Runtime lists every set of operators that it knows; other engines trip over them."""
    used = {node.domain for node in model.graph.node}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


class OnnxModel:
    """A file of :func:`write_onnx` in ONNX Runtime on the CPU, with the scores before the argmax in reach.

    Args:
        path: The file.
        output_op: What it returns.
    """

    def __init__(self, path: Path, *, output_op: OutputOp) -> None:
        import onnx
        import onnxruntime

        model = onnx.load(str(path))
        if output_op == "argmax":
            scores = onnx.helper.make_tensor_value_info(_SCORES, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(scores)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, image: Floats) -> Outcome:
        """Runs the model.

        Args:
            image: N×C×H×W float32.
        """
        output, *scores = self._session.run(None, {INPUT_NAME: image})
        if scores:
            return Outcome(scores[0], output)
        return Outcome(output, np.argmax(output, axis=1))
