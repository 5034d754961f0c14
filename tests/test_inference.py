"""Inference over a callable: naive loops, Paddle's interpolation, cases worked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddleseg.errors import UsageError, WeightsError
from paddleseg.inference import InferenceOptions, infer_logits, softmax, to_labels, undo_transforms

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    kind: str
    size: tuple[int, int]


def make_image(height: int, width: int, *, batch: int = 1, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(batch, 3, height, width)).astype(np.float32)


def model(image: Array) -> Array:
    """Four classes whose scores depend on the content and on the place within the input."""
    rows = np.arange(image.shape[2], dtype=np.float32)[:, None] / 7
    columns = np.arange(image.shape[3], dtype=np.float32) / 5
    shifted = np.roll(image, 1, axis=3)
    return np.stack(
        [image[:, 0] + rows, image[:, 1] * columns, shifted[:, 2] - columns, image.mean(axis=1)], axis=1
    ).astype(np.float32)


def interpolate(maps: Array, height: int, width: int) -> Array:
    resized = F.interpolate(paddle.to_tensor(maps), [height, width], mode="bilinear", align_corners=False)
    return np.asarray(resized.numpy())


def naive_slide(image: Array, crop: tuple[int, int], stride: tuple[int, int]) -> npt.NDArray[np.float64]:
    """One window at a time, summed and counted in float64."""
    height, width = image.shape[2:]

    def starts(length: int, size: int, step: int) -> list[int]:
        found, at = [], 0
        while at + size < length:
            found.append(at)
            at += step
        return [*found, max(length - size, 0)]

    total = np.zeros((1, 4, height, width))
    count = np.zeros((height, width))
    for top in starts(height, crop[1], stride[1]):
        for left in starts(width, crop[0], stride[0]):
            part = (..., slice(top, top + crop[1]), slice(left, left + crop[0]))
            total[part] += model(image[part])
            count[part[1:]] += 1
    return total / count


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


def test_softmax_is_stable_and_does_not_write_to_its_input() -> None:
    logits = np.array([1000.0, 1000.0, -1000.0], dtype=np.float32).reshape(1, 3, 1, 1)
    assert softmax(logits).ravel().tolist() == [0.5, 0.5, 0.0]
    assert logits.ravel().tolist() == [1000.0, 1000.0, -1000.0]


@pytest.mark.parametrize("slide", [False, True])
def test_output_of_another_size_is_refused(slide: bool) -> None:
    options = InferenceOptions(is_slide=slide, crop_size=(4, 4), stride=(4, 4))
    with pytest.raises(ValueError, match="the model returned shape"):
        infer_logits(lambda image: image[:, :, ::2, ::2], make_image(8, 8), options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": []}, "scales: expected positive factors"),
        ({"scales": [1.0, -0.5]}, "scales"),
        ({"scales": 0}, "scales"),
        ({"scales": float("inf")}, "scales"),
        ({"scales": ["1.0"]}, "scales"),
        ({"scales": True}, "scales"),
        ({"is_slide": True}, "needs crop_size and stride"),
        ({"is_slide": True, "crop_size": (4, 4)}, "needs crop_size and stride"),
        ({"is_slide": True, "crop_size": (4, 4), "stride": (4, 5)}, r"stride \(4, 5\) is larger .* \(4, 4\)"),
        ({"crop_size": (4,)}, "crop_size: expected two whole numbers above 0, width then height"),
        ({"crop_size": 4}, "crop_size"),
        ({"stride": (0, 3)}, "stride"),
        ({"stride": (1.5, 3)}, "stride"),
        ({"window_batch": 0}, "window_batch"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InferenceOptions(**options)


def test_options_take_what_yaml_gives() -> None:
    options = InferenceOptions(scales=1, is_slide=True, crop_size=[8, 4], stride=[8, 4])  # type: ignore[arg-type]
    assert (options.scales, options.crop_size, options.stride) == ((1.0,), (8, 4), (8, 4))
    assert not options.is_augmented
