from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg.losses import functional


@pytest.mark.parametrize("shape", [[2, 3, 5, 1], [2, 1, 3, 5], [2, 5, 3], [1, 3, 5]])
def test_labels_of_another_shape(shape: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected \[2, 3, 5\]"):
        functional.as_labels(paddle.zeros(shape, dtype="int64"), paddle.zeros([2, 4, 3, 5]))


def test_labels_of_other_integer_types_are_cast() -> None:
    labels = functional.as_labels(paddle.ones([1, 2, 2], dtype="int32"), paddle.zeros([1, 3, 2, 2]))
    assert labels.dtype == paddle.int64


def test_class_members_leave_ignored_pixels_out() -> None:
    members = functional.class_members(paddle.to_tensor([[[0, 1, 255]]]), 2, ignore_index=255)
    np.testing.assert_array_equal(members.numpy(), [[[[1, 0, 0]], [[0, 1, 0]]]])
    members = functional.class_members(paddle.to_tensor([[[0, 1, 1]]]), 2, ignore_index=1)
    np.testing.assert_array_equal(members.numpy(), [[[[1, 0, 0]], [[0, 0, 0]]]])


def test_pixel_weights() -> None:
    labels = paddle.to_tensor([[[1, 255, 0]]])
    weights = functional.pixel_weights(labels, labels != 255, [0.5, 2.0])
    np.testing.assert_array_equal(weights.numpy(), [[[2.0, 0.5, 0.5]]])


def test_ohem_keeps_strictly_below_the_threshold() -> None:
    probability = paddle.to_tensor([0.5, 0.25, 0.75, 0.125])
    valid = paddle.to_tensor([True, True, True, False])
    kept = functional.ohem_kept(probability, valid, thresh=0.5, min_kept=1)
    assert kept.tolist() == [False, True, False, False]
    kept = functional.ohem_kept(probability, valid, thresh=0.25, min_kept=2)
    assert kept.tolist() == [False, True, False, False]
    kept = functional.ohem_kept(probability, valid, thresh=0.25, min_kept=3)
    assert kept.tolist() == [True, True, True, False]


def test_jaccard_weights_literal() -> None:
    # In order of falling error: outside, inside, inside, outside; the Jaccard loss goes 1/3, 2/3, 1, 1.
    weights = functional.jaccard_weights(
        paddle.to_tensor([0.2, 0.9, 0.5, 0.1]), paddle.to_tensor([True, False, True, False])
    )
    np.testing.assert_allclose(weights.numpy(), [1 / 3, 1 / 3, 1 / 3, 0.0], rtol=1e-6)


def test_jaccard_weights_of_an_absent_class() -> None:
    weights = functional.jaccard_weights(paddle.to_tensor([0.2, 0.9]), paddle.to_tensor([False, False]))
    np.testing.assert_array_equal(weights.numpy(), [0.0, 1.0])
