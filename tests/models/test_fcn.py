"""The fully convolutional head against NumPy."""

from __future__ import annotations

import numpy as np
import paddle
from numpy_network import fcn_head, randomise

from paddleseg.models.heads import FCNHead


def image(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(batch, 4, 5, 7)).astype("float32")


def test_evaluation_equals_numpy() -> None:
    head = FCNHead(4, 6, 3, dropout_prob=0.5)
    state = {f"head.{name}": value for name, value in randomise(head, seed=1).items()}
    head.eval()
    with paddle.no_grad():
        got = head(paddle.to_tensor(image())).numpy()
    expected = fcn_head(image().astype("float64"), state, "head")
    assert got.shape == (2, 3, 5, 7)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_published_weights_have_a_bias_before_the_batch_norm() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in FCNHead(4, 6, 3).state_dict().items()}
    assert shapes == {
        "conv_bn_relu._conv.weight": (6, 4, 3, 3),
        "conv_bn_relu._conv.bias": (6,),
        **{f"conv_bn_relu._batch_norm.{part}": (6,) for part in ("weight", "bias", "_mean", "_variance")},
        "conv.weight": (3, 6, 1, 1),
        "conv.bias": (3,),
    }


def test_dropout_is_on_in_training_only() -> None:
    head, still = FCNHead(4, 64, 3, dropout_prob=0.5), FCNHead(4, 64, 3)
    x = paddle.to_tensor(image())

    def spread(layer: FCNHead) -> float:
        return float((layer(x) - layer(x)).abs().max())

    # The batch norm takes the batch's statistics in training, so that all but dropout repeats itself.
    assert spread(head) > 0.01
    assert spread(still) == 0
    head.eval()
    assert spread(head) == 0


def test_dropout_comes_before_the_classifier() -> None:
    """With next to everything dropped, the classifier's bias is left, whatever the batch norm adds."""
    head = FCNHead(4, 6, 3, dropout_prob=0.999999)
    head.conv_bn_relu._batch_norm.bias.set_value(paddle.ones([6]))
    head.conv.bias.set_value(paddle.to_tensor([1.0, 2.0, 3.0]))
    paddle.seed(1)
    logits = head(paddle.to_tensor(image(batch=1))).numpy()
    np.testing.assert_array_equal(logits, np.broadcast_to([[[[1.0]], [[2.0]], [[3.0]]]], (1, 3, 5, 7)))
