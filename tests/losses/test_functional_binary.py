"""Yes or no for every class: literals."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg.losses.functional_binary import balance, binary_cross_entropy, binary_truth, sigmoid_focal


def test_truth_of_one_channel_is_class_1() -> None:
    labels = paddle.to_tensor([[[0, 1, 2, 255]]])
    one = binary_truth(labels, 1, ignore_index=255)
    np.testing.assert_array_equal(one.numpy(), [[[[0, 1, 0, 0]]]])
    np.testing.assert_array_equal(binary_truth(labels, 1, ignore_index=1).numpy(), [[[[0, 0, 0, 0]]]])
    three = binary_truth(labels, 3, ignore_index=255)
    np.testing.assert_array_equal(three.numpy()[0, :, 0], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


def test_balance_literal() -> None:
    # Three valid pixels, two channels: six answers, three of them yes … with one channel one of three.
    labels = paddle.to_tensor([[[0, 1, 0, 255]]])
    for channels, expected in ((2, (1.0, 1.0)), (1, (4 / 3, 2 / 3))):
        found = balance(binary_truth(labels, channels, ignore_index=255), labels != 255)
        assert [one.item() for one in found] == pytest.approx(expected)
    nothing = paddle.full_like(labels, 255)
    found = balance(binary_truth(nothing, 2, ignore_index=255), nothing != 255)
    assert [one.item() for one in found] == [0.0, 0.0]


def test_literals_of_certain_and_undecided_logits() -> None:
    logits = paddle.to_tensor([[[[0.0, 1e4, -1e4]]]])
    yes = paddle.ones_like(logits, dtype="bool")
    loss = binary_cross_entropy(logits, yes)
    np.testing.assert_allclose(loss.numpy().ravel(), [np.log(2), 0.0, 1e4], rtol=1e-6)
    loss = sigmoid_focal(logits, yes, alpha=0.25, gamma=2.0)
    np.testing.assert_allclose(loss.numpy().ravel(), [np.log(2) / 16, 0.0, 2.5e3], rtol=1e-6)
