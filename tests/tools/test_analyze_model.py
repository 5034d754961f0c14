"""tools/analyze_model.py: sums by hand for small nets, the package's own counter, and the command line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import paddle
import pytest
from paddle import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import analyze_model as tool
from model_analysis import LayerCost, analyse
from small_task import TinySegmenter
from tool_cases import refusal, succeed

from paddleseg.models.cost import measure_cost
from paddleseg.models.layers import CrissCrossAttention

QUICK_START = "configs/quick_start/ccnet_resnet18_demo.yml"


def by_name(costs: list[LayerCost]) -> dict[str, LayerCost]:
    return {cost.name: cost for cost in costs}


def test_a_small_net_by_hand() -> None:
    model = nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), nn.Conv2D(4, 2, 1)))
    costs = by_name(analyse(model, [2, 3, 5, 6], repeats=1))
    assert list(costs) == ["", "0", "1", "1.0", "1.1"]
    assert [cost.depth for cost in costs.values()] == [0, 1, 1, 2, 2]
    # 2·5·6 = 60 places; 3·9 weights for each of 4 channels, then 4 for each of 2; a bias a channel.
    assert {name: cost.multiply_adds for name, cost in costs.items()} == {
        "": 60 * (4 * 27 + 2 * 4),
        "0": 60 * 4 * 27,
        "1": 60 * 2 * 4,
        "1.0": 0,
        "1.1": 60 * 2 * 4,
    }
    assert costs[""].flops == 2 * 60 * 116
    assert [cost.parameters for cost in costs.values()] == [122, 112, 10, 0, 10]
    assert [cost.parameter_bytes for cost in costs.values()] == [488, 448, 40, 0, 40]
    # float32: 60·4 numbers of the convolution and of the ReLU, 60·2 of the last, which count once.
    assert [cost.output_bytes for cost in costs.values()] == [2400, 960, 1440, 960, 480]
    assert costs[""].output_shape == costs["1.1"].output_shape == [2, 2, 5, 6]
    assert [cost.type for cost in costs.values()] == ["Sequential", "Conv2D", "Sequential", "ReLU", "Conv2D"]


def test_shared_layers_and_parts_for_training_only() -> None:
    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.cca = CrissCrossAttention(16)
            self.norm = nn.BatchNorm2D(16)
            self.auxiliary = nn.Conv2D(16, 3, 1)
            self.register_buffer("table", paddle.zeros([10]))

        def forward(self, x: paddle.Tensor) -> dict[str, list[paddle.Tensor]]:
            x = self.norm(self.cca(self.cca(x)))
            return {"logits": [x, self.auxiliary(x)] if self.training else [x]}

    model = Net()
    costs = by_name(analyse(model, [1, 16, 4, 5], repeats=1))
    assert costs["cca"].calls == 2
    # Convolutions 16→2 (twice) and 16→16 at 20 places; then 4 + 5 − 1 keys of 2 and values of 16.
    assert costs["cca"].multiply_adds == 2 * 20 * (2 * 16 * 2 + 16 * 16 + 8 * (2 + 16))
    assert costs["auxiliary"].calls == costs["auxiliary"].output_bytes == 0
    assert costs["auxiliary"].parameters == 51
    assert costs["auxiliary"].output_shape is None
    assert costs["norm"].parameters == 32
    assert costs["norm"].parameter_bytes == 4 * 64  # with mean and variance
    # Attention: three convolutions with bias, and gamma.
    assert costs[""].parameter_bytes == 4 * ((2 * (32 + 2) + 256 + 16 + 1) + 64 + 51 + 10)
    assert costs[""].output_shape == [1, 16, 4, 5]
    assert costs[""].multiply_adds == costs["cca"].multiply_adds
    assert "not used in evaluation" in tool.table(list(costs.values()))


def test_sums_are_those_of_the_package_s_counter() -> None:
    model = TinySegmenter(4)
    whole = analyse(model, [1, 3, 24, 32], repeats=1)[0]
    cost = measure_cost(model, [1, 3, 24, 32])
    assert whole.multiply_adds == cost.multiply_adds
    assert whole.parameters == cost.trainable
    assert whole.parameter_bytes == 4 * (cost.trainable + cost.buffers)
    assert model.training
    assert not any(
        layer._forward_pre_hooks or layer._forward_post_hooks for layer in model.sublayers(include_self=True)
    )


def test_times_are_those_of_a_layer_with_all_in_it() -> None:
    class Slow(nn.Layer):
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            time.sleep(0.02)
            return x

    model = nn.Sequential(nn.Sequential(Slow(), nn.ReLU()), Slow())
    costs = by_name(analyse(model, [1, 1, 2, 2], repeats=3))
    assert costs["1"].milliseconds >= 20
    assert costs["0.0"].milliseconds >= 20
    assert costs["0"].milliseconds >= costs["0.0"].milliseconds + costs["0.1"].milliseconds - 1
    assert costs[""].milliseconds >= 40
    assert costs["0.1"].milliseconds < 15
    assert costs["1"].output_bytes == 0  # it hands its input on


def test_the_command(root_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--config", root_dir / QUICK_START, "--input_shape", "1", "3", "32", "48", "--repeats", "1"]
    succeed(tool.main, *flags, "--device", "cpu", "--depth", "1", "--json", tmp_path / "new/costs.json")
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split()[:3] == ["Layer", "Type", "Output"]
    assert [row.split()[0] for row in rows[1:4]] == ["(model)", "backbone", "head"]
    assert "input 1×3×32×48, cpu" in "\n".join(rows)
    tree = json.loads((tmp_path / "new/costs.json").read_text())
    assert tree["input_shape"] == [1, 3, 32, 48]
    assert tree["model"]["flops"] == 2 * tree["model"]["multiply_adds"] > 0
    children = [layer for layer in tree["layers"] if layer["depth"] == 1]
    for key in ("multiply_adds", "parameters", "parameter_bytes"):
        assert sum(layer[key] for layer in children) == tree["model"][key]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--config", "no.yml"], "no.yml"),
        ([], "--config"),
        (["--config", QUICK_START, "--input_shape", "1", "4", "32", "32"], "the model takes 3 channels"),
        (["--config", QUICK_START, "--input_shape", "1", "3", "0", "32"], "got 0; expected at least 1"),
        (["--config", QUICK_START, "--input_shap", "1", "3", "9", "9"], "did you mean '--input_shape'?"),
    ],
)
def test_bad_requests(
    flags: list[str],
    expected: str,
    root_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(root_dir)
    assert expected in refusal(tool.main, capsys, *flags)
