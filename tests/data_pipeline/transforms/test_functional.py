"""Pixel arithmetic against Pillow (what the reference calls) and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from paddleseg.data.transforms import functional


def byte_picture(size: tuple[int, int] = (60, 90)) -> np.ndarray:
    """A smooth colourful picture with some noise."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    planes = [120 + 110 * np.sin(rows / 13 + phase) * np.cos(columns / 17 - phase) for phase in (0, 1, 2)]
    noise = np.random.default_rng(3).normal(0, 6, (*size, 3))
    return np.clip(np.stack(planes, axis=-1) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.0, 0.6, 0.93, 1.0, 1.4])
@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (functional.adjust_brightness, ImageEnhance.Brightness),
        (functional.adjust_contrast, ImageEnhance.Contrast),
        (functional.adjust_saturation, ImageEnhance.Color),
        (functional.adjust_sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancement_equals_pillow(ours, pillow, factor: float) -> None:
    image = byte_picture()
    wanted = np.asarray(pillow(Image.fromarray(image)).enhance(factor)).astype(int)
    difference = np.abs(ours(image, factor) - wanted)
    # OpenCV's and Pillow's fixed-point grey differ by one level on rare pixels.
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.mark.parametrize("delta", [-18.0, -3.7, 0.0, 5.5, 18.0])
def test_hue_follows_pillow_in_units_of_256(delta: float) -> None:
    image = byte_picture()
    hsv = np.array(Image.fromarray(image).convert("HSV"))
    hsv[..., 0] = (np.floor(hsv[..., 0] + delta).astype(int) % 256).astype(np.uint8)
    wanted = np.asarray(Image.frombytes("HSV", image.shape[1::-1], hsv.tobytes()).convert("RGB")).astype(int)
    assert np.abs(functional.shift_hue(image, delta) - wanted).mean() < 1.5


def test_hue_of_a_third_of_the_circle_turns_red_into_green() -> None:
    red = np.array([[[200, 0, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(functional.shift_hue(red, 256 / 3), [[[0, 200, 0]]], atol=3)


def test_hue_takes_the_whole_part_of_its_turn() -> None:
    image = byte_picture()
    assert (functional.shift_hue(image, -3.2) == functional.shift_hue(image, -4)).all()
    assert (functional.shift_hue(image, 5.9) == functional.shift_hue(image, 5)).all()
    assert (functional.shift_hue(image, -3) == functional.shift_hue(image, 253)).all()


def test_brightness_truncates_and_clips() -> None:
    image = np.array([[[3, 100, 200]]], dtype=np.uint8)
    # 3·1.5 = 4.5 → 4; 100·1.5 = 150; 200·1.5 = 300 → 255
    assert functional.adjust_brightness(image, 1.5).tolist() == [[[4, 150, 255]]]


def test_contrast_of_one_channel_blends_with_the_rounded_mean() -> None:
    image = np.array([[[10], [21]]], dtype=np.uint8)
    # The mean 15.5 rounds to 16: 16 + 0.5·(10 − 16) = 13; 16 + 0.5·(21 − 16) = 18.5 → 18
    assert functional.adjust_contrast(image, 0.5).tolist() == [[[13], [18]]]


def test_normalize_by_hand() -> None:
    image = np.array([[[0, 127.5, 255]]], dtype=np.float32)
    result = functional.normalize(image, [0.5, 0.5, 0.25], [0.5, 0.25, 0.5])
    assert result.dtype == np.float32
    assert result.tolist() == [[[-1.0, 0.0, 1.5]]]


def test_bilinear_resize_samples_at_half_pixel_centres() -> None:
    image = np.array([[[0.0], [100.0]]], dtype=np.float32)
    # Output centres at −0.25, 0.25, 0.75, 1.25 input pixels; the border is repeated.
    assert functional.resize_image(image, (1, 4)).ravel().tolist() == [0.0, 25.0, 75.0, 100.0]


def test_label_resize_makes_no_new_classes_and_keeps_large_ids() -> None:
    label = np.array([[0, 70000], [255, 3]], dtype=np.int32)
    resized = functional.resize_label(label, (4, 4))
    assert resized.dtype == np.int32
    assert resized.tolist() == [[0, 0, 70000, 70000]] * 2 + [[255, 255, 3, 3]] * 2


def test_padding_is_at_the_bottom_and_the_right() -> None:
    label = np.array([[1, 2]], dtype=np.int32)
    assert functional.pad(label, (2, 3), 255).tolist() == [[1, 2, 255], [255, 255, 255]]
    assert functional.pad(label, (2, 4), -1, (1, 1)).tolist() == [[-1, -1, -1, -1], [-1, 1, 2, -1]]


@pytest.mark.parametrize(
    ("function", "side", "wanted"),
    [
        (functional.size_with_long_side, 50, (25, 50)),
        (functional.size_with_short_side, 50, (50, 100)),
        (functional.size_with_long_side, 1, (1, 1)),
    ],
)
def test_sizes_keep_the_proportions(function, side: int, wanted: tuple[int, int]) -> None:
    assert function((100, 200), side) == wanted


def test_batch_of_one_puts_channels_first() -> None:
    image = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    batch = functional.to_batch_of_one(image)
    assert batch.shape == (1, 3, 2, 2)
    assert batch[0, 1].tolist() == [[1.0, 4.0], [7.0, 10.0]]
    assert batch.flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 3])
def test_normalizing_by_table_equals_the_formula_bit_by_bit(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 60, channels)).astype(np.uint8)
    images[0].flat[:256] = np.arange(256)
    for mean, std in (([0.5], [0.5]), ([0.485, 0.456, 0.406][:channels], [0.229, 0.224, 0.225][:channels])):
        wanted = np.stack([functional.normalize(image, mean, std).transpose(2, 0, 1) for image in images])
        got = functional.normalize_bytes(images, mean, std)
        assert got.dtype == np.float32
        assert got.tobytes() == np.ascontiguousarray(wanted).tobytes()


def test_normalize_of_bytes_and_of_floats_is_the_same() -> None:
    image = byte_picture()
    floats = functional.normalize(image.astype(np.float32), [0.485], [0.229])
    assert functional.normalize(image, [0.485], [0.229]).tobytes() == floats.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3)])
