"""Cross-entropy in NumPy: float64 loops, Paddle's own kernel, pieces, refusals."""

from __future__ import annotations

import math

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from loss_oracles import make_case, pixels

from paddleseg.errors import DataError
from paddleseg.losses import cpu_cross_entropy as module
from paddleseg.losses.cpu_cross_entropy import cpu_cross_entropy


def ours(logits: paddle.Tensor, labels: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses, and the gradient of their sum weighted by ``slope``."""
    logits.stop_gradient = False
    loss = cpu_cross_entropy(logits, paddle.to_tensor(labels), ignore_index=255)
    assert loss.dtype == paddle.float32
    assert not loss.stop_gradient
    (gradient,) = paddle.grad([loss], [logits], [paddle.to_tensor(slope)])
    return loss.numpy(), gradient.numpy()


@pytest.mark.parametrize("at_once", [1, 20, 2**17])
def test_values_and_gradients_equal_the_naive_loop(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
    logits, labels = make_case()
    slope = np.random.default_rng(1).normal(size=labels.shape).astype("float32")
    loss, gradient = ours(paddle.to_tensor(logits.astype("float32")), labels, slope)
    everything = pixels(logits, labels)
    expected = [0.0 if label == 255 else -math.log(chances[label]) for chances, label in everything]
    np.testing.assert_allclose(loss.ravel(), expected, atol=1e-6)
    by_pixel = gradient.transpose(0, 2, 3, 1).reshape(-1, 4)
    for (chances, label), of_pixel, factor in zip(everything, by_pixel, slope.ravel(), strict=True):
        expected = [factor * (chances[c] - (c == label)) * (label != 255) for c in range(4)]
        np.testing.assert_allclose(of_pixel, expected, atol=1e-6)


def test_equals_paddles_kernel() -> None:
    logits, labels = make_case((2, 19, 33, 65))
    slope = np.random.default_rng(1).normal(size=labels.shape).astype("float32")
    tensor = paddle.to_tensor(logits.astype("float32"), stop_gradient=False)
    kernel = F.cross_entropy(
        tensor, paddle.to_tensor(labels[:, None]), axis=1, reduction="none", ignore_index=255
    )
    (expected,) = paddle.grad([kernel], [tensor], [paddle.to_tensor(slope[:, None])])
    loss, gradient = ours(tensor.detach(), labels, slope)
    np.testing.assert_allclose(loss, kernel.numpy()[:, 0], atol=2e-6)
    np.testing.assert_allclose(gradient, expected.numpy(), atol=2e-6)


def test_logits_in_another_order_of_memory() -> None:
    logits, labels = make_case()
    slope = np.ones(labels.shape, dtype="float32")
    straight = ours(paddle.to_tensor(logits.astype("float32")), labels, slope)
    last = paddle.to_tensor(logits.astype("float32").transpose(0, 2, 3, 1))
    turned = ours(last.transpose([0, 3, 1, 2]), labels, slope)
    np.testing.assert_array_equal(turned[0], straight[0])
    np.testing.assert_array_equal(turned[1], straight[1])


def test_infinite_slopes_at_ignored_pixels_do_not_matter() -> None:
    labels = np.array([[[255, 0]]])
    slope = np.array([[[np.inf, 1.0]]], dtype="float32")
    loss, gradient = ours(paddle.zeros([1, 2, 1, 2]), labels, slope)
    np.testing.assert_allclose(loss, [[[0.0, math.log(2)]]], rtol=1e-6)
    np.testing.assert_array_equal(gradient, [[[[0.0, -0.5]], [[0.0, 0.5]]]])


def test_neither_a_loss_nor_a_gradient_that_is_not_finite_is_hidden() -> None:
    logits = paddle.to_tensor([[[[math.nan, 0.0]], [[0.0, 0.0]]]])
    loss, gradient = ours(logits, np.zeros((1, 1, 2), dtype="int64"), np.ones((1, 1, 2), dtype="float32"))
    np.testing.assert_array_equal(np.isnan(loss), [[[True, False]]])
    np.testing.assert_array_equal(np.isnan(gradient), [[[[True, False]], [[True, False]]]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("first", "second"), [(math.inf, 1.0), (-math.inf, -math.inf), (3e38, -3e38)])
def test_huge_logits_bring_no_warnings(first: float, second: float) -> None:
    """The difference of the last two is beyond float32; the training tells of losses that are not finite."""
    logits = paddle.to_tensor([[[[first]], [[second]]]])
    loss, _ = ours(logits, np.ones((1, 1, 1), dtype="int64"), np.ones((1, 1, 1), dtype="float32"))
    assert not np.isfinite(loss).any()


@pytest.mark.parametrize("label", [3, -1, 254])
def test_labels_outside_the_classes_are_refused(label: int) -> None:
    with pytest.raises(
        DataError, match=rf"^label \(ignore_index is 255\): values \[{label}\] lie outside 0\.\.2;"
    ):
        cpu_cross_entropy(paddle.zeros([1, 3, 1, 2]), paddle.to_tensor([[[0, label]]]), ignore_index=255)


def test_no_pixels() -> None:
    loss = cpu_cross_entropy(
        paddle.zeros([2, 3, 0, 4]), paddle.zeros([2, 0, 4], dtype="int64"), ignore_index=255
    )
    assert loss.shape == [2, 0, 4]
