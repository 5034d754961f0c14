"""What is near a boundary: loops over pairs of pixels."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg.losses.functional_boundary import edge_pixels, near_classes, relaxed_cross_entropy


def naive_edges(labels: np.ndarray, radius: int) -> np.ndarray:
    edges = np.zeros(labels.shape, bool)
    for n, y, x in np.ndindex(*labels.shape):
        for v, u in np.ndindex(*labels.shape[1:]):
            near = (v - y) ** 2 + (u - x) ** 2 <= radius**2
            pair = {labels[n, y, x], labels[n, v, u]}
            edges[n, y, x] |= near and len(pair) == 2 and 255 not in pair
    return edges


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_edges_equal_the_naive_loop(radius: int) -> None:
    rng = np.random.default_rng(3)
    labels = np.kron(rng.integers(0, 2, (2, 3, 4)), np.ones((1, 4, 4), int))
    labels[rng.random(labels.shape) < 0.1] = 255
    edges = edge_pixels(paddle.to_tensor(labels), radius=radius, ignore_index=255)
    np.testing.assert_array_equal(edges.numpy(), naive_edges(labels, radius))


@pytest.mark.parametrize("border", [0, 1, 2])
def test_near_classes_equal_the_naive_loop(border: int) -> None:
    labels = np.random.default_rng(1).choice([0, 1, 2, 255], (2, 5, 6), p=[0.4, 0.2, 0.1, 0.3])
    near = near_classes(paddle.to_tensor(labels), 3, border=border, ignore_index=255).numpy()
    for n, y, x in np.ndindex(*labels.shape):
        square = labels[n, max(0, y - border) : y + border + 1, max(0, x - border) : x + border + 1]
        assert set(np.flatnonzero(near[n, :, y, x])) == set(square.ravel().tolist()) - {255}


def test_relaxed_cross_entropy_literals() -> None:
    # p = 1/10, 2/10, 3/10, 4/10; allowed: all, {1, 3}, {0}, none.
    logits = paddle.log(paddle.arange(1, 5, dtype="float32")).reshape([1, 4, 1, 1]).expand([1, 4, 1, 4])
    allowed = [[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    loss = relaxed_cross_entropy(logits, paddle.to_tensor(allowed, dtype="bool").reshape([1, 4, 1, 4]))
    np.testing.assert_allclose(loss[0, 0, :3].numpy(), -np.log([1.0, 0.6, 0.1]), atol=1e-6)
    assert np.isfinite(loss.numpy()).all()
