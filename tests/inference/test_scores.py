"""Scales, flips and undoing: Paddle's interpolation and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from inference_cases import Array, Step, interpolate, make_image, model, naive_slide

from paddleseg.inference import InferenceOptions, infer_logits, softmax, undo_labels, undo_transforms


class TestScalesAndFlips:
    def test_plain_options_return_the_model_s_logits(self) -> None:
        image = make_image(9, 12)
        assert not InferenceOptions().is_augmented
        np.testing.assert_array_equal(infer_logits(model, image, InferenceOptions()), model(image))

    def test_equals_the_reference_procedure_from_the_original_image_each_time(self) -> None:
        image = make_image(20, 31)
        options = InferenceOptions(scales=(0.75, 1.0, 1.5), flip_horizontal=True)
        expected = np.zeros((1, 4, 20, 31))
        for height, width in ((15, 23), (20, 31), (30, 47)):  # int(side · scale + 0.5)
            scaled = interpolate(image, height, width)
            for flip in (False, True):
                logits = model(scaled[..., ::-1] if flip else scaled)
                logits = interpolate(logits[..., ::-1].copy() if flip else logits, 20, 31)
                powers = np.exp(logits.astype(np.float64))
                expected += powers / powers.sum(axis=1, keepdims=True)
        result = infer_logits(model, image, options)
        np.testing.assert_allclose(result, expected / 6, atol=2e-5)
        np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-5)

    def test_both_flips_make_four_passes_each_undone(self) -> None:
        image = make_image(4, 5)
        passes: list[Array] = []

        def mark_origin(flipped: Array) -> Array:
            passes.append(flipped)
            logits = np.zeros((1, 2, 4, 5), dtype=np.float32)
            logits[0, 1, 0, 0] = 50  # certain of class 1 at the top left of what it sees
            return logits

        result = infer_logits(mark_origin, image, InferenceOptions(flip_horizontal=True, flip_vertical=True))
        for seen, expected in zip(
            passes, (image, image[..., ::-1], image[:, :, ::-1], image[:, :, ::-1, ::-1]), strict=True
        ):
            np.testing.assert_array_equal(seen, expected)
        # In each corner one pass says 1, the other three 0.5.
        corners = np.zeros((4, 5), dtype=bool)
        corners[::3, ::4] = True
        np.testing.assert_allclose(result[0, 1], np.where(corners, 0.625, 0.5), atol=1e-6)

    def test_windows_work_at_every_scale(self) -> None:
        image = make_image(10, 16)
        options = InferenceOptions(scales=(0.5, 2.0), is_slide=True, crop_size=(12, 12), stride=(7, 7))
        expected = np.zeros((1, 4, 10, 16))
        for height, width in ((5, 8), (20, 32)):
            logits = naive_slide(interpolate(image, height, width), (12, 12), (7, 7)).astype(np.float32)
            expected += softmax(interpolate(logits, 10, 16))
        np.testing.assert_allclose(infer_logits(model, image, options), expected / 2, atol=2e-5)

    def test_a_vanishing_scale_keeps_one_pixel(self) -> None:
        assert infer_logits(model, make_image(3, 3), InferenceOptions(scales=(0.1,))).shape == (1, 4, 3, 3)

    def test_the_image_is_not_written_to(self) -> None:
        image = make_image(8, 8)
        before = image.copy()
        infer_logits(lambda x: x, image, InferenceOptions(scales=(1.0, 0.5), flip_horizontal=True))
        np.testing.assert_array_equal(image, before)


class TestUndo:
    def test_padding_is_cropped_then_resize_undone(self) -> None:
        scores = make_image(12, 16)
        undone = undo_transforms(scores, [Step("resize", (19, 27)), Step("padding", (9, 13))])
        np.testing.assert_allclose(undone, interpolate(scores[:, :, :9, :13].copy(), 19, 27), atol=1e-5)

    def test_resize_after_padding_is_undone_first(self) -> None:
        scores = make_image(6, 8)
        undone = undo_transforms(scores, [Step("padding", (9, 13)), Step("resize", (12, 16))])
        np.testing.assert_allclose(undone, interpolate(scores, 12, 16)[:, :, :9, :13], atol=1e-5)

    def test_padding_on_all_sides_is_cropped(self) -> None:
        scores = make_image(6, 8)
        undone = undo_transforms(scores, [Step("padding", (3, 5), (2, 1))])
        np.testing.assert_array_equal(undone, scores[:, :, 2:5, 1:6])
        label = scores[0, 0].astype(np.uint8)
        np.testing.assert_array_equal(undo_labels(label, [Step("padding", (3, 5), (2, 1))]), label[2:5, 1:6])

    @pytest.mark.parametrize("size", [(7, 9), (24, 40), (12, 5), (11, 15), (6, 8)])
    def test_resize_equals_paddle(self, size: tuple[int, int]) -> None:
        scores = make_image(12, 16)
        np.testing.assert_allclose(
            undo_transforms(scores, [Step("resize", size)]), interpolate(scores, *size), atol=1e-5
        )

    def test_nothing_to_undo(self) -> None:
        scores = make_image(3, 4)
        assert undo_transforms(scores, []) is scores

    def test_unknown_step_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'rotate'"):
            undo_transforms(make_image(3, 4), [Step("rotate", (3, 4))])


def test_softmax_is_stable_and_does_not_write_to_its_input() -> None:
    logits = np.array([1000.0, 1000.0, -1000.0], dtype=np.float32).reshape(1, 3, 1, 1)
    assert softmax(logits).ravel().tolist() == [0.5, 0.5, 0.0]
    assert logits.ravel().tolist() == [1000.0, 1000.0, -1000.0]


@pytest.mark.parametrize("slide", [False, True])
def test_output_of_another_size_is_refused(slide: bool) -> None:
    options = InferenceOptions(is_slide=slide, crop_size=(4, 4), stride=(4, 4))
    with pytest.raises(ValueError, match="the model returned shape"):
        infer_logits(lambda image: image[:, :, ::2, ::2], make_image(8, 8), options)
