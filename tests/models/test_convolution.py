"""Convolution by products of shifted images against Paddle's, in float64."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddleseg.models.layers import ConvNormAct, convolution
from paddleseg.models.layers.convolution import Convolution, ShiftedConvolution
from paddleseg.models.layers.matrix_library import has_matrix_library

needs_library = pytest.mark.skipif(not has_matrix_library(), reason="this build of Paddle does not bring MKL")


def results(
    x: np.ndarray, weight: np.ndarray, dilation: int, *, shifted: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output, and derivatives by input and weight under an upstream that tells all positions apart."""
    image, kernel = (paddle.to_tensor(one, stop_gradient=False) for one in (x, weight))
    if shifted:
        output = ShiftedConvolution.apply(image, kernel, dilation)
    else:
        output = F.conv2d(image, kernel, padding=dilation * (weight.shape[2] // 2), dilation=dilation)
    upstream = np.random.default_rng(5).normal(size=output.shape).astype(x.dtype)
    paddle.autograd.backward([output], [paddle.to_tensor(upstream)])
    return output.numpy(), image.grad.numpy(), kernel.grad.numpy()


@needs_library
@pytest.mark.parametrize(
    "shape", [(1, 3, 1, 1), (2, 3, 1, 7), (1, 4, 9, 1), (3, 5, 6, 11), (2, 1, 13, 8)], ids=str
)
@pytest.mark.parametrize(("side", "dilation"), [(3, 1), (3, 2), (3, 5), (5, 1), (5, 3), (1, 1)])
def test_numbers_equal_paddles_in_float64(shape: tuple[int, int, int, int], side: int, dilation: int) -> None:
    generator = np.random.default_rng(side + dilation)
    x, weight = generator.normal(size=shape), generator.normal(size=(4, shape[1], side, side))
    expected = results(x, weight, dilation, shifted=False)
    got = results(x.astype("float32"), weight.astype("float32"), dilation, shifted=True)
    for name, one, other in zip(("output", "by x", "by weight"), got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5, err_msg=name)


@needs_library
def test_what_memory_held_before_does_not_show() -> None:
    """Margins are zeros, whatever lies there; numbers next to them are not read."""
    x, weight = paddle.ones([1, 2, 5, 4]), paddle.ones([3, 2, 3, 3])
    clean = ShiftedConvolution.apply(x, weight, 1).numpy()
    for _ in range(5):
        blocks = [paddle.full([size], float("nan")) for size in range(20, 400, 20)]
        del blocks
        x.stop_gradient = weight.stop_gradient = False
        output = ShiftedConvolution.apply(x, weight, 1)
        np.testing.assert_array_equal(output.numpy(), clean)
        by_x, by_weight = paddle.grad([output], [x, weight], [paddle.ones_like(output)])
        assert np.isfinite(by_x.numpy()).all()
        assert np.isfinite(by_weight.numpy()).all()


@needs_library
@pytest.mark.parametrize("frozen", ["x", "weight"])
def test_what_is_frozen_gets_no_gradient(frozen: str) -> None:
    tensors = {"x": paddle.randn([2, 3, 5, 4]), "weight": paddle.randn([4, 3, 3, 3])}
    for name, one in tensors.items():
        one.stop_gradient = name == frozen
    ShiftedConvolution.apply(*tensors.values(), 1).sum().backward()
    assert {name for name, one in tensors.items() if one.grad is None} == {frozen}


@needs_library
def test_the_inputs_layout_does_not_matter_and_inputs_stay() -> None:
    x, weight = paddle.randn([2, 5, 4, 3]), paddle.randn([4, 3, 3, 3])
    before = x.numpy().copy(), weight.numpy().copy()
    turned = ShiftedConvolution.apply(x.transpose([0, 3, 1, 2]), weight, 1)
    plain = ShiftedConvolution.apply(paddle.to_tensor(before[0].transpose(0, 3, 1, 2).copy()), weight, 1)
    np.testing.assert_array_equal(turned.numpy(), plain.numpy())
    for tensor, value in zip((x, weight), before, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), value)


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Dilations of the convolutions that were done by shifts."""
    calls: list[int] = []
    apply = ShiftedConvolution.apply

    def spy(x: paddle.Tensor, weight: paddle.Tensor, dilation: int) -> paddle.Tensor:
        calls.append(dilation)
        return apply(x, weight, dilation)

    monkeypatch.setattr(convolution.ShiftedConvolution, "apply", spy)
    return calls


@needs_library
@pytest.mark.parametrize("bias", [False, True])
def test_large_convolutions_are_done_by_shifts_and_agree(shifted: list[int], bias: bool) -> None:
    layer = Convolution(64, 64, 3, dilation=2, bias=bias)
    if bias:
        layer.bias.set_value(paddle.randn([64]))
    x, upstream = paddle.randn([2, 64, 48, 44]), paddle.randn([2, 64, 48, 44])
    derivatives = []
    for forward in (nn.Conv2D.forward, Convolution.forward):
        layer.clear_gradients()
        output = forward(layer, x)
        paddle.autograd.backward([output], [upstream])
        derivatives.append([output.numpy(), *(one.grad.numpy() for one in layer.parameters())])
    for got, expected in zip(*derivatives[::-1], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-4)
    assert shifted == [2]


@needs_library
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Convolution(64, 64, 3), [1, 64, 36, 36]),  # few operations
        (Convolution(256, 512, 3), [1, 256, 30, 30]),  # few pixels
        (Convolution(256, 512, 3), [1, 256, 9, 200]),  # flat
        (Convolution(64, 64, 3, dilation=8), [1, 64, 64, 64]),  # much margin
        (Convolution(64, 64, 3, stride=2), [1, 64, 64, 64]),
        (Convolution(256, 256, 1), [1, 256, 64, 64]),
        (Convolution(16, 256, 3), [1, 16, 64, 64]),  # thin
    ],
    ids=["small", "pixels", "flat", "margin", "stride", "1x1", "thin"],
)
def test_other_convolutions_are_paddles(layer: Convolution, shape: list[int], shifted: list[int]) -> None:
    x = paddle.randn(shape)
    np.testing.assert_array_equal(layer(x).numpy(), nn.Conv2D.forward(layer, x).numpy())
    assert shifted == []


def test_mixed_precision_other_builds_and_layers_told_so_are_paddles(
    shifted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = Convolution(64, 64, 3), paddle.randn([1, 64, 64, 64])
    monkeypatch.setattr(paddle, "is_autocast_enabled", lambda: True)
    layer(x)
    monkeypatch.undo()
    monkeypatch.setattr(convolution, "has_matrix_library", lambda: False)
    layer(x)
    monkeypatch.undo()
    layer.shifts = False
    x.stop_gradient = False
    (by_x,) = paddle.grad([layer(x).sum()], [x])
    assert by_x.shape == x.shape
    assert shifted == []


@pytest.mark.parametrize("full_graph", [True, False])
@pytest.mark.parametrize("side", [16, 48])
def test_graphs_are_made_of_paddles(shifted: list[int], full_graph: bool, side: int) -> None:
    layer, x = ConvNormAct(64, 64, 3), paddle.randn([1, 64, side, side])
    layer.eval()
    with paddle.no_grad():
        got = paddle.jit.to_static(layer, full_graph=full_graph)(x).numpy()
        layer._conv.shifts = False
        expected = layer.forward.dygraph_function(x).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    assert shifted == [] or not full_graph  # traced from bytecode, the layer is left to eager execution


@needs_library
def test_an_input_changed_before_backward_is_refused() -> None:
    layer, image = Convolution(64, 64, 3), paddle.randn([1, 64, 48, 48])
    image.stop_gradient = False
    inner = image * 1.0
    output = layer(inner)
    inner.scale_(2.0)
    with pytest.raises(OSError, match="changed in place"):
        output.sum().backward()


def test_paddle_says_what_is_wrong_with_an_input() -> None:
    for shape in ([1, 32, 64, 64], [64, 64, 64]):
        with pytest.raises(ValueError, match=r"(?i)channel|dim"):
            Convolution(64, 64, 3)(paddle.zeros(shape))


def test_the_unit_of_the_networks_has_it() -> None:
    unit = ConvNormAct(32, 48, 3, dilation=2, bias=True)
    assert isinstance(unit._conv, Convolution)
    assert {name: tuple(value.shape) for name, value in unit._conv.state_dict().items()} == {
        "weight": (48, 32, 3, 3),
        "bias": (48,),
    }
