"""What criss-cross attention keeps, leaves out and computes again; its numbers are tested with its layer."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from numpy_network import randomise

from paddleseg.models.layers import CrissCrossAttention
from paddleseg.models.layers.attention_lines import AttentionLines

X = np.random.default_rng(4).normal(size=(1, 16, 3, 4)).astype("float32")


@pytest.fixture
def layer() -> CrissCrossAttention:
    layer = CrissCrossAttention(16)
    randomise(layer, seed=3)
    layer.whole_bytes = 0  # in groups on the CPU, too
    return layer


def gradients(layer: CrissCrossAttention, *, frozen_input: bool = False) -> dict[str, np.ndarray]:
    layer.clear_gradients()
    image = paddle.to_tensor(X, stop_gradient=frozen_input)
    layer(image).backward(paddle.to_tensor(np.random.default_rng(8).normal(size=X.shape).astype("float32")))
    assert (image.grad is None) == frozen_input
    return {name: one.grad.numpy() for name, one in layer.named_parameters() if one.grad is not None}


def test_weights_are_kept_for_backward_only_within_the_budget(
    layer: CrissCrossAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"groups": 0}
    exponentials = AttentionLines._exponentials

    def spy(lines: AttentionLines, group: slice) -> tuple[paddle.Tensor, paddle.Tensor]:
        runs["groups"] += 1
        return exponentials(lines, group)

    monkeypatch.setattr(AttentionLines, "_exponentials", spy)
    weights = 4 * 3 * 4 * (3 + 4)  # bytes
    # One group of rows and one of columns: statistics, and again for sums and both parts of backward.
    for kept_bytes, expected in ((weights, 2), (weights - 1, 2 * 4)):
        runs["groups"], layer.kept_bytes = 0, kept_bytes
        gradients(layer)
        assert runs["groups"] == expected


def test_what_is_frozen_gets_no_gradient(layer: CrissCrossAttention) -> None:
    learning = CrissCrossAttention(16)
    learning.set_state_dict(layer.state_dict())
    learning.whole_bytes = 0
    expected = gradients(learning)
    for part in (layer.q_conv.weight, layer.v_conv.bias):
        part.stop_gradient = True
    got = gradients(layer, frozen_input=True)
    assert set(expected) - set(got) == {"q_conv.weight", "v_conv.bias"}
    for name, value in got.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
