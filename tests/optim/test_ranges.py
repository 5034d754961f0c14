from __future__ import annotations

import math

import pytest

from paddleseg.errors import ConfigError
from paddleseg.optim.ranges import check_number


def test_what_is_in_range() -> None:
    for value in (0, 0.0, 1e308):
        check_number("place", value)
    check_number("place", 1, at_least=1)
    check_number("place", -1e308, above=-math.inf, below=0)


@pytest.mark.parametrize(
    ("value", "limits", "expected"),
    [
        (-1e-9, {}, "at least 0"),
        (math.nan, {}, "at least 0"),
        (math.inf, {}, "at least 0"),
        (True, {}, "at least 0"),
        ("1", {}, "at least 0"),
        (None, {}, "at least 0"),
        ([1], {}, "at least 0"),
        (0, {"at_least": 1}, "at least 1"),
        (0, {"above": 0.0}, "above 0"),
        (1, {"below": 1.0}, "at least 0 and below 1"),
        (1.5, {"above": 0.5, "below": 1.5}, "above 0.5 and below 1.5"),
    ],
)
def test_what_is_not(value: object, limits: dict[str, float], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_number("place", value, **limits)
    assert str(caught.value) == f"place: got {value!r}; expected a number {expected}"
