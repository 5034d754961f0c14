"""Criss-cross attention of the CPU against the function that goes through groups of lines, in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from numpy_network import randomise

from paddleseg.models.layers import CrissCrossAttention, criss_cross_attention
from paddleseg.models.layers.cpu_criss_cross import CpuCrissCrossFunction
from paddleseg.models.layers.matrix_library import has_matrix_library

pytestmark = pytest.mark.skipif(not has_matrix_library(), reason="this build of Paddle does not bring MKL")
CHANNELS = 24


@pytest.fixture
def layer() -> CrissCrossAttention:
    layer = CrissCrossAttention(CHANNELS)
    randomise(layer, seed=3)
    return layer


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether weights were kept, of each call of the CPU's function."""
    calls: list[bool] = []
    apply = CpuCrissCrossFunction.apply

    def spy(*given: object) -> paddle.Tensor:
        calls.append(bool(given[-1]))
        return apply(*given)

    monkeypatch.setattr(criss_cross_attention.CpuCrissCrossFunction, "apply", spy)
    return calls


def differentiated(layer: CrissCrossAttention, x: np.ndarray) -> dict[str, np.ndarray]:
    """Output and gradients, under an upstream that tells all positions apart."""
    layer.clear_gradients()
    image = paddle.to_tensor(x, stop_gradient=False)
    output = layer(image)
    upstream = np.random.default_rng(8).normal(size=x.shape).astype(x.dtype)
    paddle.autograd.backward([output], [paddle.to_tensor(upstream)])
    gradients = {name: one.grad.numpy() for name, one in layer.named_parameters() if one.grad is not None}
    return {"output": output.numpy(), "x": image.grad.numpy(), **gradients}


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "again"])
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (1, 1, 6), (2, 5, 1), (2, 5, 7), (3, 8, 4), (1, 33, 17)], ids=str
)
def test_numbers_equal_those_in_float64(
    size: tuple[int, int, int], keep: bool, layer: CrissCrossAttention, runs: list[bool]
) -> None:
    batch, height, width = size
    x = np.random.default_rng(1).normal(size=(batch, CHANNELS, height, width))
    layer.kept_bytes = layer.kept_bytes if keep else 0
    got = differentiated(layer, x.astype("float32"))
    assert runs == [keep]
    state = {name: value.numpy() for name, value in layer.state_dict().items()}
    paddle.set_default_dtype("float64")
    try:
        oracle = CrissCrossAttention(CHANNELS)
    finally:
        paddle.set_default_dtype("float32")
    oracle.set_state_dict({name: paddle.to_tensor(value.astype("float64")) for name, value in state.items()})
    expected = differentiated(oracle, x)
    assert runs == [keep]  # float64 is not for it
    assert set(got) == set(expected)
    for name, value in expected.items():
        # The key's bias shifts all logits of a pixel alike: its derivative is a sum of rounding errors.
        largest = 10.0 if name == "k_conv.bias" else max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-5 * largest, err_msg=name)


def test_what_is_frozen_gets_no_gradient(layer: CrissCrossAttention, runs: list[bool]) -> None:
    x = np.random.default_rng(2).normal(size=(1, CHANNELS, 3, 4)).astype("float32")
    learning = CrissCrossAttention(CHANNELS)
    learning.set_state_dict(layer.state_dict())
    expected = differentiated(learning, x)
    for part in (layer.q_conv.weight, layer.v_conv.bias, layer.gamma):
        part.stop_gradient = True
    got = differentiated(layer, x)
    assert set(expected) - set(got) == {"q_conv.weight", "v_conv.bias", "gamma"}
    for name, value in got.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert runs == [True, True]


def test_large_images_other_types_and_other_builds_go_through_groups(
    layer: CrissCrossAttention, runs: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(2).normal(size=(2, CHANNELS, 3, 4)).astype("float32")
    weights = 4 * 3 * 4 * (3 + 4)  # bytes of one image
    layer.whole_bytes = weights
    whole = differentiated(layer, x)
    assert len(runs) == 1
    layer.whole_bytes = weights - 1
    in_groups = differentiated(layer, x)
    layer.whole_bytes = weights
    monkeypatch.setattr(criss_cross_attention, "has_matrix_library", lambda: False)
    elsewhere = differentiated(layer, x)
    assert len(runs) == 1
    for name, value in whole.items():
        for other in (in_groups, elsewhere):
            np.testing.assert_allclose(other[name], value, rtol=0, atol=2e-5, err_msg=name)


def test_the_inputs_layout_does_not_matter(layer: CrissCrossAttention) -> None:
    x = np.random.default_rng(2).normal(size=(2, CHANNELS, 3, 4)).astype("float32")
    turned = paddle.to_tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), stop_gradient=False)
    output = layer(turned.transpose([0, 3, 1, 2]))
    output.transpose([0, 2, 3, 1]).backward(paddle.ones(turned.shape))
    image = paddle.to_tensor(x, stop_gradient=False)
    layer(image).backward(paddle.ones(x.shape))
    np.testing.assert_array_equal(turned.grad.numpy(), image.grad.numpy().transpose(0, 2, 3, 1))


def test_inputs_are_left_as_they_are(layer: CrissCrossAttention) -> None:
    x = paddle.randn([2, CHANNELS, 3, 4])
    upstream = paddle.randn(x.shape)
    x.stop_gradient = False
    before = x.numpy().copy(), upstream.numpy().copy(), [one.numpy().copy() for one in layer.parameters()]
    paddle.autograd.backward([layer(x)], [upstream])
    after = x.numpy(), upstream.numpy(), [one.numpy() for one in layer.parameters()]
    for old, new in zip([*before[:2], *before[2]], [*after[:2], *after[2]], strict=True):
        np.testing.assert_array_equal(old, new)


def test_numbers_that_are_not_finite_do_not_vanish_while_gamma_is_0(layer: CrissCrossAttention) -> None:
    layer.gamma.set_value(paddle.zeros([1]))
    layer.v_conv.bias.set_value(paddle.full([CHANNELS], float("nan")))
    assert np.isnan(layer(paddle.randn([1, CHANNELS, 3, 4])).numpy()).all()


def test_an_input_changed_before_backward_is_refused(layer: CrissCrossAttention) -> None:
    image = paddle.randn([1, CHANNELS, 3, 4]) * layer.gamma
    output = layer(image)
    image.scale_(2.0)
    with pytest.raises(OSError, match="changed in place"):
        output.sum().backward()


@pytest.mark.parametrize("full_graph", [True, False])
def test_graphs_are_made_of_the_plain_formula(
    layer: CrissCrossAttention, runs: list[bool], full_graph: bool
) -> None:
    x = paddle.randn([1, CHANNELS, 3, 4])
    with paddle.no_grad():
        expected = layer._plain(x).numpy()
        got = paddle.jit.to_static(layer, full_graph=full_graph)(x).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert runs == [] or not full_graph  # traced from bytecode, the layer is left to eager execution
