"""The mIoU of a trained network before and after quantisation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from small_task import TinySegmenter, write_dataset

from paddleseg.data.images import read_image
from paddleseg.data.masks import read_label
from paddleseg.engine.exporter import export_model
from slim.quant import ptq

CLASSES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose classes are told by colour."""
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def export(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    description = {"transforms": [{"type": "Normalize"}], "num_classes": CLASSES}
    export_model(
        _trained(data),
        folder,
        output_op="none",
        input_shape=None,
        description=description,
        file_format="onnx",
    )
    return folder


def _trained(data: Path) -> TinySegmenter:
    paddle.seed(0)
    model = TinySegmenter(CLASSES, dropout_prob=0.0)
    lines = [line.split() for line in (data / "list.txt").read_text("utf-8").splitlines()]
    pixels = np.stack([read_image(str(data / image)) for image, _ in lines])
    labels = np.stack([read_label(str(data / label)) for _, label in lines])
    images = paddle.to_tensor(pixels.transpose(0, 3, 1, 2) / np.float32(127.5) - 1)
    target = paddle.to_tensor(labels.astype(np.int64))
    optimizer = paddle.optimizer.Adam(0.03, parameters=model.parameters())
    for _ in range(60):
        loss = F.cross_entropy(model(images)[0], target, ignore_index=255, axis=1)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    model.eval()
    return model


@pytest.mark.slow
def test_a_trained_network_keeps_its_accuracy(
    data: Path, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--calibration", str(data / "images"), "--count", "4", "--val_list", str(data / "list.txt")]
    assert ptq.main(["--config", str(export / "deploy.yaml"), *flags]) == 0
    found = re.search(r"mIoU (0\.\d+) in fp32, (0\.\d+) in int8", capsys.readouterr().out)
    assert found
    before, after = float(found[1]), float(found[2])
    assert before > 0.9
    assert abs(after - before) < 0.01