def test_flip_is_a_new_contiguous_array(shape: tuple[int, ...], dtype: type) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    array.setflags(write=False)
    flipped = functional.flip(array)
    assert flipped.tolist() == array[:, ::-1].tolist()
    assert flipped.dtype == dtype
    assert flipped.flags.c_contiguous
    assert functional.flip(array, vertical=True).tolist() == array[::-1].tolist()


def test_the_map_about_the_centre_by_hand() -> None:
    """3×2 pixels, turned by a quarter and twice as large, in 4×6: (1, 0.5) lands in (1.5, 2.5)."""
    matrix = functional.rotation_about_centre((2, 3), (6, 4), degrees=90, scale=2, shift=(0.25, -1))
    # (x, y) → (2·y, −2·x) + (1.5, 2.5) − (2·0.5, −2·1) + (0.25, −1)
    np.testing.assert_allclose(matrix, [[0, 2, 0.75], [-2, 0, 3.5]], atol=1e-12)


def test_warps_take_labels_of_any_class_and_leave_their_inputs() -> None:
    label = np.array([[70_000, -1], [3, 2**24]], dtype=np.int32)
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    for array in (label, image):
        array.setflags(write=False)
    right = np.array([[1.0, 0, 1], [0, 1, 0]])
    assert functional.warp_label(label, right, (2, 3), -5).tolist() == [[-5, 70_000, -1], [-5, 3, 2**24]]
    assert functional.warp_image(image, right, (2, 3), 9)[..., 0].tolist() == [[9, 0, 1], [9, 2, 3]]


@pytest.mark.parametrize(
    "adjust",
    [
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_sharpness,
        functional.shift_hue,
    ],
)
def test_colour_steps_leave_their_input(adjust) -> None:
    image = byte_picture((9, 8))
    before = image.copy()
    image.setflags(write=False)
    result = adjust(image, 1.4)
    assert (image == before).all()
    assert result.dtype == np.uint8
    assert result.shape == image.shape
