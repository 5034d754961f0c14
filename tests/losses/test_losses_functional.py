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


def test_log_sum_exp() -> None:
    rows = [[1.0, 1e4, -1e30, -90.0], [2.0, 0.0, -1e30, -90.0], [3.0, 1e4, -1e30, -200.0]]
    logits = paddle.to_tensor(rows, stop_gradient=False)
    value = functional.log_sum_exp(logits.reshape([1, 3, 2, 2]))
    value.sum().backward()
    powers = np.exp([1.0, 2.0, 3.0])
    expected = [np.log(powers.sum()), 1e4 + np.log(2), -1e30, -90 + np.log(2)]
    np.testing.assert_allclose(value.numpy().ravel(), expected, rtol=1e-6)
    shares = np.stack([powers / powers.sum(), [0.5, 0, 0.5], [1 / 3] * 3, [0.5, 0.5, 0]], axis=1)
    np.testing.assert_allclose(logits.grad.numpy(), shares, atol=1e-6)


def test_masked() -> None:
    values = paddle.arange(1, 5, dtype="float32").reshape([1, 2, 1, 2])
    found = functional.masked(values, paddle.to_tensor([[[True, False]]]))
    np.testing.assert_array_equal(found.numpy(), [[[[1, 0]], [[3, 0]]]])


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


@pytest.mark.parametrize("count", [1, 2, 300])
def test_kth_smallest_is_that_of_the_sorted_values(count: int) -> None:
    rng = np.random.default_rng(count)
    values = rng.choice(
        np.array([0.0, 1e-45, 1e-30, 0.1, np.nextafter(0.5, 1), 0.5, 1.0, 2.0, *rng.random(40)], "float32"),
        count,
    )
    in_order = sorted(values.tolist())
    ours = [functional.kth_smallest(paddle.to_tensor(values), k).item() for k in range(1, count + 1)]
    assert ours == in_order


def test_ohem_of_random_probabilities_equals_a_sort() -> None:
    rng = np.random.default_rng(4)
    probability = rng.integers(0, 40, (2, 15, 20)).astype("float32") / 40  # many ties
    valid = rng.random(probability.shape) < 0.8
    for min_kept in (1, 100, int(valid.sum()) - 1, int(valid.sum()), 599):
        threshold = max(np.float32(0.3), np.sort(probability[valid])[min(min_kept, valid.sum()) - 1])
        expected = valid & ((probability < threshold) | (valid.sum() <= min_kept))
        kept = functional.ohem_kept(
            paddle.to_tensor(probability), paddle.to_tensor(valid), thresh=0.3, min_kept=min_kept
        )
        np.testing.assert_array_equal(kept.numpy(), expected)


def test_a_traced_program_has_the_same_cross_entropy() -> None:
    labels = paddle.to_tensor([[[0, 2, 255]]])

    @paddle.jit.to_static(full_graph=True)
    def traced(logits: paddle.Tensor) -> paddle.Tensor:
        return functional.pixel_cross_entropy(logits, labels, ignore_index=255)

    logits = paddle.to_tensor(np.arange(9, dtype="float32").reshape(1, 3, 1, 3) % 5)
    expected = functional.pixel_cross_entropy(logits, labels, ignore_index=255)
    np.testing.assert_allclose(traced(logits).numpy(), expected.numpy(), rtol=1e-6)


def test_jaccard_weights_literal() -> None:
    # In order of falling error: outside, inside, inside, outside; the Jaccard loss goes 1/3, 2/3, 1, 1.
    weights = functional.jaccard_weights(
        paddle.to_tensor([0.2, 0.9, 0.5, 0.1]), paddle.to_tensor([True, False, True, False])
    )
    np.testing.assert_allclose(weights.numpy(), [1 / 3, 1 / 3, 1 / 3, 0.0], rtol=1e-6)


def test_jaccard_weights_of_an_absent_class() -> None:
    weights = functional.jaccard_weights(paddle.to_tensor([0.2, 0.9]), paddle.to_tensor([False, False]))
    np.testing.assert_array_equal(weights.numpy(), [0.0, 1.0])
