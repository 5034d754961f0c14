"""Windows against a loop over them, and their labels against those of all scores."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_cases import Array, make_image, model, naive_slide

from paddleseg.errors import WeightsError
from paddleseg.inference import InferenceOptions, infer_labels, infer_logits, to_labels
from paddleseg.inference.windows import slide_labels


class TestSlide:
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_equals_one_window_at_a_time(self, data: st.DataObject) -> None:
        height, width = data.draw(st.integers(1, 23)), data.draw(st.integers(1, 23))
        crop = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
        stride = (data.draw(st.integers(1, crop[0])), data.draw(st.integers(1, crop[1])))
        image = make_image(height, width)
        options = InferenceOptions(
            is_slide=True, crop_size=crop, stride=stride, window_batch=data.draw(st.integers(1, 7))
        )
        np.testing.assert_allclose(
            infer_logits(model, image, options), naive_slide(image, crop, stride), rtol=1e-5, atol=1e-5
        )

    def test_windows_are_batched_equal_in_size_and_shifted_inside(self) -> None:
        shapes = []

        def watch(image: Array) -> Array:
            shapes.append(image.shape)
            return model(image)

        # Columns at 0, 4, 5 of 13; rows at 0, 3 of 9: six windows of 6 rows by 8 columns.
        options = InferenceOptions(is_slide=True, crop_size=(8, 6), stride=(4, 5), window_batch=4)
        infer_logits(watch, make_image(9, 13), options)
        assert shapes == [(4, 3, 6, 8), (2, 3, 6, 8)]

    def test_image_smaller_than_the_window_is_one_smaller_window(self) -> None:
        image = make_image(5, 30)
        options = InferenceOptions(is_slide=True, crop_size=(10, 10), stride=(10, 10))
        expected = np.concatenate([model(image[..., at : at + 10]) for at in (0, 10, 20)], axis=3)
        np.testing.assert_allclose(infer_logits(model, image, options), expected, rtol=1e-6)

    def test_batches_of_images_do_not_mix(self) -> None:
        images = make_image(11, 14, batch=3)
        options = InferenceOptions(is_slide=True, crop_size=(6, 5), stride=(3, 4), window_batch=5)
        together = infer_logits(model, images, options)
        for i in range(3):
            np.testing.assert_array_equal(
                together[i : i + 1], infer_logits(model, images[i : i + 1], options)
            )


class TestLabelsOfWindows:
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_they_are_those_of_the_mean_scores(self, data: st.DataObject) -> None:
        height, width = data.draw(st.integers(1, 23)), data.draw(st.integers(1, 23))
        crop = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
        stride = (data.draw(st.integers(1, crop[0])), data.draw(st.integers(1, crop[1])))
        # Whole numbers, so that classes often share the highest score.
        image = np.random.default_rng(0).integers(-2, 3, (1, 3, height, width)).astype(np.float32)
        options = InferenceOptions(
            is_slide=True, crop_size=crop, stride=stride, window_batch=data.draw(st.integers(1, 7))
        )
        np.testing.assert_array_equal(
            slide_labels(whole_numbers, image, options),
            to_labels(infer_logits(whole_numbers, image, options)),
        )

    @pytest.mark.parametrize("stride", [(8, 8), (6, 5), (3, 8)])
    def test_there_are_no_seams_where_windows_overlap_by_the_field_of_view(
        self, stride: tuple[int, int]
    ) -> None:
        """Each pixel is seen by some window with its whole surroundings, and only those scores count."""
        image = make_image(29, 37)
        options = InferenceOptions(is_slide=True, crop_size=(11, 11), stride=stride)
        np.testing.assert_array_equal(
            slide_labels(only_where_all_is_seen, image, options)[1:-1, 1:-1],
            to_labels(neighbours(image))[1:-1, 1:-1],
        )

    def test_scores_are_kept_only_until_the_last_window_that_holds_them(self) -> None:
        """Rows of windows overlap by 8 of 32 rows; the image has 104."""
        image = np.zeros((1, 3, 104, 512), dtype=np.float32)
        options = InferenceOptions(is_slide=True, crop_size=(32, 32), stride=(24, 24), window_batch=1)
        tracemalloc.start()
        try:
            slide_labels(ten_classes, image, options)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        scores, labels = 10 * 104 * 512 * 4, 104 * 512
        assert scores * 8 / 104 < peak - labels < scores * 2 * 8 / 104

    def test_parts_are_asked_for_window_by_window(self) -> None:
        image, asked = make_image(9, 13), []

        class Source:
            shape = image.shape

            def __getitem__(self, part: tuple[slice, ...]) -> Array:
                asked.append((part[2].start, part[3].start))
                return image[part]

        options = InferenceOptions(is_slide=True, crop_size=(8, 6), stride=(4, 5), window_batch=4)
        np.testing.assert_array_equal(
            infer_labels(model, Source(), options), infer_labels(model, image, options)
        )
        assert asked == [(top, left) for top in (0, 3) for left in (0, 4, 5)]

    def test_a_score_that_is_no_number_is_refused(self) -> None:
        options = InferenceOptions(is_slide=True, crop_size=(4, 4), stride=(3, 3))
        with pytest.raises(WeightsError, match="not numbers"):
            slide_labels(lambda x: np.where(x > 2, np.float32("nan"), x), make_image(30, 30), options)


def whole_numbers(image: Array) -> Array:
    """Scores that depend on the place within the window."""
    rows = np.arange(image.shape[2], dtype=np.float32)[:, None] % 3
    columns = np.arange(image.shape[3], dtype=np.float32) % 2
    return np.stack([image[:, 0] + rows, image[:, 1] + columns, image[:, 2], image[:, 1]], axis=1)


def neighbours(image: Array) -> Array:
    """Scores out of 3×3 pixels; what lies outside counts as 0."""
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = image.shape[2:]
    return sum(padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3))


def only_where_all_is_seen(image: Array) -> Array:
    scores = neighbours(image)
    inner = np.zeros_like(scores)
    inner[:, :, 1:-1, 1:-1] = scores[:, :, 1:-1, 1:-1]
    return inner


def ten_classes(image: Array) -> Array:
    return np.zeros((len(image), 10, *image.shape[2:]), dtype=np.float32)
