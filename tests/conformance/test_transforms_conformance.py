"""What every registered transform promises; a new one joins by registering (and a line in EXAMPLES if it has
required parameters)."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paddleseg.data.transforms as T
from paddleseg.inference import undo_labels
from paddleseg.registry import TRANSFORMS

EXAMPLES = {
    "CenterCrop": {"crop_size": [18, 13]},
    "ClassUniformCrop": {"crop_size": [17, 15], "prob": 0.8},
    "CopyPaste": {"classes": list(range(0, 80, 2)), "prob": 0.8, "max_objects": 5},
    "LimitLong": {"max_long": 20, "min_long": 12},
    "Normalize": {},
    "Padding": {"target_size": [50, 45]},
    "PaddingByAspectRatio": {"aspect_ratio": 1.3},
    "RandomAffine": {"size": [30, 25], "translation_offset": 5, "max_rotation": 180},
    "RandomBlur": {"prob": 0.8, "blur_type": "random"},
    "RandomCenterCrop": {"retain_ratio": [0.3, 0.6]},
    "RandomDistort": {"sharpness_prob": 0.5},
    "RandomHorizontalFlip": {},
    "RandomNoise": {"prob": 0.8},
    "RandomPaddingCrop": {"crop_size": [19, 17]},
    "RandomRotation": {"max_rotation": 180},
    "RandomScaleAspect": {},
    "RandomVerticalFlip": {"prob": 0.5},
    "Resize": {"target_size": [21, 26], "keep_ratio": True, "size_divisor": 4},
    "ResizeByLong": {"long_size": 23},
    "ResizeByShort": {"short_size": [9, 14], "max_size": 30},
    "ResizeRangeScaling": {"min_value": 10, "max_value": 40},
    "ResizeStepScaling": {"min_scale_factor": 0.5, "max_scale_factor": 2.0},
    "ScalePadding": {"target_size": [31, 26]},
}
NAMES = sorted(name for name in TRANSFORMS if TRANSFORMS.get(name).__module__.startswith("paddleseg."))
MOVERS = [
    "CenterCrop",
    "ClassUniformCrop",
    "CopyPaste",
    "Padding",
    "PaddingByAspectRatio",
    "RandomCenterCrop",
    "RandomHorizontalFlip",
    "RandomPaddingCrop",
    "RandomVerticalFlip",
]
WARPS = ["RandomAffine", "RandomRotation"]
RESIZERS = sorted({name for name in NAMES if T.resizes(TRANSFORMS.get(name))} - set(WARPS))
# The label decides what becomes of the image.
NEEDS_LABEL = {"ClassUniformCrop", "CopyPaste"}
BYTES = [
    name for name in NAMES if getattr(TRANSFORMS.get(name), "takes_bytes", False) and name != "Normalize"
]

sizes = st.tuples(st.integers(1, 40), st.integers(1, 45))
seeds = st.integers(0, 2**32 - 1)


def build(name: str, **parameters: object) -> T.Transform:
    """The example, with those of the parameters that it has."""
    component = TRANSFORMS.get(name)
    known = inspect.signature(component).parameters
    fitting = {key: value for key, value in parameters.items() if key in known}
    return component(**EXAMPLES.get(name, {}) | fitting)


def coded_sample(size: tuple[int, int], seed: int, channels: int = 3) -> T.Sample:
    """The image shows the label, grey level 3·class in every channel; and so does each other one."""

    def draw(rng: np.random.Generator, size: tuple[int, int]) -> T.Sample:
        label = rng.integers(0, 80, size).astype(np.int32)
        image = np.repeat(label[..., None], channels, axis=2).astype(np.float32) * 3
        return T.Sample(image, label, [], "image.png", "label.png")

    def other(rng: np.random.Generator) -> T.Sample:
        return draw(rng, (int(rng.integers(1, 40)), int(rng.integers(1, 45))))

    return replace(draw(np.random.default_rng(seed), size), other=other)


def placed_sample(size: tuple[int, int]) -> T.Sample:
    """The image's channels are row and column of each pixel; the label numbers the pixels."""
    rows, columns = np.indices(size)
    image = np.stack([rows, columns, columns], axis=-1).astype(np.float32)
    return T.Sample(image, (rows * size[1] + columns).astype(np.int32))


