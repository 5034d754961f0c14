"""Overlap counted in probabilities: literals."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg.losses.functional_overlap import dice_loss, soft_counts, tversky_loss

# Two images of three pixels; the classes have the probabilities 3/4 and 1/4 everywhere.
LOGITS = paddle.log(paddle.to_tensor([3.0, 1.0])).reshape([1, 2, 1, 1]).expand([2, 2, 1, 3])
LABELS = paddle.to_tensor([[[0, 1, -1]], [[1, 1, 1]]])


def test_counts() -> None:
    found, wrong, missed = soft_counts(LOGITS, LABELS, ignore_index=-1)
    # Image 0: a pixel of each class. Image 1: three of class 1.
    np.testing.assert_allclose(found.numpy(), [[0.75, 0.25], [0.0, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(wrong.numpy(), [[0.75, 0.25], [2.25, 0.0]], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(missed.numpy(), [[0.25, 0.75], [0.0, 2.25]], rtol=1e-6, atol=1e-6)


def test_losses_from_these_counts() -> None:
    dice = dice_loss(LOGITS, LABELS, ignore_index=-1, smooth=1.0)
    # 1 − (2·TP + 1) / (2·TP + FP + FN + 1), the mean of both images.
    expected = [1 - (2.5 / 3.5 + 1 / 3.25) / 2, 1 - (1.5 / 2.5 + 2.5 / 4.75) / 2]
    np.testing.assert_allclose(dice.numpy(), expected, rtol=1e-6)
    tversky = tversky_loss(LOGITS, LABELS, alpha=0.2, beta=2.0, ignore_index=-1, smooth=0.0)
    # 1 − TP / (TP + FP/5 + 2·FN).
    expected = [1 - (0.75 / 1.4 + 0) / 2, 1 - (0.25 / 1.8 + 0.75 / 5.25) / 2]
    np.testing.assert_allclose(tversky.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_nothing_counts(smooth: float) -> None:
    labels = paddle.full_like(LABELS, -1)
    options = {"ignore_index": -1, "smooth": smooth}
    assert dice_loss(LOGITS, labels, **options).tolist() == [0.0, 0.0]
    assert tversky_loss(LOGITS, labels, alpha=0.3, beta=0.7, **options).tolist() == [0.0, 0.0]
