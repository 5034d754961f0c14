from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import binary_cross_entropy, make_case, numeric_gradient, run

from paddleseg.errors import ConfigError
from paddleseg.losses import BCELoss


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": "dynamic"},
        {"pos_weight": "dynamic"},
        {"pos_weight": 3},
        {"weight": "dynamic", "pos_weight": "dynamic"},
        {"weight": "dynamic", "pos_weight": 0.5},
    ],
)
def test_value_and_gradient_equal_the_naive_loop(options: dict, classes: int) -> None:
    logits, labels = make_case((2, classes, 3, 4))
    labels[0, 0, :2] = 1
    value, gradient = run(BCELoss(**options), logits, labels)
    assert value == pytest.approx(binary_cross_entropy(logits, labels, **options), rel=1e-5)
    slope = numeric_gradient(lambda moved: binary_cross_entropy(moved, labels, **options), logits)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_class_weights() -> None:
    logits, labels = make_case()
    weight = [0.5, 2.0, 1.0, 0.25]
    expected = binary_cross_entropy(logits, labels, weight=weight, pos_weight=2.0)
    value, _ = run(BCELoss(weight=weight, pos_weight=2.0), logits, labels)
    assert value == pytest.approx(expected, rel=1e-5)


def test_literal_of_pytorch() -> None:
    # torch 2.13: F.binary_cross_entropy_with_logits(float64, pos_weight=2.5), the second pixel left out.
    logits = np.array([0.3, -5.0, 1.7, -0.2]).reshape(1, 1, 2, 2)
    labels = np.array([[[1, 255], [0, 1]]])
    assert run(BCELoss(pos_weight=2.5), logits, labels)[0] == pytest.approx(1.7496737713371877, rel=1e-6)


def test_one_kind_only() -> None:
    """Without a yes, noes weigh 2·0 and the loss is 0; it is not NaN."""
    logits = np.ones((1, 1, 2, 2))
    value, gradient = run(BCELoss(weight="dynamic"), logits, np.zeros((1, 2, 2), int))
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_edge_labels() -> None:
    labels = np.repeat(np.array([[[0, 0, 0, 0, 3, 3, 255, 255, 3, 3, 3, 3]]]), 2, axis=1)
    logits = np.random.default_rng(0).normal(size=(1, 1, 2, 12))
    edges = np.array([0, 0, 1, 1, 1, 1, 255, 255, 0, 0, 0, 0])
    expected = binary_cross_entropy(logits, np.broadcast_to(edges, (1, 2, 12)), weight="dynamic")
    value, _ = run(BCELoss(weight="dynamic", edge_label=True), logits, labels)
    assert value == pytest.approx(expected, rel=1e-5)


def test_edges_need_one_channel() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match="got an output of 4 channels; expected 1"):
        BCELoss(edge_label=True)(paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": "dynamc"}, "weight: got 'dynamc'"),
        ({"weight": [0.0]}, r"weight: got \[0.0\]"),
        ({"pos_weight": "auto"}, "pos_weight: got 'auto'"),
        ({"pos_weight": -1.0}, "pos_weight: got -1.0"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BCELoss(**options)
