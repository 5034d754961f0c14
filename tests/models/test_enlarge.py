"""Enlargement by matrix products: by hand, and against Paddle's interpolation."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg.models.layers.enlarge import enlarge, interpolation_matrix

SIZES = [(4, 7), (9, 65), (13, 97), (5, 5), (1, 3), (3, 1), (8, 5), (2, 16)]


def test_by_hand() -> None:
    # Twice as long: centres of the new pixels lie a quarter of an old pixel beside those of the old ones.
    expected = [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    np.testing.assert_allclose(interpolation_matrix(2, 4, False), expected, rtol=1e-6)
    expected = [[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]]
    np.testing.assert_allclose(interpolation_matrix(2, 4, True), expected, rtol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("height", "new_height"), SIZES)
def test_values_and_gradients_equal_paddles(height: int, new_height: int, align_corners: bool) -> None:
    width, new_width = 6, 43
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, height, width)).astype("float32"))
    slope = paddle.to_tensor(
        np.random.default_rng(1).normal(size=(2, 3, new_height, new_width)).astype("float32")
    )
    x.stop_gradient = False
    size = [new_height, new_width]
    ours = enlarge(x, size, align_corners=align_corners)
    theirs = F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=2e-5)
    (gradient,), (expected,) = (paddle.grad([y], [x], [slope]) for y in (ours, theirs))
    np.testing.assert_allclose(gradient.numpy(), expected.numpy(), atol=2e-4)


def test_a_traced_program_keeps_the_operator() -> None:
    @paddle.jit.to_static(full_graph=True)
    def traced(x: paddle.Tensor) -> paddle.Tensor:
        return enlarge(x, [5, 7], align_corners=False)

    x = paddle.to_tensor(np.arange(12, dtype="float32").reshape(1, 1, 3, 4))
    expected = F.interpolate(x, [5, 7], mode="bilinear")
    np.testing.assert_array_equal(traced(x).numpy(), expected.numpy())
    operators = [operator.name() for operator in traced.concrete_program.main_program.global_block().ops]
    assert "pd_op.bilinear_interp" in operators
