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
from paddleseg.data.datasets import SampleKey, SegmentationDataset, UnpairedError
from paddleseg.data.pack import Pack
from paddleseg.data.pack_check import find_staleness
from paddleseg.data.packing import PackOptions, build_pack
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


def folder_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        mode = MODES[seed // 2]
        write(root / f"images/{mode}/deep/{seed}.png", pixels(seed, 256, 3))
        if mode != "test":
            write(root / f"masks/{mode}/deep/{seed}.png", pixels(seed, 3))
    return {"dataset_root": str(root), "num_classes": 3}


def pascal_voc_tree(root: Path) -> dict[str, Any]:
    folder = root / "VOC2012"
    for seed in range(6):
        write_as_jpeg(folder / f"JPEGImages/2007_{seed:06}.jpg", pixels(seed, 256, 3))
        write(folder / f"SegmentationClass/2007_{seed:06}.png", pixels(seed, 21))
    write_lists(folder / "ImageSets/Segmentation", "{}.txt", "2007_{:06}")
    return {"dataset_root": str(root)}


def pascal_context_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        write_as_jpeg(root / f"JPEGImages/2008_{seed:06}.jpg", pixels(seed, 256, 3))
        write(root / f"Context/2008_{seed:06}.png", pixels(seed, 60))
    write_lists(root / "ImageSets/Segmentation", "{}_context.txt", "2008_{:06}")
    (root / "ImageSets/Segmentation/test_context.txt").rename(root / "ImageSets/Segmentation/test.txt")
    return {"dataset_root": str(root)}


def ade20k_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        part = ("training", "validation", "testing")[seed // 2]
        write_as_jpeg(root / f"images/{part}/ADE_{seed:08}.jpg", pixels(seed, 256, 3))
        if part != "testing":
            write(root / f"annotations/{part}/ADE_{seed:08}.png", pixels(seed, 151))
    return {"dataset_root": str(root)}


def coco_stuff_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        mode = MODES[seed // 2]
        write_as_jpeg(root / f"images/{mode}2017/{seed:012}.jpg", pixels(seed, 256, 3))
        if mode != "test":
            write(root / f"annotations/{mode}2017/{seed:012}.png", pixels(seed, 171))
    return {"dataset_root": str(root)}


def camvid_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        mode = MODES[seed // 2]
        write(root / f"{mode}/0001TP_{seed:06}.png", pixels(seed, 256, 3))
        write(root / f"{mode}annot/0001TP_{seed:06}.png", pixels(seed, 12))
    return {"dataset_root": str(root)}


def lip_tree(root: Path) -> dict[str, Any]:
    for seed in range(6):
        mode = MODES[seed // 2]
        inside = "Testing_images/testing_images" if mode == "test" else f"TrainVal_images/{mode}_images"
        write_as_jpeg(root / inside / f"{seed}_{seed}.jpg", pixels(seed, 256, 3))
        if mode != "test":
            folder = root / f"TrainVal_parsing_annotations/{mode}_segmentations"
            write(folder / f"{seed}_{seed}.png", pixels(seed, 20))
    return {"dataset_root": str(root)}


def write_as_jpeg(path: Path, pixels: np.ndarray) -> None:
    """A PNG under the name of a JPEG: readers go by the content, and these tests compare pixels."""
    write(path.with_suffix(".png"), pixels)
    path.with_suffix(".png").rename(path)


def write_lists(folder: Path, list_name: str, name: str) -> None:
    folder.mkdir(parents=True)
    for number, mode in enumerate(MODES):
        lines = [f"{name.format(seed)}\n" for seed in (2 * number, 2 * number + 1)]
        (folder / list_name.format(mode)).write_text("".join(lines))


# Each writes two samples a mode, of SIZE, with labels in train and val; returns the parameters besides
# mode and transforms.
TREES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ADE20K": ade20k_tree,
    "CamVid": camvid_tree,
    "Cityscapes": cityscapes_tree,
    "CocoStuff": coco_stuff_tree,
    "Dataset": listed_tree,
    "FolderDataset": folder_tree,
    "LIP": lip_tree,
    "PascalContext": pascal_context_tree,
    "PascalVOC": pascal_voc_tree,
}

# What a mask with the ids 0, 1 and 2 becomes, where it is not the same.
IDS_OF_012 = {"ADE20K": [255, 0, 1]}
Open = Callable[..., SegmentationDataset]


@pytest.fixture(params=NAMES)
def open_set(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the data set of that name over its tree."""
    params = TREES[request.param](tmp_path / "data")

    def build(mode: str = "train", *transforms: T.Transform, **options: Any) -> SegmentationDataset:
        return DATASETS.get(request.param)(mode=mode, transforms=list(transforms), **{**params, **options})

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
    with pytest.raises(ValueError, match=r"mode: expected one of train, .*val, test.*, got 'practice'"):
        open_set("practice")


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


def first_label(dataset: SegmentationDataset) -> Path:
    path = dataset.files[0].label
    assert path is not None
    return Path(path)


def fill_label(path: Path, values: list[int]) -> None:
    write(path, np.resize(np.uint8(values), SIZE))


def test_label_map_merges_drops_and_changes_the_number_of_classes(open_set: Open) -> None:
    fill_label(first_label(open_set()), [0, 1, 2])
    ids = IDS_OF_012.get(type(open_set()).__name__, [0, 1, 2])
    mapping: dict[str, int | str] = {"0": 1, "1": "ignore", "other": "ignore"}
    dataset = open_set(label_map=mapping, num_classes=None)
    expected = {0: 1, 1: 255, 2: 255, 255: 255}
    np.testing.assert_array_equal(dataset.load(0).label, np.resize([expected[one] for one in ids], SIZE))
    assert (dataset.num_classes, dataset.class_names) == (2, None)
    with pytest.raises(ValueError, match=r"label_map: names class 1, expected 0\.\.0"):
        open_set(label_map=mapping, num_classes=1)


def test_unlisted_ids_are_refused(open_set: Open) -> None:
    fill_label(first_label(open_set()), [0, 1, 2])
    dataset = open_set(label_map={0: 0, 1: 1}, num_classes=2, class_names=["a", "b"])
    if type(dataset).__name__ in IDS_OF_012:
        assert dataset.load(0).label.max() == 255
        return
    with pytest.raises(DataError, match=r"the label holds 2 on \d+ pixels, which label_map does not list"):
        dataset.load(0)


def test_reduce_zero_label(open_set: Open) -> None:
    plain = open_set()
    fill_label(first_label(plain), [0, 1, 2, 255])
    is_own = getattr(type(plain), "REDUCE_ZERO_LABEL", True)
    dataset = open_set(reduce_zero_label=True, num_classes=plain.num_classes - (not is_own))
    assert dataset.load(0).label.ravel()[:4].tolist() == [255, 0, 1, 255]


def test_another_ignore_index(open_set: Open) -> None:
    fill_label(first_label(open_set()), [1, 2])
    plain, other = open_set().load(0).label, open_set(ignore_index=-1).load(0).label
    np.testing.assert_array_equal(np.where(plain == 255, -1, plain.astype(int)), other)


def test_color_map(open_set: Open) -> None:
    colours = np.uint8([[10, 20, 30], [0, 0, 0], [255, 0, 255]])
    dataset = open_set(
        color_map=[[0, 0, 0], [255, 0, 255]], num_classes=2, reduce_zero_label=False, class_names=["a", "b"]
    )
    path = first_label(dataset)
    write(path, colours[np.resize([1, 2], SIZE)])
    np.testing.assert_array_equal(dataset.load(0).label, np.resize([0, 1], SIZE))
    assert dataset.raw_label(0).shape == (*SIZE, 3)
    write(path, colours[np.resize([0, 1, 2], SIZE)])
    with pytest.raises(DataError, match=r"color_map does not list: 10,20,30 on 64 pixels"):
        dataset.load(0)


def test_the_rest_is_usable_where_a_partner_is_missing(open_set: Open) -> None:
    dataset = open_set("val")
    first_label(dataset).unlink()
    with pytest.raises(UnpairedError) as caught:
        open_set("val")
    error = caught.value
    assert error.found.missing == (dataset.files[0].label,) or error.found.without_label == (
        dataset.files[0].image,
    )
    assert error.dataset is not None
    assert error.dataset.files == [dataset.files[1]]
    np.testing.assert_array_equal(error.dataset[0].label, dataset[1].label)
    first_label(error.dataset).unlink()
    with pytest.raises(UnpairedError) as nothing_left:
        open_set("val")
    assert nothing_left.value.dataset is None


def test_raw_and_decoded_labels(open_set: Open) -> None:
    dataset = open_set(label_map={0: 0, "other": "ignore"}, num_classes=3)
    fill_label(first_label(dataset), [0, 1, 200])
    assert dataset.raw_label(0).ravel()[:3].tolist() == [0, 1, 200]
    is_reduced = type(dataset).__name__ in IDS_OF_012
    assert dataset.decode_label(0).ravel()[:3].tolist() == ([255, 0, 255] if is_reduced else [0, 255, 255])
    plain = open_set()
    fill_label(first_label(plain), [2, 240])
    # Ids that are no classes are decoded all the same: what is wrong with them is for others to say.
    assert plain.decode_label(0).ravel()[:2].tolist() == ([1, 239] if is_reduced else [2, 240])


def test_a_pack_is_refused_with_another_coding(open_set: Open, tmp_path: Path) -> None:
    dataset = open_set()
    build_pack(dataset, tmp_path / "pack", PackOptions(shards=1))
    pack = Pack.open(tmp_path / "pack")
    assert find_staleness(pack, open_set()) is None
    changed = open_set(label_map={0: 0, "other": "ignore"}, num_classes=dataset.num_classes)
    assert "label_map is 0: 0; other: ignore, it was None" in str(find_staleness(pack, changed))
    build_pack(changed, tmp_path / "other", PackOptions(shards=1))
    assert find_staleness(Pack.open(tmp_path / "other"), changed) is None
    assert "label_map is None, it was" in str(find_staleness(Pack.open(tmp_path / "other"), dataset))
