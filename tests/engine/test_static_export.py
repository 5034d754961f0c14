"""Static graphs in Paddle's current and old format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from small_task import TinySegmenter

from paddleseg.engine.export_check import ExportError
from paddleseg.engine.static_export import StaticModel, write_static

ANY = (None, 3, None, None)
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 17, 26), dtype=np.float32)


@pytest.fixture(scope="module")
def tiny() -> TinySegmenter:
    paddle.seed(1)
    model = TinySegmenter(3)
    model.eval()
    return model


def logits_of(model: nn.Layer) -> np.ndarray:
    with paddle.no_grad():
        return np.asarray(model(paddle.to_tensor(IMAGE))[0].numpy())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("op", ["argmax", "softmax", "none"])
def test_scores_stay_in_reach(tmp_path: Path, tiny: TinySegmenter, op: Any, legacy: bool) -> None:
    path = tmp_path / "folder" / "model"
    write_static(tiny, path, ANY, output_op=op, legacy=legacy)
    program = "model.pdmodel" if legacy else "model.json"
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([program, "model.pdiparams"])
    outcome = StaticModel(path, output_op=op, legacy=legacy)(IMAGE)
    logits = logits_of(tiny)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True) if op == "softmax" else logits
    np.testing.assert_allclose(outcome.scores, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outcome.labels, logits.argmax(axis=1))
    assert outcome.labels.dtype == (np.int32 if op == "argmax" else np.int64)
    assert paddle.in_dynamic_mode()


def test_files_are_run_and_not_the_model_in_memory(tmp_path: Path) -> None:
    paddle.seed(1)
    model = TinySegmenter(3)
    model.eval()
    before = logits_of(model)
    write_static(model, tmp_path / "model", ANY, output_op="none")
    model.classifier.bias.set_value(model.classifier.bias + 1)
    scores = StaticModel(tmp_path / "model", output_op="none")(IMAGE).scores
    np.testing.assert_allclose(scores, before, rtol=1e-5, atol=1e-6)


def test_paddle_reads_the_old_format_as_its_manual_says(tmp_path: Path, tiny: TinySegmenter) -> None:
    write_static(tiny, tmp_path / "model", ANY, output_op="argmax", legacy=True)
    np.save(tmp_path / "image.npy", IMAGE)
    program = (
        "import sys, numpy, paddle\n"
        "folder = sys.argv[1]\n"
        "model = paddle.jit.load(folder + '/model')\n"
        "model.eval()\n"
        "labels = model(paddle.to_tensor(numpy.load(folder + '/image.npy')))\n"
        "numpy.save(folder + '/labels.npy', labels.numpy())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "FLAGS_enable_pir_api": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    labels = np.load(tmp_path / "labels.npy")
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, logits_of(tiny).argmax(axis=1))


class Slopes(nn.Layer):
    """Two LeakyReLUs that differ, the second applied first."""

    in_channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LeakyReLU(0.3), nn.LeakyReLU(0.05)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.first(self.second(x) - 0.5)]


def test_slopes_in_the_order_of_the_program(tmp_path: Path) -> None:
    model = Slopes()
    model.eval()
    write_static(model, tmp_path / "model", ANY, output_op="argmax")
    slopes = StaticModel(tmp_path / "model", output_op="argmax").leaky_relu_slopes()
    assert slopes == pytest.approx([0.05, 0.3])


class Gelu(nn.Layer):
    """An operator that Paddle 3.3 no longer puts into old programs."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [F.gelu(x)]


class DataDriven(nn.Layer):
    """Leaves the graph."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [paddle.to_tensor(np.sort(x.numpy(), axis=1))]


@pytest.mark.parametrize(
    ("model", "legacy", "message"),
    [
        (Gelu(), True, r"in its old format: .*gelu.*; use --format paddle or onnx \(nothing was written\)"),
        (DataDriven(), False, "in its static format: "),
    ],
)
def test_a_model_that_the_format_cannot_hold(
    tmp_path: Path, model: nn.Layer, legacy: bool, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        write_static(model, tmp_path / "model", ANY, output_op="argmax", legacy=legacy)
    assert "\n" not in str(caught.value)
    assert paddle.in_dynamic_mode()
    write_static(TinySegmenter(3), tmp_path / "after", ANY, output_op="argmax", legacy=legacy)
