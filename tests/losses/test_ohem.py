from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from loss_oracles import cross_entropy, make_case, numeric_gradient, ohem, run

from paddleseg.errors import ConfigError
from paddleseg.losses import OhemCrossEntropyLoss

WEIGHT = [0.5, 2.0, 1.0, 0.25]


def two_class_case(probabilities: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """One row of pixels of class 0 with these probabilities."""
    logits = np.zeros((1, 2, 1, len(probabilities)))
    logits[0, 0, 0] = [math.log(p / (1 - p)) for p in probabilities]
    return logits, np.zeros((1, 1, len(probabilities)), dtype=int)


@pytest.mark.parametrize("min_kept", [0, 1, 8, 15, 22, 23, 24, 29, 30, 10000])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_value_and_gradient_equal_the_naive_loop(min_kept: int, weight: list[float] | None) -> None:
    logits, labels = make_case(seed=1)
    assert (labels != 255).sum() == 23  # the parametrisation above lies on both sides of it
    options = {"thresh": 0.7, "min_kept": min_kept, "weight": weight}
    value, gradient = run(OhemCrossEntropyLoss(**options), logits, labels)
    slope = numeric_gradient(lambda moved: ohem(moved, labels, **options), logits)
    assert value == pytest.approx(ohem(logits, labels, **options), rel=1e-6)
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


@pytest.mark.parametrize(
    ("min_kept", "kept"),
    [
        (0, [0.6, 0.2]),
        (1, [0.6, 0.2]),
        (3, [0.6, 0.2]),  # the third smallest, 0.75, is the threshold and is itself not below it
        (4, [0.6, 0.2, 0.75]),
        (5, [0.6, 0.2, 0.75, 0.9, 0.95]),  # no more than min_kept: no mining
    ],
)
def test_literal_which_pixels_are_kept(min_kept: int, kept: list[float]) -> None:
    logits, labels = two_class_case([0.9, 0.6, 0.75, 0.2, 0.95])
    value, gradient = run(OhemCrossEntropyLoss(thresh=0.7, min_kept=min_kept), logits, labels)
    expected = sum(-math.log(p) for p in kept) / 5 / (len(kept) / 5 + 1e-5)
    assert value == pytest.approx(expected, rel=1e-6)
    assert (gradient[0, 0, 0] != 0).sum() == len(kept)


def test_min_kept_counts_over_the_whole_batch() -> None:
    logits, labels = two_class_case([0.8, 0.85, 0.9, 0.95])
    as_two_images = logits.reshape(1, 2, 2, 2).transpose(2, 1, 0, 3)
    value, _ = run(OhemCrossEntropyLoss(min_kept=3), as_two_images, labels.reshape(2, 1, 2))
    # The third smallest of all four is 0.9.
    assert value == pytest.approx((-math.log(0.8) - math.log(0.85)) / 4 / (2 / 4 + 1e-5), rel=1e-6)


def test_ignored_pixels_never_set_the_threshold() -> None:
    logits, labels = two_class_case([0.01, 0.02, 0.03, 0.8, 0.9])
    labels[0, 0, :3] = 255
    value, _ = run(OhemCrossEntropyLoss(min_kept=1), logits, labels)
    # The smallest valid probability is 0.8: nothing is below it.
    assert value == 0.0


def test_without_mining_it_is_the_cross_entropy_but_for_the_divisor() -> None:
    logits, labels = make_case()
    share = (labels != 255).mean()
    value, _ = run(OhemCrossEntropyLoss(min_kept=10000), logits, labels)
    assert value == pytest.approx(cross_entropy(logits, labels) * share / (share + 1e-5), rel=1e-6)


@pytest.mark.parametrize("min_kept", [0, 5, 10000])
def test_one_class_everywhere(min_kept: int) -> None:
    logits, labels = make_case(ignored=0.0)
    labels[:] = 1
    value, _ = run(OhemCrossEntropyLoss(min_kept=min_kept), logits, labels)
    assert value == pytest.approx(ohem(logits, labels, thresh=0.7, min_kept=min_kept), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"thresh": 0.0}, "thresh"), ({"thresh": 1.1}, "thresh"), ({"min_kept": -1}, "min_kept")],
)
def test_options_out_of_range(options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        OhemCrossEntropyLoss(**options)


def test_weight_of_another_class_count() -> None:
    logits, labels = make_case()
    with pytest.raises(ConfigError, match=r"OhemCrossEntropyLoss\.weight: got 3 values"):
        OhemCrossEntropyLoss(weight=[1.0, 2.0, 3.0])(
            paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels)
        )
