from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from loss_oracles import cross_entropy, make_case, numeric_gradient, run

from paddleseg.errors import ConfigError
from paddleseg.losses import CrossEntropyLoss

WEIGHT = [0.5, 2.0, 1.0, 0.25]

# Ours, and the same for the oracle. 0.9 of the pixels is more than are valid.
OPTIONS = [
    ({}, {}),
    ({"weight": WEIGHT}, {"weight": WEIGHT}),
    ({"avg_non_ignore": False}, {"avg_non_ignore": False}),
    ({"avg_non_ignore": False, "weight": WEIGHT}, {"avg_non_ignore": False, "weight": WEIGHT}),
    ({"top_k_percent_pixels": 0.3}, {"top_k": 0.3}),
    ({"top_k_percent_pixels": 0.9}, {"top_k": 0.9}),
    ({"top_k_percent_pixels": 0.3, "weight": WEIGHT}, {"top_k": 0.3, "weight": WEIGHT}),
]


@pytest.mark.parametrize(("options", "oracle_options"), OPTIONS)
def test_value_and_gradient_equal_the_naive_loop(options: dict, oracle_options: dict) -> None:
    logits, labels = make_case()
    value, gradient = run(CrossEntropyLoss(**options), logits, labels)
    expected = cross_entropy(logits, labels, **oracle_options)
    slope = numeric_gradient(lambda moved: cross_entropy(moved, labels, **oracle_options), logits)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_literal() -> None:
    # Probabilities 1/4 and 3/4 of the true class: −ln(1/4) = 1.3862944, −ln(3/4) = 0.2876821.
    logits = np.array([[[[0.0, 0.0]], [[math.log(3), math.log(3)]]]])
    value, _ = run(CrossEntropyLoss(), logits, np.array([[[0, 1]]]))
    assert value == pytest.approx((1.3862944 + 0.2876821) / 2, rel=1e-6)


def test_literal_with_weights_divides_by_the_weights() -> None:
    logits = np.array([[[[0.0, 0.0]], [[math.log(3), math.log(3)]]]])
    value, _ = run(CrossEntropyLoss(weight=[1.0, 3.0]), logits, np.array([[[0, 1]]]))
    assert value == pytest.approx((1.3862944 + 3 * 0.2876821) / 4, rel=1e-6)


def test_top_k_of_less_than_one_pixel_takes_the_hardest() -> None:
    logits = np.array([[[[0.0, 0.0]], [[math.log(3), math.log(3)]]]])
    value, _ = run(CrossEntropyLoss(top_k_percent_pixels=0.1), logits, np.array([[[0, 1]]]))
    assert value == pytest.approx(1.3862944, rel=1e-6)


def test_one_class_everywhere() -> None:
    logits, labels = make_case(ignored=0.0)
    labels[:] = 2
    assert run(CrossEntropyLoss(), logits, labels)[0] == pytest.approx(
        cross_entropy(logits, labels), rel=1e-6
    )


def test_ignore_index_may_be_a_class_or_negative() -> None:
    logits, labels = make_case()
    expected = cross_entropy(logits, labels)
    for ignore_index in (-1, 255):
        value, _ = run(
            CrossEntropyLoss(ignore_index=ignore_index), logits, np.where(labels == 255, ignore_index, labels)
        )
        assert value == pytest.approx(expected, rel=1e-6)
    as_zero, _ = run(CrossEntropyLoss(ignore_index=0), logits, np.where(labels == 255, 0, labels))
    assert as_zero == pytest.approx(cross_entropy(logits, np.where(labels == 0, 255, labels)), rel=1e-6)


def test_extreme_logits_stay_finite() -> None:
    logits = np.array([[[[1e4, -1e4]], [[-1e4, 1e4]]]])
    value, gradient = run(CrossEntropyLoss(), logits, np.array([[[0, 0]]]))
    # One pixel has no loss, the other 20000. The gradient is (softmax − one-hot) / 2.
    assert value == pytest.approx(1e4)
    np.testing.assert_allclose(gradient, [[[[0.0, -0.5]], [[0.0, 0.5]]]], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.5, -0.1])
def test_share_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match="top_k_percent_pixels"):
        CrossEntropyLoss(top_k_percent_pixels=share)


def test_other_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="data_format"):
        CrossEntropyLoss(data_format="NHWC")


def test_weight_of_another_class_count() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match=r"CrossEntropyLoss\.weight: got 2 values; the model has 4 classes"):
        CrossEntropyLoss(weight=[1.0, 2.0])(
            paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels)
        )
