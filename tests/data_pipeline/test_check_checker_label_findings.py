"""Each fault, planted in a small tree, is found with its cause; in a clean tree nothing is."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from check_cases import mask, scene, write, write_tree
from PIL import Image

from paddleseg.data.check import checker, inspection
from paddleseg.data.check.checker import Split, check_datasets
from paddleseg.data.check.findings import Finding, Severity
from paddleseg.data.check.fingerprints import Fingerprint
from paddleseg.data.check.inspection import ImageFacts, LabelFacts, SampleFacts
from paddleseg.data.check.report import Report
from paddleseg.data.check.scan import ScanOptions
from paddleseg.data.datasets import Dataset, FolderDataset
from paddleseg.data.datasets.base import Pair, SegmentationDataset, UnpairedError
from paddleseg.data.transforms import Normalize, RandomPaddingCrop


def open_split(root: Path, mode: str, **options: object) -> Split:
    options = {"num_classes": 3, "transforms": [Normalize()], **options}
    try:
        return Split(FolderDataset(mode=mode, dataset_root=str(root), **options))
    except UnpairedError as error:
        return Split(error.dataset, error.found)


def check(root: Path, **options: object) -> Report:
    splits = {mode: open_split(root, mode, **options) for mode in ("train", "val")}
    return check_datasets(splits, source=str(root))


def codes(report: Report) -> dict[str, Severity]:
    return {f"{one.split}: {one.code}": one.severity for one in report.findings}


def only(report: Report) -> Finding:
    (finding,) = report.findings
    return finding


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "data")


def test_a_clean_tree(tree: Path) -> None:
    report = check(tree)
    assert report.findings == []
    assert report.summary().endswith(": nothing found")
    train, val = report.splits
    assert (train.pairs, train.looked_at, val.pairs) == (4, 4, 2)
    # 22, 21 and 21 of 64 columns.
    assert [row.pixels for row in train.classes] == [4 * 48 * one for one in (22, 21, 21)]
    assert [row.labels for row in val.classes] == [2, 2, 2]
    # All classes are in all images: f is the share itself, its median 21/64.
    assert list(train.median_frequency_weights) == pytest.approx([21 / 22, 1, 1], abs=1e-4)


Plant = Callable[[Path], object]


def swap_values(root: Path, table: dict[int, int]) -> None:
    """In all labels."""
    for path in root.glob("masks/*/*.png"):
        old = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        new = old.astype(np.uint16 if max(table.values()) > 255 else np.uint8)
        for source, target in table.items():
            new[old == source] = target
        write(path, new)


def as_jpeg(root: Path) -> None:
    path = root / "masks/train/1.png"
    path.unlink()
    cv2.imwrite(str(path.with_suffix(".jpg")), mask() * 80)


def as_colours(root: Path) -> None:
    write(root / "masks/train/1.png", np.stack([mask() * 100, mask() * 50, mask() * 10], axis=-1))


def blurred(root: Path) -> None:
    """Resized with interpolation, and saved without loss after: speckle that is no lossy file."""
    size = 640, 480
    for path in root.glob("masks/*/*.png"):
        smooth = cv2.resize(mask(2, (96, 128)) * 200, size, interpolation=cv2.INTER_CUBIC)
        write(path, cv2.GaussianBlur(smooth, (0, 0), 3))
    for path in root.glob("images/*/*.png"):
        write(path, cv2.resize(cv2.imread(str(path))[..., ::-1], size, interpolation=cv2.INTER_CUBIC))


def saved_again(root: Path) -> None:
    smaller = Image.fromarray(scene(1, (240, 320))).resize((240, 180), Image.Resampling.BOX)
    write(root / "images/train/1.png", scene(1, (240, 320)))
    write(root / "masks/train/1.png", mask(size=(240, 320)))
    smaller.save(root / "images/val/0.png")
    write(root / "masks/val/0.png", mask(size=(180, 240)))


def cut(root: Path) -> None:
    path = root / "images/train/2.png"
    path.write_bytes(path.read_bytes()[:200])


FAULTS: list[tuple[str, Plant, str, Severity, str, str]] = [
    (
        "no label",
        lambda root: (root / "masks/train/1.png").unlink(),
        "train: image_without_label",
        Severity.ERROR,
        "images without a label: 1",
        "train/1.png",
    ),
    (
        "no image",
        lambda root: (root / "images/val/1.png").unlink(),
        "val: label_without_image",
        Severity.ERROR,
        "labels without an image: 1",
        "masks/val/1.png",
    ),
    (
        "cut image",
        cut,
        "train: unreadable_image",
        Severity.ERROR,
        "images that cannot be read: 1",
        "images/train/2.png",
    ),
    (
        "empty label",
        lambda root: (root / "masks/train/0.png").write_bytes(b""),
        "train: unreadable_label",
        Severity.ERROR,
        "labels that cannot be read: 1",
        "masks/train/0.png",
    ),
    (
        "size",
        lambda root: write(root / "masks/train/0.png", mask(size=(64, 48))),
        "train: size_mismatch",
        Severity.ERROR,
        "EXIF orientation",
        "its label 48×64, turned by a quarter",
    ),
    (
        "RGB mask",
        as_colours,
        "train: colour_mask",
        Severity.ERROR,
        "color_map: [[0, 0, 0], [100, 50, 10], [200, 100, 20]]",
        "masks/train/1.png",
    ),
    ("JPEG mask", as_jpeg, "train: lossy_mask", Severity.ERROR, "as PNG", "masks/train/1.jpg"),
    (
        "empty mask",
        lambda root: write(root / "masks/train/0.png", np.full((48, 64), 255, np.uint8)),
        "train: unlabelled",
        Severity.WARNING,
        "ignored pixels alone: 1",
        "masks/train/0.png",
    ),
    (
        "equal in two splits",
        lambda root: shutil.copy(root / "images/train/3.png", root / "images/val/0.png"),
        "train+val: duplicate_across_splits",
        Severity.ERROR,
        "images of val that are equal, pixel by pixel, to images of train: 1",
        "images/val/0.png and",
    ),
    (
        "alike in two splits",
        saved_again,
        "train+val: near_duplicate_across_splits",
        Severity.WARNING,
        "images of val that look the same as images of train: 1",
        "images/train/1.png",
    ),
    (
        "equal in one split",
        lambda root: shutil.copy(root / "images/train/3.png", root / "images/train/2.png"),
        "train: duplicate",
        Severity.NOTE,
        "equal, pixel by pixel, to others: 1",
        "images/train/3.png and",
    ),
    (
        "black image",
        lambda root: write(root / "images/train/3.png", np.zeros((48, 64, 3), np.uint8)),
        "train: flat_image",
        Severity.WARNING,
        "images of one colour: 1",
        "images/train/3.png: mean 0 of 255",
    ),
]


@pytest.mark.parametrize(
    ("plant", "code", "severity", "text", "example"),
    [one[1:] for one in FAULTS],
    ids=[one[0] for one in FAULTS],
)
def test_a_planted_fault_alone(
    tree: Path, plant: Plant, code: str, severity: Severity, text: str, example: str
) -> None:
    plant(tree)
    report = check(tree)
    assert codes(report) == {code: severity}
    assert text in "\n".join(only(report).lines())
    assert any(example in one.text for one in only(report).examples)


VALUES: list[tuple[str, Plant, dict[str, object], str]] = [
    ("255 as a class", lambda root: swap_values(root, {2: 255}), {"ignore_index": -1}, "ignore_index: 255"),
    (
        "binary",
        lambda root: swap_values(root, {1: 255, 2: 255}),
        {"num_classes": 2, "ignore_index": -1},
        "label_map: {0: 0, 255: 1} with num_classes: 2",
    ),
    ("off by one", lambda root: swap_values(root, {0: 1, 1: 2, 2: 3}), {}, "reduce_zero_label: true"),
    (
        "label ids",
        lambda root: swap_values(root, {0: 7, 1: 11, 2: 26}),
        {"num_classes": 19},
        "Cityscapes label ids instead of train ids",
    ),
    (
        "for display",
        lambda root: swap_values(root, {1: 100, 2: 200}),
        {},
        "label_map: {0: 0, 100: 1, 200: 2}",
    ),
    ("instances", lambda root: swap_values(root, {0: 1000, 1: 26001}), {}, "instance ids"),
    ("too few classes", lambda root: None, {"num_classes": 2}, "num_classes: 3"),
    ("interpolated", blurred, {"num_classes": 2}, "a speckle of many others"),
]


@pytest.mark.parametrize(
    ("plant", "options", "text"), [one[1:] for one in VALUES], ids=[one[0] for one in VALUES]
)
def test_wrong_values_and_their_cause(
    tree: Path, plant: Plant, options: dict[str, object], text: str
) -> None:
    plant(tree)
    report = check(tree, **options)
    assert set(codes(report)) == {"train: wrong_values", "val: wrong_values"}
    assert {one.severity for one in report.findings} == {Severity.ERROR}
    assert all(text in "\n".join(one.lines()) for one in report.findings)
    assert [one.count for one in report.findings] == [4, 2]


def test_a_binary_mask_whose_foreground_is_ignored(tree: Path) -> None:
    swap_values(tree, {1: 255, 2: 255})
    write(tree / "masks/train/3.png", np.full((48, 64), 255, np.uint8))  # all foreground
    report = check(tree, num_classes=2)
    assert codes(report)["train: hidden_foreground"] is Severity.ERROR
    assert "train: unlabelled" not in codes(report)
    assert "label_map: {0: 0, 255: 1}" in "\n".join(report.lines())
    mapped = check(tree, label_map={"0": 0, "255": 1}, num_classes=2)
    assert mapped.findings == []


def test_of_several_classes_only_ignored_pixels_may_be_there_besides_0(tree: Path) -> None:
    """The others may be rare: not an error, at which a training run would not start."""
    swap_values(tree, {1: 255, 2: 255})
    report = check(tree)
    assert codes(report)["val: hidden_foreground"] is Severity.WARNING
    assert {code for code, severity in codes(report).items() if severity is Severity.ERROR} == {
        "train: one_class"
    }


def test_colours_and_ids_that_maps_lack(tree: Path) -> None:
    as_colours(tree)
    report = check(tree, color_map=[[0, 0, 0], [100, 50, 10], [1, 1, 1]])
    assert "add what is missing: [2, 2, 2], [200, 100, 20]" in "\n".join(report.lines())
    report = check(tree, label_map={"0": 0, "1": 1}, num_classes=2)
    assert codes(report)["val: unmapped_ids"] is Severity.ERROR


def test_a_listed_file_that_is_missing(tree: Path) -> None:
    names = ["images/train/0.png masks/train/0.png", "images/train/gone.png masks/train/1.png"]
    (tree / "list.txt").write_text("\n".join(names))
    with pytest.raises(UnpairedError) as caught:
        Dataset("train", str(tree), [], 3, train_path=str(tree / "list.txt"))
    split = Split(caught.value.dataset, caught.value.found)
    report = check_datasets({"train": split}, source="list")
    assert codes(report) == {"train: missing_file": Severity.ERROR}
    assert "gone.png" in only(report).examples[0].text


def test_a_split_without_one_whole_pair(tree: Path) -> None:
    for path in tree.glob("masks/val/*"):
        path.unlink()
    (tree / "masks/val/other.png").write_bytes(b"")
    report = check(tree)
    assert set(codes(report)) == {"val: image_without_label", "val: label_without_image"}
    assert report.splits[1].pairs == 0


def test_a_class_that_is_never_learned(tree: Path) -> None:
    for path in tree.glob("masks/train/*.png"):
        write(path, mask(2))
    assert codes(check(tree)) == {
        "train: absent_class": Severity.WARNING,
        "train+val: unlearned_class": Severity.WARNING,
    }


def test_a_crop_that_no_image_reaches(tree: Path) -> None:
    split = open_split(tree, "train", transforms=[RandomPaddingCrop([512, 512])])
    assert codes(check_datasets({"train": split}, source="x")) == {"train: crop_too_large": Severity.ERROR}
    # 48·64 of 50·66: 7% padding.
    split = open_split(tree, "train", transforms=[RandomPaddingCrop([66, 50])])
    assert codes(check_datasets({"train": split}, source="x")) == {}


def test_a_test_set_has_images_alone(tree: Path) -> None:
    shutil.copytree(tree / "images/val", tree / "images/test")
    split = open_split(tree, "test")
    report = check_datasets({"test": split}, source="x")
    assert (report.findings, report.splits[0].classes) == ([], ())
    assert report.splits[0].pictures is not None


def test_progress_and_limit(tree: Path) -> None:
    seen = []
    splits = {mode: open_split(tree, mode) for mode in ("train", "val")}
    check_datasets(
        splits,
        source="x",
        options=ScanOptions(limit=2),
        progress=lambda facts, split, count: seen.append((split, count)) or facts,
    )
    assert seen == [("train", 2), ("val", 2)]


@pytest.mark.slow
def test_a_hundred_thousand_samples_take_little_memory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records as a scan makes them, each with a fault: of most of them only figures are kept."""
    count = 100_000
    dataset = open_split(tree, "train").dataset
    assert dataset is not None
    dataset.files = [Pair("i.png", "l.png")] * count
    random = np.random.default_rng(0)
    thumbnails = random.integers(0, 256, (count, 256), dtype=np.uint8)
    bits = random.integers(0, 2**63, count).tolist()

    def made(_: SegmentationDataset, index: int) -> SampleFacts:
        print_ = Fingerprint(index, bits[index], thumbnails[index].tobytes())
        image = ImageFacts((64 + index % 1000, 48), (1.0, 2.0, 3.0), (9.0, 9.0, 9.0), print_)
        label = LabelFacts((64, 48), {0: 5, 1: 5, 2: 5, 300 + index: 1})
        fault = inspection.Fault("wrong_values", f"{index}.png: holds {300 + index} on 1 pixels")
        return SampleFacts(index, image, label, faults=(fault,))

    monkeypatch.setattr("paddleseg.data.check.scan.inspect_sample", made)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = checker.check_datasets({"train": Split(dataset)}, source="x")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024  # KiB
    (wrong,) = [one for one in report.findings if one.code == "wrong_values"]
    assert (wrong.count, len(wrong.examples)) == (count, 10)
