"""Attention to a pixel's own line, by hand."""

from __future__ import annotations

import numpy as np
import paddle

from paddleseg.models.layers.attention_lines import AttentionLines, _by_weights


def test_rows_add_and_columns_write_the_mean_of_equal_keys() -> None:
    """Two rows of three pixels; without logits each pixel's sum is that of its line, times the factor 1."""
    nothing, value = paddle.zeros([6, 1]), paddle.to_tensor([[1.0], [2], [3], [4], [5], [6]])
    total = paddle.full([6, 1], 100.0)
    order = paddle.to_tensor([0, 3, 1, 4, 2, 5])
    for length, pixels, expected in (
        (2, order, [[5.0], [7], [9], [5], [7], [9]]),
        (3, None, [[11.0], [13], [15], [20], [22], [24]]),
    ):
        lines = AttentionLines(
            nothing, nothing, length=length, order=pixels, without_self=False, group=1, keep=False
        )
        lines.statistics()
        lines.normalise(paddle.ones([6 // length, length, 1]))
        lines.gather(value, total)
        np.testing.assert_array_equal(total.numpy(), expected)


def test_weights_too_small_to_count_are_zero() -> None:
    """A processor is a hundred times slower over the products of numbers below 1e-38."""
    query = paddle.to_tensor([[1.0], [1.0]])
    key = paddle.to_tensor([[0.0], [-90.0]])  # exp(−90) is such a number
    lines = AttentionLines(query, key, length=2, order=None, without_self=False, group=1, keep=True)
    lines.statistics()
    lines.normalise(paddle.ones([1, 2, 1]))
    total = paddle.zeros([2, 1])
    lines.gather(paddle.to_tensor([[0.0], [1.0]]), total)
    np.testing.assert_array_equal(total.numpy(), np.zeros((2, 1)))


def test_products_of_half_precision_are_summed_beyond_its_largest_number() -> None:
    """512 · 60 · 60, where float16 ends at 65504."""
    sixties = paddle.full([1, 1, 512], 60.0, dtype="float16")
    np.testing.assert_array_equal(_by_weights(sixties, sixties).numpy(), [[[512 * 60 * 60]]])
