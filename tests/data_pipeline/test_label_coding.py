"""Maps of ids and colours; oracle: Python dictionaries, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paddleseg.data.label_coding import LabelCoding, parse_coding
from paddleseg.errors import DataError

ALL_BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_nothing_is_done_to_class_ids() -> None:
    coding = parse_coding()
    assert coding == LabelCoding()
    assert coding.apply(ALL_BYTES, "y.png") is ALL_BYTES
    assert coding.facts() == {}
    assert coding.class_count is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("ignore_index", [255, 254, -1, 300])
def test_reduce_zero_label(dtype: type, ignore_index: int) -> None:
    label = ALL_BYTES.astype(dtype)
    label.setflags(write=False)
    reduced = parse_coding(reduce_zero_label=True, ignore_index=ignore_index).apply(label, "y.png")
    for value, got in zip(label.ravel().tolist(), reduced.ravel().tolist(), strict=True):
        assert got == (ignore_index if value in (0, ignore_index) else value - 1)
    assert (reduced.dtype == np.uint8) == (dtype is np.uint8 and 0 <= ignore_index < 256)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("ignore_index", [255, -1])
def test_label_map_comes_after_reduce_zero_label(dtype: type, reduced: bool, ignore_index: int) -> None:
    listed: dict[Any, Any] = {"0": 2, 1: 0, "7": "ignore", 11: 1}
    coding = parse_coding(
        label_map={**listed, "other": "ignore"}, reduce_zero_label=reduced, ignore_index=ignore_index
    )
    classes = {0: 2, 1: 0, 11: 1}
    for value, got in zip(
        range(256), coding.apply(ALL_BYTES.astype(dtype), "y").ravel().tolist(), strict=True
    ):
        is_ignored = value == ignore_index or (reduced and value == 0)
        assert got == (ignore_index if is_ignored else classes.get(value - reduced, ignore_index))
    assert coding.class_count == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_binary_mask(dtype: type) -> None:
    coding = parse_coding(label_map={"0": 0, "255": 1})
    assert coding.apply(np.array([[0, 255, 0]], dtype), "y").tolist() == [[0, 1, 0]]
    with pytest.raises(
        DataError, match=r"y: the label holds 1, 254 on 2 pixels, which label_map does not list"
    ):
        coding.apply(np.array([[0, 255, 1, 254]], dtype), "y")


@pytest.mark.parametrize("reduced", [False, True])
def test_ignored_pixels_need_no_entry(reduced: bool) -> None:
    coding = parse_coding(label_map={0: 0, 1: 1}, reduce_zero_label=reduced)
    label = np.uint8([[reduced + 0, reduced + 1, 255]])
    assert coding.apply(label, "y").tolist() == [[0, 1, 255]]
    with pytest.raises(DataError, match="holds 2 on 1 pixels"):  # as label_map counts
        coding.apply(np.uint8([[reduced + 2, 255]]), "y")


def test_ids_beyond_a_byte() -> None:
    coding = parse_coding(label_map={1000: 0, 26001: 1, "-3": "ignore"})
    label = np.int32([[1000, 26001, -3, 255]])
    assert coding.apply(label, "y").tolist() == [[0, 1, 255, 255]]


def test_colours_then_ids() -> None:
    coding = parse_coding(
        color_map=[[0, 0, 0], [255, 0, 0], [0, 0, 255]], reduce_zero_label=True, label_map={0: 1, 1: 0}
    )
    pixels = np.uint8([[[0, 0, 0], [255, 0, 0], [0, 0, 255]]])
    assert coding.apply(pixels, "y").tolist() == [[255, 1, 0]]


@pytest.mark.parametrize(
    "color_map",
    [
        {"255, 0,10": 4, "0,0,0": "ignore", "9,8,7": 0},
        [
            {"color": [255, 0, 10], "id": 4},
            {"color": [0, 0, 0], "id": "ignore"},
            {"color": [9, 8, 7], "id": 0},
        ],
    ],
)
def test_colours_with_ids(color_map: Any) -> None:
    coding = parse_coding(color_map=color_map)
    assert coding.apply(np.uint8([[[9, 8, 7], [255, 0, 10], [0, 0, 0]]]), "y").tolist() == [[0, 4, 255]]
    assert coding.class_count == 5


def test_other_colours_may_be_ignored() -> None:
    coding = parse_coding(color_map={"1,2,3": 0, "other": "ignore"}, ignore_index=-1)
    label = coding.apply(np.uint8([[[1, 2, 3], [3, 2, 1]]]), "y")
    assert label.tolist() == [[0, -1]]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"label_map": {0: 0, 5: 3, 6: "ignore"}}, 4),
        ({"label_map": {0: 0, 5: 255}}, 1),
        ({"color_map": [[0, 0, 0], [1, 1, 1]]}, 2),
        ({"color_map": [[0, 0, 0], [1, 1, 1]], "label_map": {0: 0, 1: 4}}, 5),
        ({"reduce_zero_label": True}, None),
        ({"color_map": [[0, 0, 0], [1, 1, 1]], "reduce_zero_label": True}, None),
    ],
)
def test_the_number_of_classes(options: dict[str, Any], count: int | None) -> None:
    coding = parse_coding(**options)
    assert coding.class_count == count
    assert coding.count_classes(default=9) == (count or 9)
    assert coding.count_classes(class_names=["a", "b", "c"], default=9) == 3
    assert coding.count_classes(num_classes=7, class_names=["a"]) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_map": [0, 1]}, "label_map: expected a mapping such as"),
        ({"label_map": {"road": 0}}, "label_map: expected ids of the files as keys, got 'road'"),
        ({"label_map": {"1": 0, 1: 0}}, "label_map: 1 is listed twice"),
        (
            {"label_map": {0: "drop"}},
            "label_map: expected a class id of at least 0 or the word 'ignore' for 0",
        ),
        ({"label_map": {0: True}}, "label_map: expected a class id"),
        ({"label_map": {0: -2}}, "label_map: expected a class id"),
        ({"label_map": {0: 70000}}, "label_map: expected a class id"),
        ({"label_map": {0: 0, "other": 1}}, "label_map: 'other' can only be 'ignore', got 1"),
        ({"label_map": {0: "ignore"}}, "label_map: names no class"),
        ({"label_map": {"other": "ignore"}}, "label_map: names no class"),
        (
            {"label_map": {0: 0, 255: 1}, "reduce_zero_label": True},
            "label_map: lists 255, which is ignore_index",
        ),
        (
            {"label_map": {0: 0, 255: 1}, "color_map": {"0,0,0": 0, "1,1,1": "ignore"}},
            "label_map: lists 255, which is ignore_index and what color_map makes",
        ),
        (
            {"label_map": {0: 0, 255: 1}, "color_map": {"0,0,0": 0, "other": "ignore"}},
            "label_map: lists 255, which is ignore_index and what color_map makes",
        ),
        ({"color_map": 3}, "color_map: expected a list of colours"),
        ({"color_map": []}, "color_map: lists no colour"),
        ({"color_map": [[0, 0]]}, "color_map: expected colours of three numbers"),
        ({"color_map": [[0, 0, 256]]}, "color_map: expected colours of three numbers"),
        ({"color_map": [[0, 0, 0], [0, 0, 0]]}, "color_map: the colour 0,0,0 is listed twice"),
        ({"color_map": {"red": 0}}, "color_map: expected colours of three numbers 0..255 .*, got 'red'"),
        ({"color_map": {"0,0,0": "road"}}, "color_map: expected a class id"),
        ({"color_map": {"0,0,0": 0, "other": 0}}, "color_map: 'other' can only be"),
        ({"color_map": [{"color": [0, 0, 0]}]}, "color_map: expected {color: .* as entry 0"),
        (
            {"color_map": [{"color": [0, 0, 0], "id": 0}, [1, 1, 1]]},
            "color_map: expected {color: .* as entry 1",
        ),
    ],
)
def test_malformed_maps_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_coding(**options)


@pytest.mark.parametrize(
    ("options", "num_classes", "message"),
    [
        ({}, 0, "num_classes: expected at least 1, got 0"),
        ({"label_map": {0: 0, 1: 5}}, 5, "label_map: names class 5, expected 0..4"),
        ({"color_map": {"0,0,0": 3}}, 3, "color_map: names class 3, expected 0..2"),
        (
            {"reduce_zero_label": True, "ignore_index": 2},
            3,
            "ignore_index: 2 is a class, and reduce_zero_label",
        ),
    ],
)
def test_classes_beyond_their_number(options: dict[str, Any], num_classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_coding(**options).check_classes(num_classes)


def test_facts_name_what_differs() -> None:
    options: dict[str, Any] = {"label_map": {7: 1, 0: "ignore"}, "color_map": {"1,2,3": 0, "other": "ignore"}}
    coding = parse_coding(reduce_zero_label=True, **options)
    assert coding.facts() == {
        "reduce_zero_label": True,
        "label_map": "0: 255; 7: 1",
        "color_map": "1,2,3: 0; other: ignore",
    }
    assert coding == parse_coding(reduce_zero_label=True, **options)
