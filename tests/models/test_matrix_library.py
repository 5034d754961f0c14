"""Products of strided arrays against NumPy in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg.models.layers import matrix_library
from paddleseg.models.layers.matrix_library import (
    check_versions,
    has_matrix_library,
    multiply,
    saved_versions,
    shared,
)

needs_library = pytest.mark.skipif(not has_matrix_library(), reason="this build of Paddle does not bring MKL")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def check(left: np.ndarray, right: np.ndarray, out: np.ndarray, **how: bool) -> None:
    before = out.astype("float64") if how.get("add") else 0.0
    expected = left.astype("float64") @ right.astype("float64") + before
    multiply(left, right, out, **how)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-5)


@needs_library
@pytest.mark.parametrize("size", [(3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 5, 1), (1, 1, 1), (33, 65, 17)])
@pytest.mark.parametrize("how", [{}, {"add": True}], ids=str)
def test_every_layout_equals_numpy(size: tuple[int, int, int], how: dict[str, bool]) -> None:
    rows, inner, columns = size
    for left in (numbers(rows, inner), numbers(inner, rows).T, numbers(rows, inner + 3)[:, 1 : inner + 1]):
        for right in (
            numbers(inner, columns),
            numbers(columns, inner).T,
            numbers(columns + 2, inner + 1)[2:, 1:].T,
        ):
            check(left, right, numbers(rows, columns), **how)
    wide = numbers(rows, columns + 4)
    outside = wide.copy()
    check(numbers(rows, inner), numbers(inner, columns), wide[:, 2:-2], **how)
    outside[:, 2:-2] = wide[:, 2:-2]
    np.testing.assert_array_equal(wide, outside)


@needs_library
def test_batches_of_columns_and_rows_of_an_image() -> None:
    image, weights = numbers(4, 6, 7), numbers(4, 6, 10)
    out = numbers(4, 6, 7)
    check(weights[..., :4].swapaxes(0, 1), image.swapaxes(0, 1), out.swapaxes(0, 1))
    check(weights[..., 4:].swapaxes(1, 2), image, out, add=True)


@needs_library
@pytest.mark.parametrize(
    ("left", "right", "out", "message"),
    [
        (numbers(3, 5), numbers(4, 2), numbers(3, 2), "do not make a product"),
        (numbers(3, 5), numbers(5, 2), numbers(2, 3), "do not make a product"),
        (numbers(2, 3, 5), numbers(3, 5, 2), numbers(2, 3, 2), "do not make a product"),
        (numbers(6, 10)[::2, ::2], numbers(5, 2), numbers(3, 2), "contiguous"),
        (np.broadcast_to(numbers(5), (3, 5)), numbers(5, 2), numbers(3, 2), "contiguous"),
        (numbers(3, 5)[::-1], numbers(5, 2), numbers(3, 2), "contiguous"),
        (numbers(3, 5).astype("float64"), numbers(5, 2), numbers(3, 2), "float64"),
        (numbers(3, 5), numbers(5, 2), numbers(2, 3).T, "contiguous last axis"),
        (numbers(3, 5), numbers(5, 2), np.broadcast_to(numbers(2), (3, 2)), "may be written to"),
        (numbers(3, 5), numbers(1, 5, 2), numbers(3, 2), "2, 3 and 2 axes"),
        (numbers(5), numbers(5), numbers(1), "1, 1 and 1 axes"),
        (numbers(3, 0), numbers(0, 2), numbers(3, 2), "something to multiply"),
        (numbers(0, 3, 2), numbers(0, 2, 4), numbers(0, 3, 4), "something to multiply"),
    ],
)
def test_what_does_not_fit_is_refused(
    left: np.ndarray, right: np.ndarray, out: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        multiply(left, right, out)


def test_a_build_without_the_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_library, "_LIBRARY", "libs/no_such_library.so")
    matrix_library._product.cache_clear()
    assert not has_matrix_library()
    monkeypatch.undo()
    matrix_library._product.cache_clear()


def test_shared_memory_is_the_tensors_own() -> None:
    tensor = paddle.zeros([2, 3])
    shared(tensor)[1, 2] = 7
    assert tensor[1, 2].item() == 7


def test_a_tensor_changed_in_place_is_refused() -> None:
    tensors = paddle.zeros([2]), paddle.ones([3])
    versions = saved_versions(*tensors)
    check_versions(versions, *tensors)
    tensors[1].scale_(2.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        check_versions(versions, *tensors)
