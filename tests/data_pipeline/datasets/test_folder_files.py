"""``type: FolderDataset``: layouts, pairs and shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.datasets import FolderDataset, UnpairedError
from paddleseg.data.datasets.folder_files import Split, walk_files
from paddleseg.errors import DataError


def write(root: Path, *names: str) -> Path:
    """Small pictures; in folders and under names of masks, of one channel."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = "mask" in name or "label" in name or "annotation" in name
        size = (4, 6) if is_mask else (4, 6, 3)
        Image.fromarray(np.zeros(size, np.uint8)).save(path)
    return root


def open_folder(root: Path, **options: Any) -> FolderDataset:
    return FolderDataset(
        **{"mode": "train", "dataset_root": str(root), "transforms": [], "num_classes": 2, **options}
    )


def pairs_of(dataset: FolderDataset, root: Path) -> list[tuple[str, str | None]]:
    def relative(path: str | None) -> str | None:
        return path and Path(path).relative_to(root).as_posix()

    return [(relative(pair.image), relative(pair.label)) for pair in dataset.files]  # type: ignore[misc]


def test_pairs_at_any_depth_by_name_alone(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        *("images/a.png", "images/b.v2.JPG", "images/x/y/a.tif", "images/ü ö.bmp"),
        *("masks/x/y/a.png", "masks/b.v2.png", "masks/a.bmp", "masks/ü ö.tif"),
    )
    for name in (
        "images/.a.png",
        "images/notes.txt",
        "masks/Thumbs.db",
        "images/__MACOSX/a.png",
        "images/.git/b.png",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    assert pairs_of(open_folder(root, val_ratio=0), root) == [
        ("images/a.png", "masks/a.bmp"),
        ("images/b.v2.JPG", "masks/b.v2.png"),
        ("images/x/y/a.tif", "masks/x/y/a.png"),
        ("images/ü ö.bmp", "masks/ü ö.tif"),
    ]


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "labels"), ("img", "annotations"), ("JPEGImages", "SegmentationClass"), ("Imgs", "GT")],
)
def test_folders_are_found_by_usual_names(tmp_path: Path, images: str, masks: str) -> None:
    root = write(tmp_path, f"{images}/a.png", f"{masks}/a.png", "other/a.png")
    assert pairs_of(open_folder(root, val_ratio=0), root) == [(f"{images}/a.png", f"{masks}/a.png")]


def test_folders_may_be_named(tmp_path: Path) -> None:
    root = write(tmp_path, "photos/day/a.png", "truth/v2/a.png", "images/b.png", "masks/b.png")
    dataset = open_folder(root, image_dir="photos/day", mask_dir="truth/v2", val_ratio=0)
    assert pairs_of(dataset, root) == [("photos/day/a.png", "truth/v2/a.png")]


@pytest.mark.parametrize(
    "names",
    [
        ("images/{}/a.png", "masks/{}/a.png"),
        ("{}/images/a.png", "{}/masks/a.png"),
    ],
)
@pytest.mark.parametrize("splits", [("train", "val", "test"), ("Training", "validation", "testing")])
def test_splits_by_folder(tmp_path: Path, names: tuple[str, str], splits: tuple[str, ...]) -> None:
    root = write(tmp_path, *(name.format(split) for name in names for split in splits))
    for mode, split in zip(("train", "val", "test"), splits, strict=True):
        image, mask = (name.format(split) for name in names)
        assert pairs_of(open_folder(root, mode=mode), root) == [(image, None if mode == "test" else mask)]


def test_a_test_part_needs_no_masks(tmp_path: Path) -> None:
    root = write(
        tmp_path, *(f"{part}/images/a.png" for part in ("train", "val", "test")), "train/masks/a.png"
    )
    assert len(open_folder(root, mode="test")) == 1
    assert len(open_folder(root)) == 1
    with pytest.raises(
        DataError, match=r"val: no folder of masks for .*val/images; name it in mask_dir, or call it masks"
    ):
        open_folder(root, mode="val")


def test_suffixes(tmp_path: Path) -> None:
    root = write(
        tmp_path, "images/a_rgb.jpg", "masks/a_mask.png", "masks/a_contour.png", "images/a_depth.png"
    )
    dataset = open_folder(root, image_suffix="_rgb", mask_suffix="_mask", val_ratio=0)
    assert pairs_of(dataset, root) == [("images/a_rgb.jpg", "masks/a_mask.png")]


