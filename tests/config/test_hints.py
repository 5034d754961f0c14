"""Which YAML values fit which type hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest

from paddleseg.config.hints import Above, AtLeast, Below, Between, conforms, describe


class Unknown:
    pass


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [1.0, True, "1", None, [1]]),
        (float, [0, 0.5], [True, "0.5", None]),
        (bool, [True, False], [0, 1, "True"]),
        (str, ["a", ""], [1, None]),
        (None, [None], [0, ""]),
        (int | None, [None, 3], ["a", 0.5]),
        (float | Sequence[float], [1, [1, 0.5], []], ["a", ["a"], [True]]),
        (Sequence[int], [[], [1, 2]], ["12", 1, [1.5], {"a": 1}]),
        (list, [[1, "a"]], ["a", 1]),
        (tuple[int, int], [[1, 2]], [[1], [1, 2, 3], [1, "a"], 1]),
        (tuple[int, ...], [[], [1, 2, 3]], [[1, "a"], 3]),
        (Mapping[str, Any], [{}, {"a": 1}], [[], 1]),
        (Literal[8, 16], [8, 16], [32, 8.0, True, "8"]),
        (Literal["a", True], ["a", True], [1, "b"]),
        (Annotated[int, AtLeast(1)], [1, 5], [0, 1.5, True]),
        (Annotated[float, Above(0)], [0.1, 3], [0, -1, "a"]),
        (Annotated[float, Between(0, 1)], [0, 1, 0.5], [1.01, -0.01, float("nan")]),
        (Annotated[float, AtLeast(0), Below(1)], [0, 0.999], [1, -0.01, float("nan")]),
        (list[Annotated[int, AtLeast(1)]], [[1]], [[0], [1, 0]]),
        (Unknown, [1, "a", {"type": "X"}, None], []),
        (Sequence[Unknown], [[{"type": "X"}]], [{"type": "X"}, 1]),
        (Any, [1, None], []),
    ],
)
def test_conforms(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not conforms(value, hint)] == []
    assert [value for value in bad if conforms(value, hint)] == []


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "a whole number"),
        (Annotated[int, AtLeast(1)] | None, "a whole number of at least 1 or null"),
        (Annotated[float, Above(0)], "a number above 0"),
        (Annotated[float, Between(0, 0.5)], "a number from 0 to 0.5"),
        (Annotated[float, AtLeast(0), Below(1)], "a number of at least 0 and below 1"),
        (Literal[8, 16], "one of 8, 16"),
        (tuple[int, int], "a list of a whole number, a whole number"),
        (Sequence[float], "a list, each entry a number"),
        (list, "a list"),
        (dict, "a mapping"),
        (Unknown, "a component block with 'type'"),
    ],
)
def test_describe(hint: Any, text: str) -> None:
    assert describe(hint) == text