def test_every_transform_has_an_example() -> None:
    assert sorted(EXAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_is_documented(name: str) -> None:
    assert len(inspect.getdoc(TRANSFORMS.get(name)) or "") > 30


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(size=sizes, seed=seeds, channels=st.sampled_from([1, 3]))
def test_shapes_types_inputs_and_determinism(
    name: str, size: tuple[int, int], seed: int, channels: int
) -> None:
    transform, sample = build(name), coded_sample(size, seed, channels)
    before = copy.deepcopy(sample)
    sample.image.setflags(write=False)
    sample.label.setflags(write=False)
    first = transform(sample, np.random.default_rng(seed))
    second = build(name)(before, np.random.default_rng(seed))
    assert first.image.dtype == np.float32
    assert first.image.ndim == 3
    assert first.image.shape[2] == channels
    assert first.label.dtype == np.int32
    assert first.label.shape == first.size
    assert (first.image_path, first.label_path) == ("image.png", "label.png")
    assert (first.image == second.image).all()
    assert (first.label == second.label).all()
    assert sample.undo == []


@pytest.mark.parametrize("name", BYTES)
@settings(max_examples=20, deadline=None)
@given(size=sizes, seed=seeds, channels=st.sampled_from([1, 3]))
def test_bytes_stay_bytes_and_say_the_same(
    name: str, size: tuple[int, int], seed: int, channels: int
) -> None:
    """With padding that bytes can hold; resampled pixels are rounded."""
    transform = build(name, im_padding_value=7)
    floats = coded_sample(size, seed, channels)
    image, label = floats.image.astype(np.uint8), floats.label.astype(np.uint8)
    image.setflags(write=False)
    label.setflags(write=False)

    def other(rng: np.random.Generator) -> T.Sample:
        drawn = floats.other(rng)
        return replace(drawn, image=drawn.image.astype(np.uint8), label=drawn.label.astype(np.uint8))

    got = transform(replace(floats, image=image, label=label, other=other), np.random.default_rng(seed))
    wanted = transform(floats, np.random.default_rng(seed))
    assert got.image.dtype == got.label.dtype == np.uint8
    np.testing.assert_array_equal(got.label, wanted.label)
    np.testing.assert_allclose(got.image, wanted.image, atol=1.01 if name in [*WARPS, *RESIZERS] else 0.5)


@pytest.mark.parametrize("name", sorted(set(NAMES) - NEEDS_LABEL))
@settings(max_examples=20, deadline=None)
@given(size=sizes, seed=seeds)
def test_the_image_is_the_same_with_and_without_a_label(name: str, size: tuple[int, int], seed: int) -> None:
    sample = coded_sample(size, seed)
    bare = T.Sample(sample.image, None, [], "image.png", None)
    with_label = build(name)(sample, np.random.default_rng(seed))
    without = build(name)(bare, np.random.default_rng(seed))
    assert without.label is None
    assert (with_label.image == without.image).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(size=sizes, seed=seeds)
def test_undo_leads_back_to_the_size_before(name: str, size: tuple[int, int], seed: int) -> None:
    transform = build(name)
    sample = coded_sample(size, seed)
    result = transform(sample, np.random.default_rng(seed))
    kinds = {step.kind for step in result.undo}
    assert T.resizes(transform) or "resize" not in kinds
    if not T.is_invertible(transform):
        assert result.undo == []
        return
    back = undo_labels(result.label.astype(np.uint16), result.undo)
    assert back.shape == size
    if kinds <= {"padding"}:
        np.testing.assert_array_equal(back, sample.label)


@pytest.mark.parametrize("ignored", [255, -1])
@pytest.mark.parametrize("name", MOVERS)
@settings(max_examples=30, deadline=None)
@given(size=sizes, seed=seeds)
def test_moved_pixels_stay_under_their_labels(
    name: str, ignored: int, size: tuple[int, int], seed: int
) -> None:
    transform = build(name, label_padding_value=ignored, ignore_index=ignored)
    result = transform(coded_sample(size, seed), np.random.default_rng(seed))
    inside = result.label != ignored
    assert (result.image[..., 0][inside] == 3 * result.label[inside]).all()
    assert (result.image[~inside] == 127.5).all()


@pytest.mark.parametrize("name", [*WARPS, *RESIZERS])
@settings(max_examples=40, deadline=None)
@given(size=sizes, seed=seeds)
def test_resampled_pixels_stay_under_their_labels(name: str, size: tuple[int, int], seed: int) -> None:
    """Image and label of a result both tell where it was in the source; they must tell the same.

    Turning rounds that place, by half a pixel at most. OpenCV's INTER_NEAREST of resize() takes the pixel
    below the left edge of the new one, whose middle is where the image is sampled: as s source pixels become
    one, that is up to (s + 1) / 2 apart. Near the edges images mix with the padding; there, places of the
    cubic ScalePadding reach two pixels.
    """
    result = build(name, label_padding_value=-1)(placed_sample(size), np.random.default_rng(seed))
    rows, columns = np.divmod(result.label, size[1])
    edge = 3 if name == "ScalePadding" else 1
    inside = (result.label >= 0) & (rows >= edge) & (rows < size[0] - edge)
    inside &= (columns >= edge) & (columns < size[1] - edge)
    square = (max(size),) * 2 if name == "ScalePadding" else size
    for axis, places in enumerate((rows, columns)):
        reach = (max(square[axis] / result.size[axis], 1) + 1) / 2
        off = np.abs(result.image[..., axis] - places)[inside]
        assert (off <= (0.55 if name in WARPS else reach + 0.1)).all()