@pytest.mark.parametrize("folder", ["images", "."])
def test_one_folder_for_both(tmp_path: Path, folder: str) -> None:
    root = write(
        tmp_path, f"{folder}/a.jpg", f"{folder}/a_mask.png", f"{folder}/b.png", f"{folder}/b_mask.png"
    )
    options = {"image_dir": folder, "mask_dir": folder, "val_ratio": 0}
    found = pairs_of(open_folder(root, mask_suffix="_mask", **options), root)
    assert [(Path(image).name, Path(mask or "").name) for image, mask in found] == [
        ("a.jpg", "a_mask.png"),
        ("b.png", "b_mask.png"),
    ]
    with pytest.raises(DataError, match=r"images and masks share this folder; .* mask_suffix: _mask"):
        open_folder(root, **options)


def test_masks_in_a_folder_among_the_images(tmp_path: Path) -> None:
    root = write(tmp_path, "a.jpg", "x/b.jpg", "masks/a.png", "masks/x/b.png")
    assert len(open_folder(root, image_dir=".", val_ratio=0)) == 2


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_two_files_of_one_name_are_refused(tmp_path: Path, kind: str) -> None:
    root = write(tmp_path, "images/a.png", "masks/a.png", f"{kind}/a.tif")
    with pytest.raises(DataError, match=rf"{kind}/a\.tif and .*{kind}/a\.png: two files for 'a'; keep one"):
        open_folder(root, val_ratio=0)


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "masks/far/a.png", "masks/b.png", "images/b.png")
    write(tmp_path / "disk2", "a.png")
    (root / "images/far").symlink_to(tmp_path / "disk2")
    (tmp_path / "disk2/loop").symlink_to(root / "images")
    assert len(open_folder(root, val_ratio=0)) == 2


def test_two_folders_that_hold_links_to_each_other(tmp_path: Path) -> None:
    root = write(tmp_path, "images/x/a.png", "images/y/b.png", "masks/x/a.png", "masks/y/b.png")
    for kind in ("images", "masks"):
        (root / kind / "x/to").symlink_to(root / kind / "y")
        (root / kind / "y/to").symlink_to(root / kind / "x")
    assert sorted(walk_files(root / "images")) == ["x/a.png", "x/to/b.png", "y/b.png", "y/to/a.png"]
    assert len(open_folder(root, val_ratio=0)) == 4


def test_a_link_to_nowhere_is_a_file_that_is_missing(tmp_path: Path) -> None:
    root = write(tmp_path, "images/a.png", "masks/a.png")
    for kind in ("images", "masks"):
        (root / kind / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UnpairedError, match="2 of 4 files do not exist"):
        open_folder(root, val_ratio=0)


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"the folder cannot be read: Permission denied"):
        list(walk_files(tmp_path))


def test_files_without_partner(tmp_path: Path) -> None:
    root = write(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/c.png")
    with pytest.raises(UnpairedError) as caught:
        open_folder(root, val_ratio=0)
    found = caught.value.found
    assert (found.without_label, found.without_image) == (
        (str(root / "images/b.png"),),
        (str(root / "masks/c.png"),),
    )
    assert pairs_of(caught.value.dataset, root) == [("images/a.png", "masks/a.png")]
    assert "mask_suffix:" not in str(caught.value)


def test_a_suffix_that_all_masks_have_is_suggested(tmp_path: Path) -> None:
    root = write(tmp_path, "images/a.png", "images/b.png", "masks/a_seg.png", "masks/b_seg.png")
    with pytest.raises(UnpairedError, match=r"the masks' names end in '_seg': set mask_suffix: '_seg'"):
        open_folder(root, val_ratio=0)


SHARED = [f"{number:03}" for number in range(200)]


def shared_root(root: Path, names: list[str]) -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / f"{name}.png").touch()
    return root


def shares(root: Path, **options: Any) -> dict[str, set[str]]:
    return {
        mode: {Path(pair.image).stem for pair in open_folder(root, mode=mode, **options).files}
        for mode in ("train", "val", "test")
    }


