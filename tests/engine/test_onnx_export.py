"""Conversion to ONNX, with what the converter gets wrong."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
from in_process_conversion import convert_here
from paddle import nn
from small_task import TinySegmenter
from test_static_export import ANY, IMAGE, Slopes, logits_of

from paddleseg.engine.export_check import ExportError
from paddleseg.engine.onnx_export import OnnxModel, onnx_versions, require_onnx_packages, write_onnx
from paddleseg.engine.static_export import StaticModel, write_static
from paddleseg.errors import UsageError


def convert(model: nn.Layer, folder: Path, op: Any = "argmax", shape: Any = ANY) -> Path:
    model.eval()
    write_static(model, folder / "model", shape, output_op=op)
    slopes = StaticModel(folder / "model", output_op=op).leaky_relu_slopes()
    write_onnx(folder / "model", folder / "model.onnx", slopes, output_op=op)
    return folder / "model.onnx"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversion without a process of its own, to save time."""
    convert_here(monkeypatch)


def axes(value: Any) -> list[Any]:
    return [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("op", "name", "shape"),
    [
        ("argmax", "labels", ["N", "H", "W"]),
        ("softmax", "probabilities", ["N", 3, "H", "W"]),
        ("none", "logits", ["N", 3, "H", "W"]),
    ],
)
@pytest.mark.usefixtures("here")
def test_names_and_axes(tmp_path: Path, op: str, name: str, shape: list[Any]) -> None:
    model = TinySegmenter(3)
    path = convert(model, tmp_path, op)
    graph = onnx.load(str(path)).graph
    assert [(one.name, axes(one)) for one in graph.input] == [("x", ["N", 3, "H", "W"])]
    assert [(one.name, axes(one)) for one in graph.output] == [(name, shape)]
    kind = onnx.TensorProto.INT32 if op == "argmax" else onnx.TensorProto.FLOAT
    assert graph.output[0].type.tensor_type.elem_type == kind
    outcome = OnnxModel(path, output_op=op)(IMAGE)  # type: ignore[arg-type]
    logits = logits_of(model)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True) if op == "softmax" else logits
    np.testing.assert_allclose(outcome.scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outcome.labels, logits.argmax(axis=1))


def test_a_clean_graph_of_standard_operators_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = convert(TinySegmenter(3), tmp_path)
    printed = "".join(capfd.readouterr())
    assert "onnx" not in printed.lower(), printed
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    used = {name for node in model.graph.node for name in node.input}
    assert {one.name for one in model.graph.initializer} <= used
    assert {node.domain for node in model.graph.node} == {""}
    assert not {node.op_type for node in model.graph.node} & {"BatchNormalization", "Identity", "Constant"}
    assert onnx_versions() == {"paddle2onnx": metadata.version("paddle2onnx"), "onnx_opset": 17}


@pytest.mark.usefixtures("here")
def test_fixed_axes(tmp_path: Path) -> None:
    graph = onnx.load(str(convert(TinySegmenter(3), tmp_path, shape=(1, 3, 16, None)))).graph
    assert axes(graph.input[0]) == [1, 3, 16, "W"]
    assert axes(graph.output[0]) == [1, 16, "W"]


@pytest.mark.usefixtures("here")
def test_each_leaky_relu_gets_its_own_slope(tmp_path: Path) -> None:
    path = convert(Slopes(), tmp_path, "none")
    # By hand: x ↦ leaky(0.05) − 0.5 ↦ leaky(0.3).
    inner = np.where(IMAGE > 0, IMAGE, 0.05 * IMAGE) - 0.5
    expected = np.where(inner > 0, inner, 0.3 * inner)
    np.testing.assert_allclose(OnnxModel(path, output_op="none")(IMAGE).scores, expected, atol=1e-6)


@pytest.mark.usefixtures("here")
def test_slopes_that_cannot_be_assigned(tmp_path: Path) -> None:
    model = TinySegmenter(3)
    model.eval()
    write_static(model, tmp_path / "model", ANY, output_op="argmax")
    with pytest.raises(ExportError, match="has 1 LeakyReLU operators, the trained one 2"):
        write_onnx(tmp_path / "model", tmp_path / "model.onnx", [0.01, 0.01], output_op="argmax")


class Unconvertible(nn.Layer):
    """An operator that paddle2onnx does not know."""

    in_channels = 3

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [paddle.lgamma(x)]


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    expected = r"cannot convert this model \(.*unsupported operators.*\); use --format paddle"
    with pytest.raises(ExportError, match=expected) as error:
        convert(Unconvertible(), tmp_path)
    assert "\n" not in str(error.value)


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    require_onnx_packages()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "paddle2onnx" else object())
    with pytest.raises(UsageError, match=r"needs paddle2onnx.*pip install 'paddleseg-ccnet\[deploy\]'"):
        require_onnx_packages()
