"""What is noted of one sample, against NumPy and the files that were written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from check_cases import counts, mask, open_tree, scene, write, write_tree
from PIL import Image

from paddleseg.data.check import inspection
from paddleseg.data.check.inspection import count_values, inspect_label, inspect_sample, wrong_of
from paddleseg.data.datasets import FolderDataset
from paddleseg.data.transforms.sample import Sample
from paddleseg.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


def codes(root: Path, index: int = 0, **options: object) -> list[str]:
    return [one.code for one in inspect_sample(open_tree(root, **options), index).faults]


def test_a_good_sample(tree: Path) -> None:
    facts = inspect_sample(open_tree(tree), 1)
    image = scene(1)
    assert facts.faults == ()
    assert facts.image is not None
    assert facts.image.size == (64, 48)
    np.testing.assert_allclose(facts.image.mean, image.reshape(-1, 3).mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(facts.image.std, image.reshape(-1, 3).std(axis=0), atol=1e-9)
    assert facts.label is not None
    assert facts.label.size == (64, 48)
    # 64 columns for three classes: 22, 21 and 21 of them, 48 rows.
    assert counts(facts.label.values) == {0: 22 * 48, 1: 21 * 48, 2: 21 * 48}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_values_are_counted(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_BLOCK", 100)  # several blocks
    label = np.random.default_rng(0).integers(0, 7, (31, 29)).astype(dtype)
    expected = {value: int((label == value).sum()) for value in range(7)}
    assert counts(count_values(label)) == expected


def test_more_pixels_than_single_precision_counts() -> None:
    assert count_values(np.zeros((4097, 4097), np.uint8)) == {0: 16785409}  # odd, and above 2²⁴


def test_values_that_are_no_class() -> None:
    assert wrong_of({-1: 4, 0: 1, 2: 1, 3: 5, 255: 9}, 3, 255) == {-1: 4, 3: 5}


def test_damaged_and_missing_files(tree: Path) -> None:
    dataset = open_tree(tree)
    path = tree / "images/train/0.png"
    path.write_bytes(path.read_bytes()[:100])
    (tree / "masks/train/1.png").write_bytes(b"")
    (tree / "images/train/2.png").unlink()
    found = [inspect_sample(dataset, index) for index in range(3)]
    assert [[one.code for one in facts.faults] for facts in found] == [
        ["unreadable_image"],
        ["unreadable_label"],
        ["unreadable_image"],
    ]
    assert all(str(tree) in one.text for facts in found for one in facts.faults)
    assert found[0].label is not None  # the other half is looked at all the same
    assert found[1].image is not None


def test_sizes(tree: Path) -> None:
    write(tree / "masks/train/0.png", mask(size=(64, 48)))
    (fault,) = inspect_sample(open_tree(tree), 0).faults
    assert fault.code == "size_mismatch"
    assert fault.text.endswith("0.png: 64×48, its label 48×64, turned by a quarter")


def test_a_wrong_value(tree: Path) -> None:
    write(tree / "masks/train/0.png", np.where(mask() == 2, 9, mask()).astype(np.uint8))
    (fault,) = inspect_sample(open_tree(tree), 0).faults
    assert (fault.code, fault.text.endswith("holds 9 on 1008 pixels")) == ("wrong_values", True)


def test_a_wide_label_keeps_its_most_frequent_values(tree: Path) -> None:
    values = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    values[:24] = 7
    write(tree / "masks/train/0.png", values)
    label = inspect_label(open_tree(tree), 0).label
    assert label is not None
    assert len(label.values) == 300
    assert label.values[7] == 24 * 64


def test_colours_and_lossy_files(tree: Path) -> None:
    colours = np.zeros((48, 64, 3), dtype=np.uint8)
    colours[:, 32:] = 10, 20, 30
    write(tree / "masks/train/0.png", colours)
    facts = inspect_sample(open_tree(tree), 0)
    assert [one.code for one in facts.faults] == ["colour_mask"]
    assert counts(facts.colours) == {0: 32 * 48, 0x0A141E: 32 * 48}
    facts = inspect_sample(open_tree(tree, color_map=[[0, 0, 0], [1, 1, 1]]), 0)
    assert [one.code for one in facts.faults] == ["unmapped_colours"]
    assert counts(facts.colours) == {0x0A141E: 32 * 48}
    # The name of a lossy file may say what it likes.
    _, data = cv2.imencode(".jpg", mask() * 50)
    (tree / "masks/train/1.png").write_bytes(data.tobytes())
    assert codes(tree, 1) == ["lossy_mask"]
    Image.fromarray(mask() * 50).convert("RGB").save(tree / "masks/train/2.png", format="WEBP", quality=50)
    assert codes(tree, 2) == ["lossy_mask"]


def test_ids_that_no_map_lists(tree: Path) -> None:
    assert codes(tree, label_map={"0": 0, "1": 1}) == ["unmapped_ids"]
    assert codes(tree, label_map={"0": 0, "1": 1, "other": "ignore"}) == []


def test_a_label_without_labels(tree: Path) -> None:
    write(tree / "masks/train/0.png", np.full((48, 64), 255, np.uint8))
    assert codes(tree) == ["unlabelled"]


def test_an_error_of_any_kind_is_a_fault(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_tree(tree)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug of a decoder")

    monkeypatch.setattr(inspection, "read_pixels", fail)
    monkeypatch.setattr(dataset, "decode_label", fail)
    monkeypatch.setattr(dataset, "raw_label", fail)
    texts = [one.text for one in inspect_sample(dataset, 0).faults]
    assert [text.split(": ", 1)[1] for text in texts] == [
        "cannot be decoded (RuntimeError: a bug of a decoder)"
    ] * 2


class OwnLoading(FolderDataset):
    """Reads in its own way."""

    def load(self, index: int) -> Sample:
        if index == 1:
            raise DataError("no such frame in the film")
        image = np.full((8, 10, 3), 77, dtype=np.float32)
        return Sample(image, np.full((8, 10), index, dtype=np.int32))


def test_a_class_that_loads_in_its_own_way(tree: Path) -> None:
    dataset = OwnLoading(mode="train", dataset_root=str(tree), transforms=[], num_classes=3)
    facts = [inspect_sample(dataset, index) for index in range(4)]
    assert facts[0].image is not None
    assert facts[0].image.mean == (77, 77, 77)
    assert [one.text for one in facts[1].faults] == ["no such frame in the film"]
    assert facts[2].label is not None
    assert counts(facts[2].label.values) == {2: 80}
    assert [one.code for one in facts[3].faults] == ["wrong_values"]