def test_shares_by_ratio(tmp_path: Path) -> None:
    root = shared_root(tmp_path, SHARED)
    parts = shares(root, val_ratio=0.3, test_ratio=0.1)
    assert sorted(name for part in parts.values() for name in part) == SHARED
    # Of 200, within four standard deviations of the binomial distribution.
    assert abs(len(parts["val"]) - 60) < 26
    assert abs(len(parts["test"]) - 20) < 17
    assert shares(root, val_ratio=0.3, test_ratio=0.1) == parts
    assert shares(root, val_ratio=0.3, test_ratio=0.1, split_seed=1)["val"] != parts["val"]
    default = {Path(pair.image).stem for pair in open_folder(root, mode="val").files}
    assert abs(len(default) - 40) < 23


def test_further_files_move_none(tmp_path: Path) -> None:
    before = shares(shared_root(tmp_path, SHARED[::2]), test_ratio=0.2)
    after = shares(shared_root(tmp_path, SHARED), test_ratio=0.2)
    assert all(before[mode] <= after[mode] for mode in before)


def test_the_share_of_a_name_is_fixed_for_ever() -> None:
    """By ``b2sum -l 64`` of "0:<name>", as fractions: 0.233, 0.252, 0.655, 0.879, 0.908."""
    wanted = {"r": "test", "000": "val", "a/b": "val", "ü": "train", "p": "train"}
    split = Split(val=0.5, test=0.25, seed=0)
    assert {name: split.mode_of(name) for name in wanted} == wanted


def test_val_may_be_taken_from_the_folder_train(tmp_path: Path) -> None:
    root = tmp_path
    for part in ("train", "test"):
        shared_root(root / part, SHARED[:40])
    assert len(open_folder(root)) == 40  # no more than the folders say, unless asked for
    with pytest.raises(
        DataError, match=r"no images of val, there are .*train/images, .*test/images; .*set val_ratio"
    ):
        open_folder(root, mode="val")
    parts = shares(root, val_ratio=0.5)
    assert len(parts["train"]) + len(parts["val"]) == 40
    assert len(parts["test"]) == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_ratio": 1.5}, "val_ratio: expected a number from 0 to 1, got 1.5"),
        ({"test_ratio": True}, "test_ratio: expected a number"),
        ({"val_ratio": 0.6, "test_ratio": 0.4}, "val_ratio: 0.6, with test_ratio 0.4, leaves nothing"),
        ({"edge": True}, "edge: edge labels"),
    ],
)
def test_bad_parameters(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    root = write(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(ValueError, match=message):
        open_folder(root, **options)


def test_a_ratio_that_contradicts_the_folders(tmp_path: Path) -> None:
    root = write(
        tmp_path, *(f"{kind}/{part}/a.png" for kind in ("images", "masks") for part in ("train", "val"))
    )
    with pytest.raises(ValueError, match=r"val_ratio: .*images/val holds the images of val; remove this key"):
        open_folder(root, val_ratio=0.2)
    with pytest.raises(DataError, match=r"no images of test, there are"):
        open_folder(root, mode="test")


def test_an_empty_share_is_explained(tmp_path: Path) -> None:
    root = write(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(DataError, match=r"images: no images of val: .* none is val's share"):
        open_folder(root, mode="val", val_ratio=0.0001)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("images/a.png", "img/a.png", "masks/a.png"), r"holds images and img, .*name one in image_dir"),
        (("images/a.png", "masks/a.png", "labels/a.png"), r"holds labels and masks, .*name one in mask_dir"),
        (("photos/a.png", "masks/a.png"), r"no folder of images: expected images/, .*found masks/, photos/"),
        (("images/a.png",), r"no folder of masks for .*images; name it in mask_dir"),
        (("images/train/a.png", "images/training/a.png", "masks/a.png"), r"two folders for train; keep one"),
        (
            ("images/train/a.png", "images/val/b.png", "masks/a.png", "masks/b.png"),
            r"masks/train: no such folder; images are divided into folders such as .*/images/train, so masks",
        ),
    ],
)
def test_layouts_that_are_not_clear(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    root = write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        open_folder(root)


def test_a_named_folder_that_is_missing(tmp_path: Path) -> None:
    root = write(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(DataError, match=r"expected photos/, found images/, masks/"):
        open_folder(root, image_dir="photos")
