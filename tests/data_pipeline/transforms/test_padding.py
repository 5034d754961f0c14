"""Padding on arrays small enough to write out, and the way back of a prediction."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from paddleseg.data.transforms import (
    Compose,
    Padding,
    PaddingByAspectRatio,
    Sample,
    ScalePadding,
    Undo,
    refuse_training_transforms,
)
from paddleseg.data.transforms.functional import to_batch_of_one
from paddleseg.errors import DataError
from paddleseg.inference import InferenceOptions, infer_labels, undo_labels, undo_transforms


def coded(height: int, width: int) -> Sample:
    """Every pixel of image and label holds its own number."""
    label = np.arange(height * width, dtype=np.int32).reshape(height, width)
    return Sample(np.repeat(label[..., None], 3, axis=2).astype(np.float32), label, image_path="a.png")


def test_padding_by_hand(rng: np.random.Generator) -> None:
    result = Padding([3, 2])(coded(1, 2), rng)
    assert result.label.tolist() == [[0, 1, 255], [255, 255, 255]]
    assert result.image[..., 0].tolist() == [[0, 1, 127.5], [127.5, 127.5, 127.5]]
    assert result.undo == [Undo("padding", (1, 2))]


def test_padding_to_a_square_and_with_other_values(rng: np.random.Generator) -> None:
    result = Padding(2, im_padding_value=7, label_padding_value=-1)(coded(1, 2), rng)
    assert result.label.tolist() == [[0, 1], [-1, -1]]
    assert result.image[1, 0].tolist() == [7, 7, 7]


def test_padding_of_a_larger_image_names_it(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"a\.png: Padding: the image has 4×3 pixels.*\[3, 5\]"):
        Padding([3, 5])(coded(3, 4), rng)


@pytest.mark.parametrize(
    ("ratio", "size", "wanted"),
    [
        # Sizes of PaddleSeg's arithmetic, by hand: int(width / ratio) or int(height · ratio).
        (1, (2, 5), (5, 5)),
        (1, (5, 2), (5, 5)),
        (2, (3, 4), (3, 6)),
        (1.77777778, (1024, 2048), (1151, 2048)),
        (0.75, (4, 3), (4, 3)),
        (1.3, (1, 1), (1, 1)),
    ],
)
def test_proportions(
    ratio: float, size: tuple[int, int], wanted: tuple[int, int], rng: np.random.Generator
) -> None:
    sample = coded(*size)
    result = PaddingByAspectRatio(ratio, im_padding_value=1, label_padding_value=-1)(sample, rng)
    assert result.size == wanted
    height, width = size
    assert (result.image[:height, :width] == sample.image).all()
    assert (result.label[:height, :width] == sample.label).all()
    assert (result.image[height:] == 1).all()
    assert (result.label[:, width:] == -1).all()
    assert result.undo == ([] if size == wanted else [Undo("padding", size)])


def test_the_square_by_hand(rng: np.random.Generator) -> None:
    sample = coded(1, 4)
    result = ScalePadding([4, 4], im_padding_value=9, label_padding_value=-1)(sample, rng)
    assert result.label.tolist() == [[-1] * 4, [0, 1, 2, 3], [-1] * 4, [-1] * 4]
    assert result.image[..., 2].tolist() == [[9] * 4, [0, 1, 2, 3], [9] * 4, [9] * 4]
    assert result.undo == [Undo("padding", (1, 4), (1, 0))]
    assert undo_labels(result.label.astype(np.uint8), result.undo).tolist() == sample.label.tolist()


def test_the_square_is_resized_cubically(rng: np.random.Generator) -> None:
    image = rng.uniform(0, 255, (7, 4, 3)).astype(np.float32)
    result = ScalePadding([10, 6])(Sample(image, np.ones((7, 4), np.int32)), rng)
    square = np.full((7, 7, 3), 127.5, np.float32)
    square[:, 1:5] = image
    np.testing.assert_array_equal(result.image, cv2.resize(square, (10, 6), interpolation=cv2.INTER_CUBIC))
    # No class between 1 and 255: the column of pixel x is floor(x · 7 / 10).
    assert result.label[0].tolist() == [255, 255, 1, 1, 1, 1, 1, 1, 255, 255]
    assert result.undo == [Undo("padding", (7, 4), (0, 1)), Undo("resize", (7, 7))]


def test_one_pixel_of_one_channel(rng: np.random.Generator) -> None:
    result = ScalePadding([3, 2])(Sample(np.full((1, 1, 1), 8, np.float32)), rng)
    assert result.image.tolist() == [[[8]] * 3] * 2


@pytest.mark.parametrize("size", [(60, 91), (90, 61), (50, 50)])
@pytest.mark.parametrize(
    "transforms",
    [
        [ScalePadding([128, 128])],
        [PaddingByAspectRatio(1.5)],
        [PaddingByAspectRatio(0.5), ScalePadding([100, 120]), Padding([150, 130])],
    ],
)
def test_a_prediction_comes_back_to_where_it_was(
    transforms: list[Any], size: tuple[int, int], rng: np.random.Generator
) -> None:
    """The model says class 1 where the image is bright: in a box that has no symmetry."""
    image = np.zeros((*size, 3), np.float32)
    label = np.zeros(size, np.uint8)
    label[10:33, 20:28] = 1
    image[label == 1] = 255

    def model(batch: np.ndarray) -> np.ndarray:
        bright = batch[:, :1]
        return np.concatenate([127.5 - bright, bright - 127.5], axis=1)

    chain = Compose(transforms)
    refuse_training_transforms(chain, "in mode val")
    sample = chain(Sample(image), rng)
    batch = to_batch_of_one(sample.image)
    found = infer_labels(model, batch, InferenceOptions(), sample.undo)
    ids = undo_labels(model(batch)[0].argmax(axis=0).astype(np.uint8), sample.undo)
    assert found.shape == ids.shape == size
    # Resizing there and back may move an edge by a pixel: 62 pixels are along the edges of the box.
    exact = not any(step.kind == "resize" for step in sample.undo)
    for got in (found, ids):
        assert (got != label).sum() <= (0 if exact else 31)
        assert (got[12:31, 22:26] == 1).all()
    scores = undo_transforms(model(batch), sample.undo)
    np.testing.assert_array_equal(scores[0].argmax(axis=0), found)


@pytest.mark.parametrize(
    ("component", "parameters", "named"),
    [
        (Padding, {"target_size": [10]}, "target_size"),
        (Padding, {"target_size": 0}, "target_size"),
        (Padding, {"target_size": 8, "label_padding_value": 2.5}, "label_padding_value"),
        (Padding, {"target_size": 8, "im_padding_value": "grey"}, "im_padding_value"),
        (PaddingByAspectRatio, {"aspect_ratio": 0}, "aspect_ratio: expected a number above 0, got 0"),
        (PaddingByAspectRatio, {"aspect_ratio": "16:9"}, "aspect_ratio"),
        (PaddingByAspectRatio, {"im_padding_value": [1, 2]}, "im_padding_value"),
        (ScalePadding, {"target_size": 512}, r"target_size: expected \[width, height\]"),
        (ScalePadding, {"label_padding_value": None}, "label_padding_value"),
    ],
)
def test_bad_parameters_are_named(component: Any, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        component(**parameters)


@pytest.mark.parametrize("transform", [PaddingByAspectRatio, ScalePadding])
def test_three_values_do_not_fit_a_grey_image(transform: Any, rng: np.random.Generator) -> None:
    sample = Sample(np.zeros((1, 2, 1), np.float32), image_path="grey.png")
    with pytest.raises(DataError, match=r"grey\.png: im_padding_value: got 3 numbers .* of 1 channel"):
        transform(im_padding_value=[1, 2, 3])(sample, rng)
