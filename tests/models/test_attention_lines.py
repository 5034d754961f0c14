"""Attention to a pixel's own line, by hand."""

from __future__ import annotations

import numpy as np
import paddle

from paddleseg.models.layers.attention_lines import AttentionLines, turned


def test_turned_exchanges_rows_and_columns_of_every_image() -> None:
    images = np.arange(2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5)
    rows = paddle.to_tensor(images.reshape(6, 4, 5))
    columns = turned(rows, 2)
    np.testing.assert_array_equal(columns.numpy(), images.transpose(0, 2, 1, 3).reshape(8, 3, 5))
    np.testing.assert_array_equal(turned(columns, 2).numpy(), rows.numpy())


def test_weights_too_small_to_count_are_zero() -> None:
    """A processor is a hundred times slower over the products of numbers below 1e-38."""
    query = paddle.to_tensor([[[1.0], [1.0]]])
    key = paddle.to_tensor([[[0.0], [-90.0]]])  # exp(−90) is such a number
    lines = AttentionLines(query, key, without_self=False, group_bytes=1 << 20)
    lines.statistics()
    lines.normalise(paddle.ones([1, 2, 1]))
    value = paddle.to_tensor([[[0.0], [1.0]]])
    np.testing.assert_array_equal(lines.gather(value).numpy(), np.zeros((1, 2, 1)))
