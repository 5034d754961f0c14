"""Which ids labels hold, how many classes that makes, and masks whose foreground would be ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddleseg.data.class_scan import class_ids_of, count_classes, ids_in, refuse_ignored_foreground
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

    assert class_ids_of(dataset, threads=threads, progress=watch) == {0, 1, 4, 300}
    assert seen == [{0, 1}, {0, 255}, {4, 300}]
    mapped = write(tmp_path, [[0, 255], [7, 7]], label_map={0: 0, 255: 1, 7: "ignore"})
    assert class_ids_of(mapped, threads=threads) == {0, 1}


def test_a_bad_label_ends_the_scan(tmp_path: Path) -> None:
    dataset = write(tmp_path, [[0, 1], [0, 1], [0, 1]])
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1\.png: the label file is empty"):
        class_ids_of(dataset, threads=2)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({0, 1}, 2),
        ({1}, 2),
        ({0, 2, 5}, 6),
        (set(range(200)), 200),
        (
            {0, 2, 6},
            r"they hold 0, 2, 6, 3 ids up to 6: grey levels instead of class ids\?; give num_classes",
        ),
        ({0, 100, 200}, r"they hold 0, 100, 200, 3 ids up to 200: grey levels"),
        (set(range(201)), r"they hold 0, 1, 2, 3, 4, 5, 6, 7, …, 201 ids up to 200: grey levels"),
        ({0, 255}, r"they hold 0, 255; a 0/255 mask\? Set label_map: {0: 0, 255: 1}"),  # 255 is not ignored
        ({0}, r"besides ignore_index 255, they hold 0; a 0/255 mask\? Set label_map: {0: 0, 255: 1}"),
        (set(), r"they hold nothing; give num_classes"),
        ({0, 300}, r"they hold 0, 300, 2 ids up to 300: grey levels instead of class ids\?; give"),
        ({-1, 0, 1}, r"they hold -1, 0, 1, 3 ids"),
    ],
)
def test_the_number_of_classes(tmp_path: Path, ids: set[int], expected: int | str) -> None:
    dataset = write(tmp_path, [[0]])
    if isinstance(expected, int):
        assert count_classes(ids, dataset) == expected
        return
    with pytest.raises(
        DataError, match=rf"^num_classes: not given, and the 1 labels, such as .*0\.png, .*{expected}"
    ):
        count_classes(ids, dataset)


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
