"""The unit of convolution, batch norm and activation."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from numpy_network import convolve, randomise, unit

from paddleseg.models.layers import ConvNormAct


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "bias", "activation", "slope"),
    [
        (1, 1, 1, False, "relu", 0.0),
        (3, 1, 1, True, "relu", 0.0),
        (3, 2, 1, False, "none", None),
        (3, 1, 4, False, "leaky_relu", 0.01),
        (5, 2, 2, True, "leaky_relu", 0.01),
    ],
)
def test_evaluation_equals_numpy(
    kernel: int, stride: int, dilation: int, bias: bool, activation: str, slope: float | None
) -> None:
    layer = ConvNormAct(2, 3, kernel, stride=stride, dilation=dilation, bias=bias, activation=activation)
    state = randomise(layer, seed=1)
    assert ("_conv.bias" in state) == bias
    layer.eval()
    x = np.random.default_rng(2).normal(size=(2, 2, 7, 10)).astype("float32")
    expected = unit(
        x.astype("float64"), {f"u.{k}": v for k, v in state.items()}, "u", stride, dilation, slope
    )
    got = layer(paddle.to_tensor(x)).numpy()
    assert got.shape == (2, 3, -(-7 // stride), -(-10 // stride))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_training_normalises_by_the_batch_and_keeps_a_tenth_of_it() -> None:
    layer = ConvNormAct(2, 3, 3, activation="none")
    state = randomise(layer, seed=3)
    x = np.random.default_rng(4).normal(size=(2, 2, 5, 6)).astype("float32")
    got = layer(paddle.to_tensor(x)).numpy()
    y = convolve(x.astype("float64"), state["_conv.weight"])
    mean, variance = y.mean(axis=(0, 2, 3)), y.var(axis=(0, 2, 3))
    scale, shift = (state[f"_batch_norm.{part}"][:, None, None] for part in ("weight", "bias"))
    normal = (y - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    np.testing.assert_allclose(got, normal * scale + shift, atol=1e-5)
    for name, value in (("_mean", mean), ("_variance", variance)):
        kept = getattr(layer._batch_norm, name).numpy()
        np.testing.assert_allclose(kept, 0.9 * state[f"_batch_norm.{name}"] + 0.1 * value, rtol=1e-5)


def test_a_constant_channel_is_divided_by_the_root_of_epsilon() -> None:
    layer = ConvNormAct(1, 1, 1, activation="none")
    layer._conv.weight.set_value(paddle.ones([1, 1, 1, 1]))
    layer._batch_norm._variance.set_value(paddle.zeros([1]))
    layer.eval()
    got = layer(paddle.full([1, 1, 1, 1], 2.0)).item()
    assert got == pytest.approx(632.4555320336759, rel=1e-6)  # 2 / √1e-5
