"""Criss-cross attention against a loop over pixels in float64, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import paddle
import pytest
from numpy_network import criss_cross, randomise
from paddle.base import core
from paddle.base.framework import _dygraph_tracer

from paddleseg.models.layers import CrissCrossAttention, criss_cross_function

CHANNELS = 16  # queries and keys have 2

# batch, height, width
SIZES = [(1, 1, 1), (2, 3, 5), (1, 7, 7), (2, 1, 6), (1, 5, 1), (1, 4, 9), (3, 2, 2)]
every_size = pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, size)) for size in SIZES])


@pytest.fixture
def _float64() -> Iterator[None]:
    before = paddle.get_default_dtype()
    paddle.set_default_dtype("float64")
    yield
    paddle.set_default_dtype(before)


# Attention weights kept for backward, or computed again.
every_budget = pytest.mark.parametrize("kept_bytes", [1 << 26, 0], ids=["kept", "again"])


def make_case(size: tuple[int, int, int]) -> tuple[CrissCrossAttention, dict[str, np.ndarray], np.ndarray]:
    layer = CrissCrossAttention(CHANNELS)
    state = randomise(layer, seed=3)
    batch, height, width = size
    return layer, state, np.random.default_rng(4).normal(size=(batch, CHANNELS, height, width))


def naive_gradients(
    x: np.ndarray, state: dict[str, np.ndarray], upstream: np.ndarray
) -> dict[str, np.ndarray]:
    """Derivatives of ``sum(upstream · output)`` by the input ("x") and every parameter, pixel by pixel."""
    _, context, attended = criss_cross(x, state)
    flat = {part: state[f"{part}_conv.weight"][:, :, 0, 0] for part in "qkv"}
    values = {
        part: np.einsum("oc,nchw->nohw", flat[part], x) + state[f"{part}_conv.bias"][:, None, None]
        for part in "qkv"
    }
    by = {part: np.zeros_like(value) for part, value in values.items()}
    for (n, i, j), keys, weights in attended:
        by_context = state["gamma"][0] * upstream[n, :, i, j]
        by_weight = np.array([by_context @ values["v"][n, :, row, column] for row, column in keys])
        by_logit = weights * (by_weight - weights @ by_weight)
        for m, (row, column) in enumerate(keys):
            by["v"][n, :, row, column] += weights[m] * by_context
            by["q"][n, :, i, j] += by_logit[m] * values["k"][n, :, row, column]
            by["k"][n, :, row, column] += by_logit[m] * values["q"][n, :, i, j]
    gradients = {"x": upstream.copy(), "gamma": np.array([(upstream * context).sum()])}
    for part in "qkv":
        gradients["x"] += np.einsum("oc,nohw->nchw", flat[part], by[part])
        gradients[f"{part}_conv.weight"] = np.einsum("nohw,nchw->oc", by[part], x)[:, :, None, None]
        gradients[f"{part}_conv.bias"] = by[part].sum(axis=(0, 2, 3))
    return gradients


def test_the_oracles_derivatives_are_its_central_differences() -> None:
    _, state, x = make_case((2, 2, 3))
    upstream = np.random.default_rng(5).normal(size=x.shape)
    gradients = naive_gradients(x, state, upstream)
    inputs = {"x": x, **state}
    assert set(gradients) == set(inputs)
    rng = np.random.default_rng(6)
    for name, value in inputs.items():
        direction = rng.normal(size=value.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = {**inputs, name: value + step * direction}
            ends.append((upstream * criss_cross(moved["x"], moved)[0]).sum())
        slope = (ends[0] - ends[1]) / 2e-5
        assert (gradients[name] * direction).sum() == pytest.approx(slope, rel=1e-6, abs=1e-7), name


# Logits and softmax are float32 whatever the input is: that bounds the agreement.
@pytest.mark.usefixtures("_float64")
@every_size
@every_budget
def test_forward_equals_the_loop(size: tuple[int, int, int], kept_bytes: int) -> None:
    layer, state, x = make_case(size)
    layer.kept_bytes = kept_bytes
    output = layer(paddle.to_tensor(x))
    assert output.dtype == paddle.float64
    np.testing.assert_allclose(output.numpy(), criss_cross(x, state)[0], rtol=0, atol=2e-6)


@pytest.mark.usefixtures("_float64")
@every_size
@every_budget
def test_gradients_equal_the_loop(size: tuple[int, int, int], kept_bytes: int) -> None:
    layer, state, x = make_case(size)
    layer.kept_bytes = kept_bytes
    upstream = np.random.default_rng(8).normal(size=x.shape)
    image = paddle.to_tensor(x, stop_gradient=False)
    (layer(image) * paddle.to_tensor(upstream)).sum().backward()
    expected = naive_gradients(x, state, upstream)
    got = {"x": image.grad.numpy(), **{name: p.grad.numpy() for name, p in layer.named_parameters()}}
    assert set(got) == set(expected)
    for name, gradient in expected.items():
        # The key's bias shifts all logits of a pixel alike, so its derivative is 0 up to rounding.
        np.testing.assert_allclose(got[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)


def test_float32_forward_equals_the_loop() -> None:
    layer, state, x = make_case((2, 5, 7))
    x = x.astype("float32")
    output = layer(paddle.to_tensor(x))
    assert output.dtype == paddle.float32
    np.testing.assert_allclose(output.numpy(), criss_cross(x.astype("float64"), state)[0], atol=1e-5)


def test_equal_keys_give_the_mean_over_the_cross_with_the_pixel_once() -> None:
    layer = CrissCrossAttention(8)
    values = np.zeros((1, 8, 2, 3), dtype="float32")
    values[0, 0] = [[1, 2, 3], [4, 5, 6]]
    identity = np.eye(8, dtype="float32")[:, :, None, None]
    for conv in (layer.q_conv, layer.k_conv):
        conv.weight.set_value(paddle.zeros_like(conv.weight))
    layer.v_conv.weight.set_value(identity)
    layer.v_conv.bias.set_value(paddle.zeros_like(layer.v_conv.bias))
    layer.gamma.set_value(np.array([1.0], dtype="float32"))
    context = layer(paddle.to_tensor(values)).numpy() - values
    # Crosses of 2 + 3 − 1 = 4 pixels; of the first: 1 + 2 + 3 + 4.
    expected = [[10 / 4, 11 / 4, 12 / 4], [16 / 4, 17 / 4, 18 / 4]]
    np.testing.assert_allclose(context[0, 0], expected, rtol=1e-6)


@every_size
def test_a_new_module_is_the_identity(size: tuple[int, int, int]) -> None:
    layer = CrissCrossAttention(CHANNELS)
    x = np.random.default_rng(9).normal(size=(size[0], CHANNELS, *size[1:])).astype("float32")
    np.testing.assert_array_equal(layer.gamma.numpy(), [0.0])
    np.testing.assert_array_equal(layer(paddle.to_tensor(x)).numpy(), x)


def test_once_reaches_the_cross_and_twice_the_whole_image() -> None:
    layer, _, x = make_case((1, 4, 5))
    for times, reached in ((1, 4 + 5 - 1), (2, 4 * 5)):
        image = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
        output = image
        for _ in range(times):
            output = layer(output)
        output[0, :, 2, 1].sum().backward()
        seen = np.abs(image.grad.numpy()[0]).max(axis=0) > 0
        assert seen.sum() == reached
        assert seen[2].all()
        assert seen[:, 1].all()


def test_huge_logits_stay_finite() -> None:
    layer, _, x = make_case((1, 3, 4))
    image = paddle.to_tensor((x * 1e8).astype("float32"), stop_gradient=False)
    output = layer(image)
    output.sum().backward()
    assert np.isfinite(output.numpy()).all()
    assert np.isfinite(image.grad.numpy()).all()


@every_budget
def test_gradients_near_the_largest_number_are_finite_while_gamma_is_0(kept_bytes: int) -> None:
    """All but gamma's, as those of the plain formula: gamma counts before anything is summed."""
    layer, _, x = make_case((2, 5, 7))
    layer.kept_bytes = kept_bytes
    layer.gamma.set_value(paddle.zeros([1]))
    image = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
    layer(image).backward(paddle.full(x.shape, 8e36))
    np.testing.assert_array_equal(image.grad.numpy(), np.full(x.shape, 8e36, dtype="float32"))
    for name, parameter in layer.named_parameters():
        if name != "gamma":
            np.testing.assert_array_equal(parameter.grad.numpy(), np.zeros(parameter.shape), err_msg=name)


