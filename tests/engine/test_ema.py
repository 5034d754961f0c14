"""Averaged weights, against a loop in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.engine.ema import ModelEma

Arrays = dict[str, np.ndarray]


class WithCounter(TinySegmenter):
    """Has an integer buffer, as some layers do, and one that is not saved."""

    def __init__(self) -> None:
        super().__init__(3)
        self.register_buffer("calls", paddle.zeros([1], dtype="int64"))
        self.register_buffer("scratch", paddle.zeros([1]), persistable=False)


def arrays(model: paddle.nn.Layer) -> Arrays:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def change(model: paddle.nn.Layer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.set_value(rng.normal(size=tensor.shape).astype(np.float32))
        else:
            tensor.set_value(tensor + 1)


def test_averages_follow_the_formula() -> None:
    model = WithCounter()
    change(model, 0)
    ema = ModelEma(model, decay=0.75)
    expected = {name: value.astype(np.float64) for name, value in arrays(model).items()}
    # 1 − 1/(i + 1) is below 0.75 for i = 1, 2 and not for i = 3, 4, 5.
    for iteration, decay in enumerate((1 / 2, 2 / 3, 0.75, 0.75, 0.75), start=1):
        change(model, iteration)
        ema.update(iteration)
        for name, weight in arrays(model).items():
            expected[name] = decay * expected[name] + (1 - decay) * weight
    averages = {name: tensor.numpy() for name, tensor in ema.state_dict().items()}
    assert averages.keys() == model.state_dict().keys()
    assert averages.pop("calls").tolist() == [6], "integers are not averaged"
    for name, average in averages.items():
        np.testing.assert_allclose(average, expected[name], rtol=0, atol=1e-6, err_msg=name)
    assert not np.allclose(averages["norm._mean"], 0, atol=0.01), "BN statistics are averaged as well"


def test_an_average_of_half_precision_weights_is_single_precision() -> None:
    layer = paddle.nn.Linear(1, 1)
    layer.weight.set_value(paddle.ones([1, 1]))
    layer.to(dtype="float16")
    ema = ModelEma(layer, decay=0.999)
    layer.weight.set_value(paddle.full([1, 1], 2.0, dtype="float16"))
    ema.update(10**6)
    average = ema.state_dict()["weight"]
    assert average.dtype == paddle.float32
    # In float16 1.001 would be 1.00098.
    np.testing.assert_allclose(average.numpy(), [[1.001]], rtol=1e-6)
    with ema.applied():
        assert layer.weight.dtype == paddle.float16
        assert layer.weight.item() == np.float16(1.001)
    assert layer.weight.item() == 2.0


def test_the_model_has_the_averages_inside_and_its_own_weights_afterwards() -> None:
    model = WithCounter()
    ema = ModelEma(model, decay=0.5)
    change(model, 1)
    ema.update(7)
    own, averages = arrays(model), {name: t.numpy().copy() for name, t in ema.state_dict().items()}
    with ema.applied():
        for name, value in arrays(model).items():
            np.testing.assert_array_equal(value, averages[name], err_msg=name)
        model.train()
        model(paddle.rand([2, 3, 16, 16]))  # moves the BN statistics
        assert not np.array_equal(arrays(model)["norm._mean"], averages["norm._mean"])
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(value, own[name], err_msg=name)
    for name, value in ema.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), averages[name], err_msg=name)


def test_copies_that_mixed_precision_puts_in_the_state_do_not_matter() -> None:
    model = TinySegmenter(3)
    # paddle.amp.decorate registers a hook like this one for its save_dtype.
    model.register_state_dict_hook(
        lambda state: state.update({k: v.cast("float32") for k, v in state.items()})
    )
    ema = ModelEma(model, decay=0.5)
    model.conv.bias.set_value(paddle.full([8], 3.0))
    ema.update(9)
    with ema.applied():
        assert model.conv.bias.tolist() == [1.5] * 8
    assert model.conv.bias.tolist() == [3.0] * 8


def test_an_exception_gives_the_model_its_weights_back() -> None:
    model = TinySegmenter(3)
    ema = ModelEma(model)
    change(model, 1)
    own = arrays(model)
    with pytest.raises(KeyboardInterrupt), ema.applied():
        raise KeyboardInterrupt
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(value, own[name], err_msg=name)


def test_averaging_leaves_no_trace_in_training() -> None:
    gradients = []
    for averaged in (False, True):
        paddle.seed(0)
        model = TinySegmenter(3, dropout_prob=0.0)
        ema = ModelEma(model)
        if averaged:
            ema.update(1)
            with ema.applied():
                pass
        model(paddle.ones([1, 3, 8, 8]))[0].sum().backward()
        gradients.append(model.conv.weight.grad.numpy())
        assert not model.conv.weight.stop_gradient
    np.testing.assert_array_equal(*gradients)


def test_averages_come_back_from_a_file(tmp_path: Path) -> None:
    model = TinySegmenter(3)
    ema = ModelEma(model, decay=0.9)
    change(model, 1)
    ema.update(3)
    paddle.save(ema.state_dict(), str(tmp_path / "ema.pdparams"))
    kept = paddle.load(str(tmp_path / "ema.pdparams"), return_numpy=True)
    change(model, 2)
    other = ModelEma(model, decay=0.9)
    other.load(kept)
    change(model, 3)
    before = arrays(model)
    assert all((before[name] != value).any() for name, value in kept.items()), "the model is another one"
    for one in (ema, other):
        one.update(4)
    for name, value in ema.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy(), err_msg=name)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="ema_decay"):
        ModelEma(TinySegmenter(3), decay=decay)
