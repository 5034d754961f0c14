"""CCNet in every file format, on every engine, against the trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from deploy.python.description import read_description
from deploy.python.engines import PaddleOptions, make_engine
from paddleseg.engine.onnx_export import write_onnx
from paddleseg.engine.static_export import StaticModel, write_static
from paddleseg.models.backbones import ResNet18_vd
from paddleseg.models.ccnet import CCNet

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 33, 47), dtype=np.float32)
FILES = {
    "paddle": {"model": "model.json", "params": "model.pdiparams"},
    "legacy": {"model": "model.pdmodel", "params": "model.pdiparams"},
    "onnx": {"onnx": "model.onnx"},
}
RUNS = [
    *(("paddle", file_format, onednn) for file_format in ("paddle", "legacy") for onednn in (True, False)),
    ("onnxruntime", "onnx", True),
    ("openvino", "onnx", True),
]


def ccnet(recurrence: int, *, align_corners: bool) -> CCNet:
    """The network on two stages of ResNet18; its attention counts, which it does not before training."""
    paddle.seed(3)
    model = CCNet(
        5,
        ResNet18_vd(num_stages=2),
        backbone_indices=(0, 1),
        recurrence=recurrence,
        align_corners=align_corners,
    )
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            parameter.set_value(paddle.full_like(parameter, 0.5))
    model.eval()
    return model


@pytest.fixture(
    scope="module",
    # Four of the eight: aligned corners concern the last layer only, which no recurrence changes.
    params=[(0, False), (1, True), (2, False), (3, True)],
    ids=lambda param: f"R{param[0]}-align{param[1]}",
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with the network in each format, and the labels of the network itself."""
    recurrence, align_corners = request.param
    model = ccnet(recurrence, align_corners=align_corners)
    folder = tmp_path_factory.mktemp("ccnet")
    for name in ("paddle", "legacy"):
        write_static(
            model,
            folder / name / "model",
            [None, 3, None, None],
            output_op="argmax",
            legacy=name == "legacy",
        )
    (folder / "onnx").mkdir()
    source = folder / "paddle" / "model"
    slopes = StaticModel(source, output_op="argmax").leaky_relu_slopes()
    write_onnx(source, folder / "onnx" / "model.onnx", slopes, output_op="argmax")
    for name, files in FILES.items():
        deploy = {**files, "input_shape": [-1, 3, -1, -1], "output_op": "argmax", "num_classes": 5}
        (folder / name / "deploy.yaml").write_text(yaml.safe_dump({"Deploy": deploy}), encoding="utf-8")
    with paddle.no_grad():
        labels = model(paddle.to_tensor(IMAGES))[0].argmax(axis=1).numpy()
    return folder, labels


@pytest.mark.parametrize(("engine", "file_format", "onednn"), RUNS)
def test_labels_are_those_of_the_trained_network(
    engine: str, file_format: str, onednn: bool, exported: tuple[Path, Any]
) -> None:
    folder, expected = exported
    options = PaddleOptions(enable_mkldnn=onednn)
    loaded = make_engine(read_description(folder / file_format), engine=engine, threads=2, paddle=options)
    label = loaded.run(IMAGES)
    assert len(np.unique(expected)) > 1, "a comparison worth making"
    assert np.mean(label == expected) >= 0.9999