def test_a_batch_without_images() -> None:
    assert CrissCrossAttention(CHANNELS)(paddle.zeros([0, CHANNELS, 4, 5])).shape == [0, CHANNELS, 4, 5]


@pytest.mark.parametrize("kept_bytes", [1 << 26, 0], ids=["kept", "again"])
@pytest.mark.parametrize("group_bytes", [0, 2 * 7 * (7 + CHANNELS) * 4], ids=["one line", "two or more"])
def test_groups_change_nothing_but_rounding(
    kept_bytes: int, group_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, _, x = make_case((2, 5, 7))
    together = differentiated(layer, x)
    layer.kept_bytes, layer.whole_bytes = kept_bytes, 0
    monkeypatch.setattr(criss_cross_function, "_GROUP_BYTES", group_bytes)
    for name, value in differentiated(layer, x).items():
        np.testing.assert_allclose(value, together[name], rtol=0, atol=2e-5, err_msg=name)


def differentiated(layer: CrissCrossAttention, x: np.ndarray) -> dict[str, np.ndarray]:
    """Output and gradients in float32, under an upstream that tells all positions apart."""
    layer.clear_gradients()
    image = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
    output = layer(image)
    output.backward(paddle.to_tensor(np.random.default_rng(8).normal(size=x.shape).astype("float32")))
    gradients = {name: parameter.grad.numpy() for name, parameter in layer.named_parameters()}
    return {"output": output.numpy(), "x": image.grad.numpy(), **gradients}


def test_a_layer_with_hooks_is_the_plain_formula_of_its_convolutions() -> None:
    layer, _, x = make_case((2, 4, 5))
    fast = differentiated(layer, x)
    shapes = []
    layer.k_conv.register_forward_post_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    plain = differentiated(layer, x)
    assert shapes == [(2, CHANNELS // 8, 4, 5)]
    for name, value in fast.items():
        np.testing.assert_allclose(value, plain[name], rtol=0, atol=2e-5, err_msg=name)


def test_mixed_precision_computes_in_its_type_and_answers_in_the_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Paddle has no half-precision products on a CPU: here the lower type is float32, the input float64."""
    monkeypatch.setattr(paddle, "is_autocast_enabled", lambda: True)
    monkeypatch.setattr(paddle, "get_autocast_dtype", lambda: "float32")
    layer, state, x = make_case((2, 3, 5))
    image = paddle.to_tensor(x, stop_gradient=False)
    assert image.dtype == paddle.float64
    output = layer(image)
    output.sum().backward()
    assert output.dtype == image.grad.dtype == paddle.float64
    assert {parameter.grad.dtype for parameter in layer.parameters()} == {paddle.float32}
    error = np.abs(output.numpy() - criss_cross(x, state)[0]).max()
    assert 1e-9 < error < 1e-5  # so it was float32


def test_parameters() -> None:
    shapes = {name: tuple(p.shape) for name, p in CrissCrossAttention(512).named_parameters()}
    assert shapes == {
        "q_conv.weight": (64, 512, 1, 1),
        "q_conv.bias": (64,),
        "k_conv.weight": (64, 512, 1, 1),
        "k_conv.bias": (64,),
        "v_conv.weight": (512, 512, 1, 1),
        "v_conv.bias": (512,),
        "gamma": (1,),
    }


@pytest.mark.parametrize("channels", [-8, 0, 4, 12])
def test_channels_that_do_not_divide_by_8_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=rf"^in_channels must be a positive multiple of 8, got {channels}$"):
        CrissCrossAttention(channels)


def test_logits_and_softmax_are_outside_of_mixed_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paddle casts nothing on a CPU, but its tracer knows the level that a GPU would obey."""
    tracer, levels = _dygraph_tracer(), {}
    attention = CrissCrossAttention._attention

    def spy(query: paddle.Tensor, key: paddle.Tensor) -> paddle.Tensor:
        levels["inside"] = tracer._amp_level
        assert (query.dtype, key.dtype) == (paddle.float32, paddle.float32)
        return attention(query, key)

    layer = CrissCrossAttention(CHANNELS)
    monkeypatch.setattr(CrissCrossAttention, "_attention", staticmethod(spy))
    monkeypatch.setattr(tracer, "_amp_dtype", "bfloat16")
    monkeypatch.setattr(tracer, "_amp_level", core.AmpLevel.O2)
    for convolution in (layer.q_conv, layer.k_conv):
        convolution.register_forward_post_hook(lambda _, __, output: output.astype("bfloat16"))
    layer.v_conv.register_forward_post_hook(lambda *_: levels.update(around=tracer._amp_level))
    output = layer(paddle.ones([1, CHANNELS, 2, 3]))
    assert levels == {"around": core.AmpLevel.O2, "inside": core.AmpLevel.O0}
    assert tracer._amp_level == core.AmpLevel.O2
    assert output.dtype == paddle.float32
