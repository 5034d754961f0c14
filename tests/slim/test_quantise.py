"""The numbers in a quantised model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper
from tiny_onnx import EPSILON, weights, write_export, write_pictures

from deploy.python.description import read_description
from paddleseg.engine.predictor import find_images
from slim.quant.calibration import CalibrationPictures
from slim.quant.quantise import input_name_of, quantise


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> onnx.GraphProto:
    """The quantised network."""
    return quantised(tmp_path_factory.mktemp("quantised"))


def quantised(folder: Path, *, reduce_range: bool = False) -> onnx.GraphProto:
    description = read_description(write_export(folder / "export"))
    images = find_images(str(write_pictures(folder / "pictures", count=2)))
    pictures = CalibrationPictures(description, images, input_name=input_name_of(description))
    model = quantise(description, pictures, method="minmax", reduce_range=reduce_range)
    return onnx.load_from_string(model.data).graph


def quantised_weight(
    graph: onnx.GraphProto, convolution: str
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.int8], int]:
    """Eight-bit weight, scale, zero point and axis of a convolution."""
    makers = {node.output[0]: node for node in graph.node}
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    node = next(one for one in graph.node if one.name == convolution)
    back = makers[node.input[1]]
    assert back.op_type == "DequantizeLinear"
    axis = next(one.i for one in back.attribute if one.name == "axis")
    weight, scale, zero = (values[name] for name in back.input)
    return weight, scale, zero, axis


@pytest.mark.parametrize("convolution", ["second", "third"])
def test_each_channel_has_a_scale_of_its_own(graph: onnx.GraphProto, convolution: str) -> None:
    values = {name: value.astype(np.float64) for name, value in weights().items()}
    factor = values["gain"] / np.sqrt(values["variance"] + EPSILON)
    expected = {
        "second": values["w1"] * factor.reshape(-1, 1, 1, 1),  # batch normalisation is part of it
        "third": values["w2"],
    }[convolution]
    weight, scale, zero, axis = quantised_weight(graph, convolution)
    largest = np.abs(expected).max(axis=(1, 2, 3))
    assert axis == 0
    assert weight.dtype == np.int8
    assert not zero.any()
    np.testing.assert_allclose(scale, largest / 127, rtol=1e-5)
    # Rounding moves a weight by half a step at most.
    error = np.abs(weight * scale.astype(np.float64).reshape(-1, 1, 1, 1) - expected)
    assert (error <= 0.5001 * scale.reshape(-1, 1, 1, 1)).all()


def test_seven_bits_for_processors_that_overflow(tmp_path: Path) -> None:
    weight = quantised_weight(quantised(tmp_path, reduce_range=True), "third")[0]
    assert np.abs(weight.astype(int)).max() == 64


def test_activations_are_unsigned_and_cover_what_the_pictures_gave(graph: onnx.GraphProto) -> None:
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    activations = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert activations
    for node in activations:
        scale, zero = values[node.input[1]], values[node.input[2]]
        assert zero.dtype == np.uint8
        assert scale.shape == ()
        assert scale > 0


def test_attention_and_the_outer_convolutions_stay_in_float(graph: onnx.GraphProto) -> None:
    makers = {name: node for node in graph.node for name in node.output}
    in_eight_bits = {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in makers  # its weight is dequantised
    }
    convolutions = {node.name for node in graph.node if node.op_type == "Conv"}
    assert convolutions == {"first", "second", "third", "classifier"}
    assert in_eight_bits == {"second", "third"}
    # The second convolution's output has been in eight bits once; the sums of attention have not.
    weights_of_attention = next(node for node in graph.node if node.op_type == "Softmax")
    assert makers[weights_of_attention.input[0]].op_type == "MatMul"
    residual = next(node for node in graph.node if node.op_type == "Add")
    assert makers[residual.input[0]].op_type == "MatMul"
