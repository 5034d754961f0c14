"""Which ids labels hold, how many classes that makes, and masks whose foreground would be ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.check.findings import Examples
from paddleseg.data.class_scan import (
    class_ids_of,
    count_classes,
    count_likely_classes,
    ids_in,
    outlying_ids,
    refuse_ignored_foreground,
)
from paddleseg.data.datasets import Pair, SegmentationDataset
from paddleseg.errors import DataError


def write(root: Path, labels: list[list[int]], **options: Any) -> SegmentationDataset:
    """A data set whose labels have these values."""
    pairs = []
    for number, values in enumerate(labels):
        pair = Pair(str(root / f"{number}.jpg"), str(root / f"{number}.png"))
        Image.fromarray(np.zeros((2, len(values), 3), np.uint8)).save(pair.image)
        wide = np.uint8 if max(values) < 256 else np.uint16
        Image.fromarray(np.array([values] * 2, wide)).save(str(pair.label))
        pairs.append(pair)
    return SegmentationDataset(pairs, **{"mode": "train", "transforms": [], "num_classes": 2, **options})


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_ids_in_a_label(dtype: type) -> None:
    assert ids_in(np.array([[0, 3, 255], [3, 3, 0]], dtype)) == {0, 3, 255}
    assert ids_in(np.arange(256).astype(dtype).reshape(16, 16)[:, ::2]) == set(range(0, 256, 2))


@pytest.mark.parametrize("threads", [1, 3])
def test_ids_of_all_labels(tmp_path: Path, threads: int) -> None:
    dataset = write(tmp_path, [[0, 1], [0, 255], [4, 300]])
    seen: list[set[int]] = []

    def watch(items: Any) -> Any:
        for item in items:
            seen.append(item)
            yield item

    found = class_ids_of(dataset, threads=threads, progress=watch)
    files = [pair.label for pair in dataset.files]
    holders = {one: [example.text for example in found[one].kept] for one in found}
    assert holders == {0: files[:2], 1: files[:1], 4: files[2:], 300: files[2:]}
    assert seen == [{0, 1}, {0, 255}, {4, 300}]
    mapped = write(tmp_path, [[0, 255], [7, 7]], label_map={0: 0, 255: 1, 7: "ignore"})
    assert set(class_ids_of(mapped, threads=threads)) == {0, 1}
    assert set(class_ids_of(dataset, indices=[2])) == {4, 300}


def test_a_bad_label_ends_the_scan(tmp_path: Path) -> None:
    dataset = write(tmp_path, [[0, 1], [0, 1], [0, 1]])
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1\.png: the label file is empty"):
        class_ids_of(dataset, threads=2)
    assert {one: holder.count for one, holder in class_ids_of(dataset, skip_bad=True).items()} == {0: 2, 1: 2}


@pytest.mark.parametrize(
    ("ids", "outlying", "count"),
    [
        (set(), [], 2),
        ({0}, [], 2),
        ({1}, [], 2),
        ({0, 2, 5}, [], 6),  # half of six
        ({0, 2, 6}, [6], 3),
        ({0, 1, 2, 204}, [204], 3),
        ({0, 100, 200}, [100, 200], 2),
        (set(range(21)) | {24}, [], 25),
        (set(range(21)) | {25}, [25], 21),  # a gap of four
        (set(range(21)) | {25, 26, 27, 28}, [], 29),
        (set(range(21)) | {150, 151, 152}, [150, 151, 152], 21),
        ({5}, [5], 2),
        ({-7, -1, 0, 1, 90}, [-7, -1], 91),
        (set(range(200)), [], 200),
        (set(range(201)), [], 2),
        # The ids of Cityscapes' files that are evaluated; all of them; COCO-Stuff's of 182, 11 left out.
        ({7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33}, [], 34),
        (set(range(34)), [], 34),
        (set(range(182)) - {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}, [], 182),
    ],
)
def test_ids_that_can_hardly_be_classes(ids: set[int], outlying: list[int], count: int) -> None:
    assert outlying_ids(ids) == outlying
    assert count_likely_classes(ids) == count


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({0, 1}, 2),
        ({1}, 2),
        ({0, 2, 5}, 6),
        (set(range(200)), 200),
        (
            {0, 2, 6},
            r"hold 0, 2, 6\. Stray values, or grey levels .*\? 6 is in c\.png, d\.png and 1 more\. Correct "
            r"these labels, or set label_map: {0: 0, 2: 2, 6: ignore}; if they are classes, .*: 7$",
        ),
        (
            {0, 100, 200},
            r"100 is in c\.png, .*; 200 is in .* {0: 0, 100: 1, 200: 2}; .*num_classes: 201$",
        ),
        (set(range(150)) | {199}, r"199 is in c\.png.*label_map, which lists .*num_classes: 200$"),
        (
            set(range(201)),
            r"hold 0, 1, 2, 3, 4, 5, 6, 7, …, 201 ids up to 200: grey levels .*; give num_classes",
        ),
        (
            {0, 255},
            r"they hold 0, 255; a 0/255 mask\? Set label_map: {0: 0, 255: 1}, or give num_classes$",
        ),  # 255 is not ignored
        ({0}, r"besides ignore_index 255, they hold 0; a 0/255 mask\? Set label_map: {0: 0, 255: 1}"),
        (set(), r"they hold nothing; give num_classes"),
        ({0, 300}, r"300 is in .* label_map: {0: 0, 300: 1}; .*num_classes: 301$"),
        ({-1, 0, 1}, r"-1 is in c\.png, .*label_map: {-1: ignore, 0: 0, 1: 1}$"),
    ],
)
def test_the_number_of_classes(tmp_path: Path, ids: set[int], expected: int | str) -> None:
    dataset = write(tmp_path, [[0]])
    found = {one: Examples.of(["c.png", "d.png", "e.png"]) for one in ids}
    if isinstance(expected, int):
        assert count_classes(found, dataset) == expected
        return
    with pytest.raises(
        DataError, match=rf"^num_classes: not given, and the 1 labels, such as .*0\.png, .*{expected}"
    ):
        count_classes(found, dataset)


@pytest.mark.parametrize("mode", ["train", "val"])
def test_a_binary_mask_whose_foreground_is_ignored(tmp_path: Path, mode: str) -> None:
    dataset = write(tmp_path, [[0, 0], [0, 255], [255, 255]], mode=mode)
    with pytest.raises(DataError) as caught:
        refuse_ignored_foreground(dataset)
    message = str(caught.value)
    assert f"0.png and 2 other labels of {mode} hold 0 and 255 only" in message
    assert "Set label_map: {0: 0, 255: 1}" in message
    assert "{0: 0, 1: 1, 255: ignore}" in message


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ([[0, 255], [0, 1]], {}),
        ([[0, 0], [0, 0]], {}),
        ([[0, 255]], {"num_classes": 3}),
        ([[0, 255]], {"label_map": {0: 0, 255: 1}}),
        ([[0, 255]], {"label_map": {0: 0, 1: 1, 255: "ignore"}}),
        ([[0, 255]], {"reduce_zero_label": True}),
        ([[0, 254]], {"ignore_index": 254}),
    ],
)
def test_what_is_no_such_mask(tmp_path: Path, labels: list[list[int]], options: dict[str, Any]) -> None:
    refuse_ignored_foreground(write(tmp_path, labels, **options))


def test_images_without_labels_and_bad_labels_are_for_others(tmp_path: Path) -> None:
    dataset = write(tmp_path, [[0, 255], [0, 1]])
    (tmp_path / "0.png").write_bytes(b"")
    refuse_ignored_foreground(dataset)
    pairs = [Pair(pair.image, None) for pair in dataset.files]
    refuse_ignored_foreground(SegmentationDataset(pairs, mode="test", transforms=[], num_classes=2))
