"""CCNet itself, exported and quantised, on photographs."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import paddle
import pytest
from onnx import numpy_helper

from paddleseg.engine.exporter import export_model
from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet18_vd
from slim.quant import ptq


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random weights: which class wins is no matter here."""
    folder = tmp_path_factory.mktemp("ccnet")
    paddle.seed(0)
    model = CCNet(11, ResNet18_vd(output_stride=8), recurrence=2, align_corners=True)
    for name, value in model.state_dict().items():
        if name.endswith("gamma"):  # begins at 0, without attention
            value.set_value(paddle.full(value.shape, 0.05))
    transforms = [{"type": "Resize", "target_size": [96, 72]}, {"type": "Normalize"}]
    description = {"transforms": transforms, "num_classes": 11}
    export_model(
        model, folder, output_op="none", input_shape=None, description=description, file_format="onnx"
    )
    return folder


@pytest.mark.slow
def test_ccnet_keeps_its_labels_and_its_attention(
    export: Path, shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shared_dir / "data" / "camvid" / "train.txt"
    flags = ["--calibration", str(images), "--count", "4"]
    assert ptq.main(["--config", str(export / "deploy.yaml"), *flags]) == 0
    equal = re.search(r"equal labels ([\d.]+)%", capsys.readouterr().out)
    assert equal
    assert float(equal[1]) > 95
    _check_graph(onnx.load(str(export / "model_int8.onnx")).graph)


def _check_graph(graph: onnx.GraphProto) -> None:
    makers = {name: node for node in graph.node for name in node.output}
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantised = [node for node in convolutions if node.input[1] in makers]
    # All but the first and the classifier; attention's three are there for each of two rounds.
    assert len(convolutions) - len(quantised) == 2
    assert len(quantised) == 31
    for node in quantised:
        weight, scale, _ = (values[name] for name in makers[node.input[1]].input)
        assert scale.shape == weight.shape[:1]
    for node in graph.node:
        if node.op_type == "Softmax":
            assert makers[node.input[0]].op_type != "DequantizeLinear"
