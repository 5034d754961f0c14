"""What every registered data set promises. A new one joins by a tree of files in ``TREES``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import paddleseg.data.datasets  # noqa: F401 - registers
import paddleseg.data.transforms as T
from paddleseg.data.datasets import SampleKey, SegmentationDataset
from paddleseg.errors import DataError
from paddleseg.registry import DATASETS

SIZE = (12, 16)
MODES = ("train", "val", "test")
NAMES = [name for name in DATASETS if DATASETS.get(name).__module__.startswith("paddleseg.")]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pixels(seed: int, upper: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, upper, (*SIZE, *channels)).astype(np.uint8)


def cityscapes_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        mode, frame = MODES[seed // 2], f"ulm/ulm_{seed:06}_000019"
        write(root / f"leftImg8bit/{mode}/{frame}_leftImg8bit.png", pixels(seed, 256, 3))
        if mode != "test":
            write(root / f"gtFine/{mode}/{frame}_gtFine_labelTrainIds.png", pixels(seed, 19))
    return {"dataset_root": str(root)}


def listed_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        write(root / f"images/{seed}.png", pixels(seed, 256, 3))
        write(root / f"labels/{seed}.png", pixels(seed, 3))
    for number, mode in enumerate(MODES):
        lines = [f"images/{seed}.png labels/{seed}.png\n" for seed in (2 * number, 2 * number + 1)]
        (root / f"{mode}.txt").write_text("".join(lines))
    lists = {f"{mode}_path": str(root / f"{mode}.txt") for mode in MODES}
    return {"dataset_root": str(root), "num_classes": 3, **lists}


# Each writes two samples a mode, of SIZE, with labels in train and val; returns the parameters besides
# mode and transforms.
TREES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "Cityscapes": cityscapes_tree,
    "Dataset": listed_tree,
}

Open = Callable[..., SegmentationDataset]


@pytest.fixture(params=NAMES)
def open_set(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the data set of that name over its tree."""
    params = TREES[request.param](tmp_path / "data")

    def build(mode: str = "train", *transforms: T.Transform) -> SegmentationDataset:
        return DATASETS.get(request.param)(mode=mode, transforms=list(transforms), **params)

    return build


def test_every_registered_data_set_is_here() -> None:
    assert set(NAMES) == set(TREES)


@pytest.mark.parametrize("name", NAMES)
def test_is_documented(name: str) -> None:
    assert len(inspect.getdoc(DATASETS.get(name)) or "") > 30


@pytest.mark.parametrize("mode", MODES)
def test_what_a_data_set_says_of_itself(open_set: Open, mode: str) -> None:
    dataset = open_set(mode)
    assert dataset.mode == mode
    assert len(dataset) == len(dataset.files) == 2
    for constant in ("NUM_CLASSES", "IGNORE_INDEX", "IMG_CHANNELS"):
        if getattr(dataset, constant) is not None:
            assert getattr(dataset, constant.lower()) == getattr(dataset, constant)
    for values in (dataset.class_names, dataset.palette):
        assert values is None or len(values) == dataset.num_classes


def test_mode_is_read_in_any_case_and_nothing_else_is(open_set: Open) -> None:
    assert open_set("TRAIN").files == open_set("train").files
    with pytest.raises(ValueError, match="mode: expected one of train, val, test, got 'training'"):
        open_set("training")


def test_modes_hold_pairs_of_their_own_in_a_fixed_order(open_set: Open) -> None:
    images = [pair.image for mode in MODES for pair in open_set(mode).files]
    assert len(set(images)) == 6
    assert images == [pair.image for mode in MODES for pair in open_set(mode).files]


@pytest.mark.parametrize("mode", MODES)
def test_a_loaded_sample_is_untransformed(open_set: Open, mode: str) -> None:
    sample = open_set(mode, T.Resize([8, 8]), T.Normalize()).load(1)
    assert sample.image.dtype == np.uint8
    assert sample.size == SIZE
    assert 200 < sample.image.max() <= 255
    assert sample.undo == []
    assert Path(sample.image_path).is_file()
    # The trees draw all images and labels from numbered seeds: sample 1 of the third mode has number 5.
    number = 2 * MODES.index(mode) + 1
    np.testing.assert_array_equal(sample.image, pixels(number, 256, 3))


@pytest.mark.parametrize(("mode", "size"), [("train", (8, 10)), ("val", SIZE), ("test", None)])
def test_where_the_label_goes(open_set: Open, mode: str, size: tuple[int, int] | None) -> None:
    dataset = open_set(mode, T.Resize([10, 8]))
    sample = dataset[0]
    assert sample.size == (8, 10)
    assert [step.size for step in sample.undo] == [SIZE]
    if size is None:
        assert sample.label is None
        assert sample.label_path is None
        return
    assert sample.label.dtype in (np.uint8, np.int32)
    assert sample.label.shape == size
    assert (((sample.label >= 0) & (sample.label < dataset.num_classes)) | (sample.label == 255)).all()
    assert Path(sample.label_path).is_file()


def test_the_same_key_gives_the_same_sample(open_set: Open) -> None:
    augmentation = (T.ResizeStepScaling(), T.RandomPaddingCrop([9, 8]), T.RandomDistort())
    first, second = open_set("train", *augmentation), open_set("train", *augmentation)
    key = SampleKey(1, (3, 1, 4))
    wanted = first[key]
    _ = second[SampleKey(0, (1, 5, 9))]  # what was read before does not matter
    got = second[key]
    np.testing.assert_array_equal(got.image, wanted.image)
    np.testing.assert_array_equal(got.label, wanted.label)
    assert len({first[SampleKey(1, (3, 1, i))].image.tobytes() for i in range(8)}) == 8


@pytest.mark.parametrize("mode", ["val", "test"])
def test_training_transforms_are_refused_elsewhere(open_set: Open, mode: str) -> None:
    with pytest.raises(ValueError, match="RandomHorizontalFlip belongs to training only"):
        open_set(mode, T.RandomHorizontalFlip())


BAD_LABELS: dict[str, Callable[[Path], object]] = {
    "a class that does not exist": lambda path: write(path, np.full(SIZE, 250, np.uint8)),
    "colours": lambda path: write(path, pixels(0, 256, 3)),
    "another size": lambda path: write(path, np.zeros((SIZE[0] + 1, SIZE[1]), np.uint8)),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("mode", ["train", "val"])
@pytest.mark.parametrize("spoil", BAD_LABELS.values(), ids=BAD_LABELS.keys())
def test_a_bad_label_names_its_file(open_set: Open, mode: str, spoil: Callable[[Path], object]) -> None:
    dataset = open_set(mode)
    path = dataset.files[1].label
    assert path is not None
    spoil(Path(path))
    assert dataset[0].label is not None
    with pytest.raises(DataError) as caught:
        _ = dataset[1]
    assert path in str(caught.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_bad_image_names_its_file(open_set: Open, mode: str, content: bytes) -> None:
    dataset = open_set(mode)
    path = Path(dataset.files[1].image)
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        _ = dataset[1]
    assert str(path) in str(caught.value)


def test_a_missing_root_is_named(open_set: Open, tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError) as caught:
        open_set("train")
    assert str(tmp_path / "data") in str(caught.value)
