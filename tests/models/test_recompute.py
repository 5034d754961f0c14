"""Recomputation changes the memory and nothing else: every comparison here is of bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import pytest
from numpy_network import randomise
from paddle import nn

from paddleseg.errors import ConfigError
from paddleseg.models import ccnet
from paddleseg.models.backbones import ResNet18_vd
from paddleseg.models.base import SegmentationModel
from paddleseg.models.layers import ConvNormAct, Recomputable

IMAGE = np.random.default_rng(3).normal(size=(2, 3, 33, 47)).astype("float32")


class Noisy(nn.Layer):
    """A block with everything that a second run could get wrong; counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvNormAct(4, 4, 3)
        self.dropout = nn.Dropout(0.5)
        self.runs = 0

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        self.runs += 1
        return self.dropout(self.conv(x)) * paddle.rand([1]) + x


class Net(Recomputable):
    """A stem without recomputation, and one block twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, 4, 3)
        self.block = Noisy()

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        for _ in range(2):
            x = self.run_block(self.block, x)
        return [x]


@pytest.fixture
def net() -> Net:
    paddle.seed(1)
    return Net()


@pytest.fixture
def small_ccnet(monkeypatch: pytest.MonkeyPatch) -> ccnet.CCNet:
    """With weights that let gradients through every part, the attention included."""
    monkeypatch.setattr(ccnet, "_INTER_CHANNELS", 16)
    model = ccnet.CCNet(3, ResNet18_vd(output_stride=16), recurrence=2, dropout_prob=0.3)
    randomise(model, seed=4)
    return model


def train(model: nn.Layer, steps: int = 2) -> dict[str, np.ndarray]:
    """Two micro-steps of accumulation; outputs, gradients, running statistics and the next random number."""
    results: dict[str, np.ndarray] = {}
    model.clear_gradients()
    paddle.seed(5)
    for step in range(steps):
        outputs = model(paddle.to_tensor(IMAGE + step))
        sum((output * output).mean() for output in outputs).backward()
        results |= {f"output {step} {place}": output.numpy() for place, output in enumerate(outputs)}
    results["next random number"] = paddle.rand([4]).numpy()
    results |= {f"state {name}": value.numpy() for name, value in model.state_dict().items()}
    named = model.named_parameters()
    return results | {f"gradient {name}": one.grad.numpy() for name, one in named if one.grad is not None}


def with_and_without(model: nn.Layer, enable: Callable[[], None]) -> tuple[dict, dict]:
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    without = train(model)
    model.set_state_dict(state)
    enable()
    return train(model), without


def assert_same_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert np.isfinite(value).all(), name
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_dropout_statistics_and_shared_weights_are_the_same_bits(net: Net) -> None:
    got, expected = with_and_without(net, lambda: setattr(net, "recompute", True))
    assert_same_bits(got, expected)
    # Two micro-steps of two uses, and as many again in backward.
    assert net.block.runs == 4 + 8
    assert np.abs(expected["gradient block.conv._conv.weight"]).max() > 0


def test_ccnet_is_the_same_bits(small_ccnet: ccnet.CCNet) -> None:
    got, expected = with_and_without(small_ccnet, small_ccnet.enable_recompute)
    assert_same_bits(got, expected)
    moving = [
        name for name in expected if name.startswith("gradient") and ("cca" in name or "bb_3_1" in name)
    ]
    assert len(moving) == 7 + 2 * 3
    assert all(np.abs(expected[name]).max() > 0 for name in moving)


def test_every_residual_block_and_every_attention_runs_again(
    small_ccnet: ccnet.CCNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = dict.fromkeys(["_BasicBlock", "CrissCrossAttention", "ConvNormAct"], 0)
    blocks = [layer for layer in small_ccnet.sublayers() if type(layer).__name__ in runs]
    for layer in blocks:
        layer.register_forward_pre_hook(
            lambda layer, _: runs.__setitem__(type(layer).__name__, runs[type(layer).__name__] + 1)
        )
    small_ccnet.enable_recompute()
    outputs = small_ccnet(paddle.to_tensor(IMAGE))
    once = dict(runs)
    assert once == {"_BasicBlock": 8, "CrissCrossAttention": 2, "ConvNormAct": 3 + 16 + 2 + 2}
    sum(output.mean() for output in outputs).backward()
    # The blocks hold 16 of the convolutions; shortcuts have a class of their own.
    assert runs == {"_BasicBlock": 16, "CrissCrossAttention": 4, "ConvNormAct": once["ConvNormAct"] + 16}


def test_evaluation_keeps_nothing_to_run_again(net: Net) -> None:
    net.recompute = True
    net.eval()
    net(paddle.to_tensor(IMAGE))[0].mean().backward()
    assert net.block.runs == 2


def test_momentum_of_the_running_statistics_comes_back(net: Net) -> None:
    net.recompute = True
    train(net, steps=1)
    assert net.block.conv._batch_norm._momentum == 0.9


def test_blocks_behind_a_frozen_stem_still_learn(net: Net) -> None:
    for parameter in net.stem.parameters():
        parameter.stop_gradient = True
    got, expected = with_and_without(net, lambda: setattr(net, "recompute", True))
    assert_same_bits(got, expected)
    assert "gradient block.conv._conv.weight" in expected
    # The second block's input has a gradient, the first one's has not and is not run again.
    assert net.block.runs == 4 + 4 + 2


def test_off_unless_asked_for(small_ccnet: ccnet.CCNet) -> None:
    assert not any(part.recompute for part in small_ccnet.sublayers() if isinstance(part, Recomputable))


def test_a_model_without_such_parts_says_so() -> None:
    class Plain(SegmentationModel):
        def __init__(self) -> None:
            nn.Layer.__init__(self)
            self.conv = nn.Conv2D(3, 2, 1)

    with pytest.raises(ConfigError, match=r"^recompute: true: no part of Plain can be recomputed; remove"):
        Plain().enable_recompute()
