"""What is pasted from where, by hand; and where the other image comes from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packs import pack
from PIL import Image
from scipy import ndimage

from paddleseg.data.datasets import Dataset, SampleKey
from paddleseg.data.loader import make_train_loader
from paddleseg.data.pack import Pack
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.data.transforms import (
    ClassUniformCrop,
    Compose,
    CopyPaste,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    ResizeStepScaling,
    Sample,
)
from paddleseg.errors import DataError


def pair_of(label: list[list[int]], other: list[list[int]], dtype: type = np.int32) -> Sample:
    """Grey level class + 100 here, class + 200 in the other image."""
    mine, theirs = np.array(label, dtype), np.array(other, dtype)
    image, other_image = (
        (one[..., None] + level).astype(np.float32) for one, level in ((mine, 100), (theirs, 200))
    )
    return Sample(
        image, mine, image_path="a.png", other=lambda rng: Sample(other_image, theirs, image_path="b.png")
    )


def paste(sample: Sample, seed: int = 0, **options: Any) -> list[list[int]]:
    """The label afterwards; the image must show it, and where each pixel came from."""
    result = CopyPaste(**{"prob": 1.0, **options})(sample, np.random.default_rng(seed))
    source = result.image[..., 0] - result.label
    assert set(source.ravel()) <= {100, 200}
    mine = source == 100
    if sample.size == sample.other(None).size:
        np.testing.assert_array_equal(result.label, np.where(mine, sample.label, sample.other(None).label))
    return result.label.tolist()


def test_an_object_lands_on_its_place_with_its_label() -> None:
    sample = pair_of([[0, 1, 0], [0, 1, 0]], [[2, 3, 3], [3, 3, 2]])
    assert paste(sample, classes=[3]) == [[0, 3, 3], [3, 3, 0]]
    assert sample.label.tolist() == [[0, 1, 0], [0, 1, 0]]


def test_regions_that_touch_at_a_corner_are_one_object() -> None:
    other = [[5, 0, 0, 5], [0, 5, 0, 5], [0, 0, 0, 0], [5, 0, 0, 0]]
    sample = pair_of(np.zeros((4, 4)).tolist(), other)
    seen = Counter()
    for seed in range(900):
        label = np.array(paste(sample, seed, classes=[5], max_objects=1))
        seen[tuple(np.flatnonzero(label))] += 1
    # Three objects, 300 times each with a standard deviation of 14.
    assert set(seen) == {(0, 5), (3, 7), (12,)}
    assert min(seen.values()) > 230


def test_how_many_objects_is_drawn_too() -> None:
    sample = pair_of([[0] * 5], [[5, 0, 5, 0, 5]])
    counts = Counter(paste(sample, seed, classes=[5])[0].count(5) for seed in range(900))
    assert set(counts) == {1, 2, 3}
    assert min(counts.values()) > 230
    assert {paste(sample, seed, classes=[5], max_objects=2)[0].count(5) for seed in range(100)} == {1, 2}


def test_touching_classes_are_objects_of_their_own() -> None:
    sample = pair_of([[0, 0, 0]], [[4, 5, 5]])
    found = {tuple(paste(sample, seed, classes=[5, 4])[0]) for seed in range(100)}
    assert found == {(4, 0, 0), (0, 5, 5), (4, 5, 5)}


def test_whole_classes() -> None:
    sample = pair_of([[0] * 5], [[5, 0, 5, 4, 5]])
    found = {tuple(paste(sample, seed, classes=[4, 5, 6], whole_classes=True)[0]) for seed in range(100)}
    assert found == {(5, 0, 5, 0, 5), (0, 0, 0, 4, 0), (5, 0, 5, 4, 5)}


def test_small_objects_stay_where_they_are() -> None:
    sample = pair_of([[0] * 6], [[5, 5, 0, 5, 5, 5]])
    assert {tuple(paste(sample, seed, classes=[5], min_area=3)[0]) for seed in range(20)} == {
        (0, 0, 0, 5, 5, 5)
    }
    assert paste(sample, classes=[5], min_area=4) == [[0] * 6]
    assert paste(sample, classes=[5], min_area=4, whole_classes=True) == [[5, 5, 0, 5, 5, 5]]


def test_objects_are_those_of_scipy(rng: np.random.Generator) -> None:
    """All of them at once: as many draws as there are objects."""
    label = (ndimage.gaussian_filter(rng.normal(size=(60, 70)), 2) * 30).astype(np.int32) % 3
    numbers, areas = CopyPaste([2, 0])._number_objects(label)
    eight = np.ones((3, 3))
    wanted = [ndimage.label(label == class_id, eight) for class_id in (2, 0)]
    assert len(areas) - 1 == sum(count for _, count in wanted) > 10
    assert sorted(areas[1:]) == sorted(n for regions, _ in wanted for n in np.bincount(regions.ravel())[1:])
    np.testing.assert_array_equal(areas[1:], np.bincount(numbers.ravel())[1:])
    np.testing.assert_array_equal(numbers > 0, label != 1)
    for number in range(1, len(areas)):
        assert len(set(label[numbers == number])) == 1
        assert ndimage.label(numbers == number, eight)[1] == 1


@pytest.mark.parametrize(
    ("size", "other"), [((1, 1), (4, 6)), ((4, 6), (1, 1)), ((2, 6), (5, 3)), ((3, 3), (3, 5))]
)
def test_images_of_other_sizes_are_moved_inside(size: tuple[int, int], other: tuple[int, int]) -> None:
    numbers = np.arange(1, other[0] * other[1] + 1).reshape(other)
    sample = pair_of(np.zeros(size).tolist(), numbers.tolist())
    height, width = min(size[0], other[0]), min(size[1], other[1])
    corners = set()
    for seed in range(400):
        everything = list(range(1, numbers.size + 1))
        label = np.array(paste(sample, seed, classes=everything))
        rows, columns = np.nonzero(label)
        assert np.ptp(rows) < height
        assert np.ptp(columns) < width
        there = [(value - 1) // other[1] for value in label[rows, columns]]
        corners |= {(row - up) for row, up in zip(rows, there, strict=True)}
    # Every move that keeps the smaller one inside, along the rows.
    low, high = sorted((0, size[0] - other[0]))
    assert corners == set(range(low, high + 1))


def test_happens_as_often_as_asked() -> None:
    sample = pair_of([[0]], [[5]])
    pasted = sum(paste(sample, seed, classes=[5], prob=0.3) == [[5]] for seed in range(1000))
    assert 240 < pasted < 360


def test_types_hold_both(rng: np.random.Generator) -> None:
    sample = pair_of([[0, 0]], [[5, 0]], np.uint8)
    byte = replace(sample, image=sample.image.astype(np.uint8))
    assert CopyPaste([5], prob=1.0)(byte, rng).image.dtype == np.float32
    both = replace(byte, other=lambda rng: replace(byte, label=np.array([[5, -1]], np.int32)))
    result = CopyPaste([5], prob=1.0)(both, rng)
    assert (result.image.dtype, result.label.dtype) == (np.uint8, np.int32)
    assert result.label.tolist() == [[5, 0]]


def test_nothing_to_paste_leaves_the_sample_as_it_is(rng: np.random.Generator) -> None:
    sample = pair_of([[0, 1]], [[0, 1]])
    assert CopyPaste([7], prob=1.0)(sample, rng) is sample


def test_outside_training_it_says_so(rng: np.random.Generator) -> None:
    sample = pair_of([[0]], [[5]])
    for alone in (replace(sample, other=None), replace(sample, label=None)):
        with pytest.raises(
            DataError, match=r"a\.png: CopyPaste: .* use it in the transforms of a training set"
        ):
            CopyPaste([5], prob=0.0)(alone, rng)
    with pytest.raises(DataError, match=r"b\.png: CopyPaste: has no label"):
        CopyPaste([5], prob=1.0)(
            replace(sample, other=lambda rng: Sample(sample.image, image_path="b.png")), rng
        )


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"classes": []}, r"classes: expected a list of class ids, each once, such as \[11, 12\], got \[\]"),
        ({"classes": "car"}, "classes: .* got 'car'"),
        ({"classes": [1], "prob": -1}, "prob"),
        ({"classes": [1], "max_objects": 0}, "max_objects"),
        ({"classes": [1], "min_area": 0}, "min_area"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        CopyPaste(**parameters)


def test_the_other_image_comes_through_the_transforms_in_front() -> None:
    """Cropped and flipped with random numbers of its own, twice where there are two."""
    numbers = np.arange(10_000, dtype=np.int32).reshape(100, 100)
    sizes = []

    def raw(rng: np.random.Generator) -> Sample:
        return Sample(np.zeros((100, 100, 1), np.float32), numbers, other=raw)

    def look(sample: Sample, rng: np.random.Generator) -> Sample:
        one, other = sample.other(np.random.default_rng(1)), sample.other(np.random.default_rng(2))
        sizes.extend([sample.size, one.size, other.size, one.other(rng).size])
        assert one.label[0, 0] != other.label[0, 0]
        return sample

    before = [ResizeStepScaling(0.5, 1.5), RandomPaddingCrop([30, 20]), RandomHorizontalFlip(1.0)]
    Compose([*before, Compose([look]), look])(raw(np.random.default_rng(0)), np.random.default_rng(0))
    assert len(sizes) > 8  # what the second one draws has been through the first one, which draws as well
    assert set(sizes) == {(20, 30)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images: image n is of one colour, n, and its label is class n all over."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    lines = []
    for number in range(6):
        plain = np.full((12, 16), number, np.uint8)
        Image.fromarray(np.repeat(plain[..., None], 3, axis=2)).save(tmp_path / f"images/{number}.png")
        Image.fromarray(plain).save(tmp_path / f"labels/{number}.png")
        lines.append(f"images/{number}.png labels/{number}.png\n")
    (tmp_path / "list.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def open_train(root: Path, *transforms: Any, num_classes: int = 6, mode: str = "train") -> Dataset:
    lists = {f"{mode}_path": str(root / "list.txt")}
    return Dataset(mode, str(root), transforms, num_classes, **lists)


def test_a_data_set_hands_over_its_other_samples(root: Path) -> None:
    dataset = open_train(root, CopyPaste(list(range(6)), prob=1.0))
    results = [dataset[SampleKey(2, (0, seed))] for seed in range(300)]
    seen = Counter(int(result.label[0, 0]) for result in results)
    # Evenly from all six, 50 times each.
    assert set(seen) == set(range(6))
    assert min(seen.values()) > 20
    assert all((result.image[..., 0] == result.label).all() for result in results)
    assert all(result.other is None for result in results)
    first, second = (dataset[SampleKey(2, (4, 4))] for _ in range(2))
    np.testing.assert_array_equal(first.label, second.label)


def test_workers_and_packs_change_nothing(root: Path, tmp_path: Path) -> None:
    transforms = [RandomPaddingCrop([8, 6]), CopyPaste(list(range(6)), prob=0.7)]
    dataset = open_train(root, *transforms)

    def batches(dataset: Dataset, workers: int) -> list[tuple[list[Any], list[Any]]]:
        sampler = TrainBatchSampler(6, batch_size=2, seed=3, iterations=6)
        loader = make_train_loader(dataset, sampler, workers)
        return [(batch.images.tolist(), batch.labels.tolist()) for batch in loader]

    plain = batches(dataset, 0)
    assert batches(dataset, 2) == plain
    dataset.pack = Pack.open(pack(root, tmp_path / "pack", dataset={"num_classes": 6}))
    assert batches(dataset, 1) == plain


def test_only_shards_that_are_here_are_pasted_from(root: Path, tmp_path: Path) -> None:
    folder = pack(root, tmp_path / "pack", dataset={"num_classes": 6}, shards=3)
    dataset = open_train(root, CopyPaste(list(range(6)), prob=1.0))
    dataset.pack = Pack.open(folder, shards=[1])
    seen = {int(dataset[SampleKey(4, (0, seed))].label[0, 0]) for seed in range(60)}
    assert seen == {1, 4}


def test_an_unreadable_other_image_is_named(root: Path) -> None:
    (root / "images/3.png").write_bytes(b"no image")
    dataset = open_train(root, CopyPaste([3], prob=1.0))
    with pytest.raises(DataError, match=r"3\.png"):
        _ = [dataset[SampleKey(2, (0, seed))] for seed in range(100)]


@pytest.mark.parametrize("transform", [CopyPaste([1, 6, 255]), ClassUniformCrop(classes=[6, 2, 255])])
def test_classes_that_the_data_set_has_not_are_refused(root: Path, transform: Any) -> None:
    message = f"transforms: {type(transform).__name__}: classes: 6, 255: the data set has 6 classes, 0..5"
    with pytest.raises(ValueError, match=message):
        open_train(root, Compose([transform]))


def test_validation_refuses_it(root: Path) -> None:
    with pytest.raises(ValueError, match="CopyPaste belongs to training only, in mode val"):
        open_train(root, CopyPaste([1]), mode="val")
