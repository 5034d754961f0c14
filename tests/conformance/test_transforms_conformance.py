"""What every registered transform promises; a new one joins by registering (and a line in EXAMPLES if it has
required parameters)."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paddleseg.data.transforms as T
from paddleseg.registry import TRANSFORMS

EXAMPLES = {
    "LimitLong": {"max_long": 20, "min_long": 12},
    "Padding": {"target_size": [50, 45]},
    "RandomDistort": {"sharpness_prob": 0.5},
    "RandomHorizontalFlip": {},
    "RandomPaddingCrop": {"crop_size": [19, 17]},
    "Resize": {"target_size": [21, 26], "keep_ratio": True, "size_divisor": 4},
    "ResizeByLong": {"long_size": 23},
    "ResizeByShort": {"short_size": [9, 14], "max_size": 30},
    "ResizeStepScaling": {"min_scale_factor": 0.5, "max_scale_factor": 2.0},
    "Normalize": {},
}
NAMES = sorted(name for name in TRANSFORMS if TRANSFORMS.get(name).__module__.startswith("paddleseg."))

sizes = st.tuples(st.integers(1, 40), st.integers(1, 45))
seeds = st.integers(0, 2**32 - 1)


def build(name: str) -> T.Transform:
    return TRANSFORMS.get(name)(**EXAMPLES.get(name, {}))


def coded_sample(size: tuple[int, int], seed: int, channels: int = 3) -> T.Sample:
    """The image shows the label: grey level 3·class in every channel."""
    label = np.random.default_rng(seed).integers(0, 80, size).astype(np.int32)
    image = np.repeat(label[..., None], channels, axis=2).astype(np.float32) * 3
    return T.Sample(image, label, [], "image.png", "label.png")


def test_the_ten_names_of_paddleseg_are_there() -> None:
    assert set(EXAMPLES) <= set(NAMES)


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


@pytest.mark.parametrize("name", NAMES)
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
    result = transform(coded_sample(size, seed), np.random.default_rng(seed))
    assert T.resizes(transform) or all(step.kind != "resize" for step in result.undo)
    if not T.is_invertible(transform):
        assert result.undo == []
    elif result.size == size:
        assert all(step.size == size for step in result.undo)
    else:
        assert result.undo[0].size == size
        assert len(result.undo) == 1
        assert (result.undo[0].kind == "padding") == (name == "Padding")


@pytest.mark.parametrize("name", ["RandomHorizontalFlip", "Padding", "RandomPaddingCrop"])
@settings(max_examples=40, deadline=None)
@given(size=sizes, seed=seeds)
def test_moved_pixels_stay_under_their_labels(name: str, size: tuple[int, int], seed: int) -> None:
    result = build(name)(coded_sample(size, seed), np.random.default_rng(seed))
    inside = result.label != 255
    assert (result.image[..., 0][inside] == 3 * result.label[inside]).all()
    assert (result.image[~inside] == 127.5).all()


@pytest.mark.parametrize("name", [name for name in NAMES if "esize" in name or name == "LimitLong"])
@settings(max_examples=25, deadline=None)
@given(seed=seeds, height=st.integers(40, 70), width=st.integers(40, 70))
def test_resampled_pixels_stay_under_their_labels(name: str, seed: int, height: int, width: int) -> None:
    """Two halves: where image and label are far from the edge they must name the same class."""
    label = np.zeros((height, width), dtype=np.int32)
    cut_row, cut_column = height // 3, width // 2
    label[cut_row:] += 1
    label[:, cut_column:] += 2
    image = np.repeat(label[..., None], 3, axis=2).astype(np.float32) * 60
    result = build(name)(T.Sample(image, label), np.random.default_rng(seed))
    shown = np.rint(result.image[..., 0] / 60).astype(int)
    scale_rows, scale_columns = result.size[0] / height, result.size[1] / width
    rows = np.abs(np.arange(result.size[0]) + 0.5 - cut_row * scale_rows) > 1 + scale_rows
    columns = np.abs(np.arange(result.size[1]) + 0.5 - cut_column * scale_columns) > 1 + scale_columns
    far = rows[:, None] & columns
    assert (shown[far] == result.label[far]).all()
