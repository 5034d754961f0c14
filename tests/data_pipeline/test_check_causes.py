"""The likely cause of wrong labels: each pattern as people meet it, worked out by hand."""

from __future__ import annotations

import pytest

from paddleseg.data.check.causes import cause_of_colours, cause_of_values, hidden_foreground


def at(*values: int, pixels: int = 100) -> dict[int, int]:
    return dict.fromkeys(values, pixels)


SPECKLE = at(0, 1, pixels=10_000) | at(*range(2, 60), pixels=3)


@pytest.mark.parametrize(
    ("values", "num_classes", "ignore_index", "text", "fix"),
    [
        (at(0, 255), 2, -1, "binary masks stored as 0 and 255", "label_map: {0: 0, 255: 1}"),
        (at(0, 1, 2, 255), 3, -1, "255 stands for pixels without a label", "ignore_index: 255"),
        (at(-1, 0, 1), 2, 255, "negative ids", "label_map: {-1: ignore}"),
        (at(7, 26001, 26002), 19, 255, "instance ids", "files with class ids"),
        (at(0, 7, 8, 11, 26, 33), 19, 255, "Cityscapes label ids instead of train ids", "convert_cityscapes"),
        (at(*range(34)), 19, 255, "Cityscapes label ids instead of train ids", "convert_cityscapes"),
        (at(*range(1, 20)), 19, 255, "off by one: ids from 1", "reduce_zero_label: true"),
        (at(*range(21)), 19, 255, "num_classes is too small", "num_classes: 21"),
        (
            at(0, 2, 4),
            3,
            255,
            "too small, or ids are left over",
            "label_map: {0: 0, 2: 1, 4: 2} with num_classes: 3",
        ),
        (at(1, 2, 3), 3, 255, "off by one: ids from 1", "reduce_zero_label: true"),
        (
            at(0, 1, 2, 3),
            3,
            255,
            "one class more than num_classes",
            "num_classes: 4; or, if 0 means no label",
        ),
        (at(0, 85, 170, 255), 4, 255, "ids spread over 0..255", "label_map: {0: 0, 85: 1, 170: 2, 255: 3}"),
        (at(0, 128, 255), 3, 255, "ids spread over 0..255", "{0: 0, 128: 1, 255: 2} with num_classes: 3"),
        (at(0, 14, 113), 3, 255, "grey copy of a colour mask", "label_map: {0: 0, 14: 1, 113: 2}"),
        (
            at(0, 1, 2, 4, 255),
            3,
            255,
            "num_classes is too small",
            "num_classes: 5, or label_map: {0: 0, 1: 1",
        ),
        (at(0, 1, 2, 3, 4, 255), 3, 255, "num_classes is too small", "num_classes: 5"),
        (SPECKLE, 2, 255, "a speckle of many others", "nearest neighbour"),
        (at(*range(0, 200)), 4, 255, "grey levels of a picture", "folder of the masks"),
    ],
)
def test_wrong_values(
    values: dict[int, int], num_classes: int, ignore_index: int, text: str, fix: str
) -> None:
    cause = cause_of_values(values, num_classes=num_classes, ignore_index=ignore_index)
    assert text in cause.text
    assert fix in cause.fix


def test_an_ignored_value_gets_no_class() -> None:
    cause = cause_of_values(at(0, 1, 2, 4, 255), num_classes=3, ignore_index=255)
    assert cause.fix.endswith("label_map: {0: 0, 1: 1, 2: 2, 4: 3} with num_classes: 4")


@pytest.mark.parametrize(
    ("colours", "text", "fix"),
    [
        (
            {0x000000: 9, 0x8000FF: 5},
            "RGB masks with 2 colours",
            "color_map: [[0, 0, 0], [128, 0, 255]] in the order of your classes",
        ),
        ({0x010101: 5, 0x000000: 9}, "three equal channels", "one channel"),
        (dict.fromkeys(range(65), 1), "65 or more colours", "name the folder of the masks"),
    ],
)
def test_colours(colours: dict[int, int], text: str, fix: str) -> None:
    cause = cause_of_colours(colours)
    assert text in cause.text
    assert fix in cause.fix


def test_colours_that_a_map_lacks() -> None:
    cause = cause_of_colours({0x0A0B0C: 1}, has_color_map=True)
    assert cause.text == "colours that color_map does not list"
    assert cause.fix == "add what is missing: [10, 11, 12]"


def test_the_foreground_of_a_binary_mask_can_hide() -> None:
    assert "label_map: {0: 0, 255: 1}" in getattr(
        hidden_foreground(at(0, 255), num_classes=2, ignore_index=255), "fix", ""
    )
    for values, classes, ignored in [
        (at(0, 1, 255), 2, 255),
        (at(0), 2, 255),
        (at(0, 255), 2, 0),
        (at(0, 255), 1, 255),
    ]:
        assert hidden_foreground(values, num_classes=classes, ignore_index=ignored) is None
