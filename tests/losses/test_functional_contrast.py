"""Which pixels are compared, and how: loops in float64, counts."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from loss_oracles import contrast_of_pixels, unit

from paddleseg.losses.functional_contrast import contrast, nearest, sample_anchors


@pytest.mark.parametrize("classes", [[0, 0, 1, 1, 1], [2, 0, 2, 1, 1], [0, 0]])
def test_contrast_equals_the_naive_loop(classes: list[int]) -> None:
    rows = np.random.default_rng(1).normal(size=(len(classes), 3))
    tensor = paddle.to_tensor(rows.astype("float32"), stop_gradient=False)
    value = contrast(F.normalize(tensor, axis=1), paddle.to_tensor(classes), temperature=0.3)
    value.backward()
    assert value.item() == pytest.approx(contrast_of_pixels(unit(rows), classes, 0.3), rel=1e-5)
    slope = np.zeros_like(rows)
    for index in np.ndindex(*rows.shape):
        step = np.zeros_like(rows)
        step[index] = 1e-6
        slope[index] = contrast_of_pixels(unit(rows + step), classes, 0.3) - contrast_of_pixels(
            unit(rows - step), classes, 0.3
        )
    np.testing.assert_allclose(tensor.grad.numpy(), slope / 2e-6, atol=1e-5)


def sample(labels: np.ndarray, predicted: np.ndarray, **options: int) -> dict[tuple[int, int], list[bool]]:
    """(image, class) → whether each anchor is wrongly predicted."""
    order = np.random.default_rng(0).permutation(labels.size)
    options = {"ignore_index": 255, "max_samples": 1000, **options}
    anchors = sample_anchors(labels, predicted, order, **options)
    assert len(set(anchors.pixels.tolist())) == len(anchors.pixels)
    np.testing.assert_array_equal(labels.ravel()[anchors.pixels], anchors.classes)
    found: dict[tuple[int, int], list[bool]] = {}
    for pixel, kind in zip(anchors.pixels, anchors.classes, strict=True):
        wrong = bool(predicted.ravel()[pixel] != kind)
        found.setdefault((int(pixel // labels[0].size), int(kind)), []).append(wrong)
    return found


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [(0, 0), (1, 1), (2, 2), (3, 2), (10, 2), (16, 2), (18, 3), (19, 4), (20, 5)],
)
def test_half_of_the_anchors_are_wrongly_predicted(wrong: int, expected: int) -> None:
    labels = np.zeros((1, 4, 5), int)
    predicted = (np.arange(20) < wrong).astype(int).reshape(labels.shape)
    found = sample(labels, predicted, max_views=5)
    assert sorted(found) == [(0, 0)]
    assert len(found[0, 0]) == 5
    assert sum(found[0, 0]) == expected


def test_classes_must_be_large_enough_and_ignored_pixels_are_no_class() -> None:
    labels = np.array([[[0] * 4, [1] * 4, [255] * 4], [[0, 0, 0, 1], [1] * 4, [255] * 4]])
    found = sample(labels, labels, max_views=3)
    assert {key: len(wrong) for key, wrong in found.items()} == {(0, 0): 3, (0, 1): 3, (1, 1): 3}
    assert sample(labels, labels, max_views=5) == {}
    found = sample(labels, labels, max_views=3, max_samples=7)
    assert [len(wrong) for wrong in found.values()] == [2, 2, 2]
    found = sample(labels, labels, max_views=3, max_samples=2)
    assert [len(wrong) for wrong in found.values()] == [1, 1, 1]


def test_other_pixels_come_first_in_another_order() -> None:
    labels = np.zeros((1, 5, 5), int)
    options = {"ignore_index": 255, "max_samples": 100, "max_views": 4}
    drawn = [
        sample_anchors(labels, labels, np.random.default_rng(seed).permutation(25), **options).pixels
        for seed in (0, 1)
    ]
    assert sorted(drawn[0]) != sorted(drawn[1])


@pytest.mark.parametrize("size", [(3, 4), (6, 8), (5, 5), (1, 1)])
def test_nearest_equals_paddle(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 9, (2, 6, 8))
    expected = F.interpolate(paddle.to_tensor(values[:, None].astype("float32")), size, mode="nearest")
    np.testing.assert_array_equal(nearest(values, *size), expected.numpy()[:, 0])
