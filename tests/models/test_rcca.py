"""The recurrent criss-cross attention head against NumPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from numpy_network import randomise, rcca_head

from paddleseg.models.heads import RCCAHead


def image() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, 32, 4, 5)).astype("float32")


@pytest.mark.parametrize("recurrence", [0, 1, 2, 3])
def test_evaluation_equals_numpy(recurrence: int) -> None:
    head = RCCAHead(32, 6, 3, dropout_prob=0.5, recurrence=recurrence)
    state = {f"head.{name}": value for name, value in randomise(head, seed=1).items()}
    head.eval()
    with paddle.no_grad():
        got = head(paddle.to_tensor(image())).numpy()
    expected = rcca_head(image().astype("float64"), state, "head", recurrence)
    assert got.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_without_recurrence_there_is_no_attention() -> None:
    keys = RCCAHead(32, 6, 3, recurrence=0).state_dict()
    assert not [key for key in keys if key.startswith("cca.")]


def test_recurrences_share_their_weights() -> None:
    once, thrice = (RCCAHead(32, 6, 3, recurrence=times).state_dict() for times in (1, 3))
    assert set(once) == set(thrice)
    assert {key for key in once if key.startswith("cca.")} == {
        "cca.gamma",
        *(f"cca.{part}_conv.{kind}" for part in "qkv" for kind in ("weight", "bias")),
    }


def test_channels_of_the_figure() -> None:
    """A quarter of the channels is attended to, an eighth of that compared; the input is joined again."""
    with paddle.LazyGuard():
        state = RCCAHead(64, 24, 5).state_dict()
    inputs = {name: tuple(state[f"{name}.weight"].shape[:2]) for name in ("conva._conv", "cca.q_conv")}
    assert inputs == {"conva._conv": (16, 64), "cca.q_conv": (2, 16)}
    assert tuple(state["out.conv_bn_relu._conv.weight"].shape) == (24, 64 + 16, 3, 3)


def test_dropout_is_on_in_training_only() -> None:
    x = paddle.to_tensor(image())
    head, still = RCCAHead(32, 16, 3, dropout_prob=0.5), RCCAHead(32, 16, 3)
    assert float((head(x) - head(x)).abs().max()) > 0.01
    assert float((still(x) - still(x)).abs().max()) == 0
    head.eval()
    assert float((head(x) - head(x)).abs().max()) == 0
