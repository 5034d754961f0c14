"""The tree of values and their sources."""

from __future__ import annotations

import pytest

from paddleseg.config.node import Node, Path, find, from_value, join, merge, plain, show


def test_plain_values_make_the_round_trip() -> None:
    value = {"a": [1, {"b": None}], "c": {}, "d": "text"}
    assert plain(from_value(value, "f:1")) == value
    assert plain(from_value((1, (2, 3)), "f:1")) == [1, [2, 3]]


def test_every_node_names_its_source() -> None:
    root = from_value({"a": [1]}, "f:7")
    assert {root.source, root.value["a"].source, root.value["a"].value[0].source} == {"f:7"}


def test_plain_is_a_fresh_tree() -> None:
    root = from_value({"a": {"b": [1]}}, "f:1")
    plain(root)["a"]["b"].append(2)
    assert plain(root) == {"a": {"b": [1]}}


UPPER, LOWER = "upper.yml:1", "lower.yml:1"


@pytest.mark.parametrize(
    ("upper", "lower", "merged"),
    [
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        ({"a": {"x": 1}}, {"a": {"x": 2, "y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1]}, {"a": [2, 3]}, {"a": [1]}),
        ({"a": None}, {"a": {"x": 1}}, {"a": None}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": {"x": 1}}),
    ],
)
def test_dicts_are_merged_and_the_rest_is_replaced(upper: dict, lower: dict, merged: dict) -> None:
    below = from_value(lower, LOWER)
    assert plain(merge(from_value(upper, UPPER), below)) == merged
    assert plain(below) == lower


def test_merging_keeps_the_source_of_each_value() -> None:
    root = merge(from_value({"a": {"x": 1}}, UPPER), from_value({"a": {"x": 2, "y": 3}}, LOWER))
    a = root.value["a"].value
    assert (a["x"].source, a["y"].source) == (UPPER, LOWER)


def test_a_closed_dict_takes_nothing_from_below() -> None:
    upper = from_value({"a": 1}, UPPER)
    upper.closed = True
    assert plain(merge(upper, from_value({"b": 2}, LOWER))) == {"a": 1}
    # What was closed below stays closed to what is merged under it later.
    lower = from_value({"b": 2}, LOWER)
    lower.closed = True
    assert merge(from_value({"a": 1}, UPPER), lower).closed


ROOT = from_value({"a": [{"b": 1}], "n": None, "t": "text"}, "f:1")


@pytest.mark.parametrize(
    ("path", "value"), [((), plain(ROOT)), (("a", 0, "b"), 1), (("n",), None), (("t",), "text")]
)
def test_find(path: Path, value: object) -> None:
    found = find(ROOT, path)
    assert isinstance(found, Node)
    assert plain(found) == value


@pytest.mark.parametrize("path", [("b",), ("a", 1), ("a", "b"), ("a", 0, "b", "c"), ("n", "x"), ("t", 0)])
def test_find_what_is_not_there(path: Path) -> None:
    assert find(ROOT, path) is None


@pytest.mark.parametrize(
    ("path", "text"), [((), ""), (("a",), "a"), (("loss", "types", 0, "type"), "loss.types[0].type")]
)
def test_join(path: Path, text: str) -> None:
    assert join(path) == text


def test_show_shortens() -> None:
    assert show(None) == "null"
    assert show("a") == "'a'"
    assert show("a" * 58) == repr("a" * 58)  # 60 characters with the quotes
    assert show("a" * 59) == "'" + "a" * 56 + "…"
