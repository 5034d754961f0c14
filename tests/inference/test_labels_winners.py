"""Labels against argmax."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from inference_cases import Array, Step, make_image, model

from paddleseg.errors import WeightsError
from paddleseg.inference import (
    InferenceOptions,
    enlarged_labels,
    infer_labels,
    infer_logits,
    to_labels,
    undo_transforms,
)


class TestLabels:
    @pytest.mark.parametrize("shape", [(1, 1, 3, 4), (1, 19, 33, 20), (1, 256, 5, 6), (1, 300, 17, 3)])
    def test_equals_argmax(self, shape: tuple[int, ...]) -> None:
        # Whole numbers, so that several classes often share the highest score.
        scores = np.random.default_rng(0).integers(0, 5, shape).astype(np.float32)
        labels = to_labels(scores)
        np.testing.assert_array_equal(labels, scores[0].argmax(axis=0))
        assert labels.dtype == (np.uint8 if shape[1] <= 256 else np.uint16)

    @pytest.mark.parametrize("place", [(0, 0, 0, 0), (0, 1, 19, 2), (0, 2, 16, 3)])
    def test_a_score_that_is_no_number_is_refused(self, place: tuple[int, ...]) -> None:
        scores = np.random.default_rng(0).normal(size=(1, 3, 20, 4)).astype(np.float32)
        scores[place] = np.nan
        with pytest.raises(WeightsError, match="not numbers"):
            to_labels(scores)

    def test_scores_that_are_a_view_are_read_right(self) -> None:
        scores = np.random.default_rng(0).normal(size=(1, 3, 20, 20)).astype(np.float32)[:, :, :18, ::-1]
        np.testing.assert_array_equal(to_labels(scores), scores[0].argmax(axis=0))


PADDED = [Step("padding", (9, 13))]
RESIZED = [Step("resize", (20, 31)), Step("padding", (9, 13))]


@pytest.mark.parametrize("undo", [[], PADDED, RESIZED])
@pytest.mark.parametrize(
    "options",
    [
        InferenceOptions(),
        InferenceOptions(is_slide=True, crop_size=(7, 7), stride=(5, 5)),
        InferenceOptions(scales=[0.75, 1.0], flip_horizontal=True),
    ],
)
def test_labels_are_those_of_the_scores(undo: list[Step], options: InferenceOptions) -> None:
    image = make_image(12, 16)
    expected = undo_transforms(infer_logits(model, image, options), undo)[0].argmax(axis=0)
    np.testing.assert_array_equal(infer_labels(model, image, options, undo), expected)


class Labeller:
    """A model that gives labels by itself: recognisable ones."""

    def __call__(self, images: Array) -> Array:
        return model(images)

    def labels(self, images: Array) -> np.ndarray:
        return np.arange(images[:, 0].size, dtype=np.uint8).reshape(images[:, 0].shape)


def test_a_model_is_asked_for_labels_where_scores_are_not_needed() -> None:
    image, counted = make_image(12, 16), np.arange(192).reshape(12, 16)
    plain = InferenceOptions()
    np.testing.assert_array_equal(infer_labels(Labeller(), image, plain), counted)
    np.testing.assert_array_equal(infer_labels(Labeller(), image, plain, PADDED), counted[:9, :13])
    for options, undo in ((plain, RESIZED), (InferenceOptions(flip_vertical=True), [])):
        np.testing.assert_array_equal(
            infer_labels(Labeller(), image, options, undo), infer_labels(model, image, options, undo)
        )


@pytest.mark.parametrize(
    ("options", "warns"),
    [
        (InferenceOptions(), True),
        (InferenceOptions(flip_vertical=True), True),
        (InferenceOptions(is_slide=True, crop_size=(4, 4), stride=(4, 4)), False),
    ],
)
def test_scores_of_a_huge_image_are_warned_of(
    options: InferenceOptions, warns: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "paddleseg")
    infer_labels(model, make_image(8, 16), options)
    assert not caplog.messages
    monkeypatch.setattr("paddleseg.inference.labels._LARGE", 127)
    infer_labels(model, make_image(8, 16), options)
    assert len(caplog.messages) == warns
    assert not warns or "16×8 pixels" in caplog.messages[0]


def test_enlarged_labels_refuse_what_is_no_number() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 3, 5, 6)).astype(np.float32)
    logits[0, 2, 4, 5] = np.nan
    with pytest.raises(WeightsError, match="not numbers"):
        enlarged_labels(logits, (40, 48), align_corners=False)
