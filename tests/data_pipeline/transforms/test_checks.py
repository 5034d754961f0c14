from __future__ import annotations

import math
from typing import Any

import pytest

from paddleseg.data.transforms import checks


@pytest.mark.parametrize(
    ("check", "value", "options", "accepted"),
    [
        (checks.check_number, -2.5, {}, -2.5),
        (checks.check_number, 3, {"minimum": 3, "maximum": 3}, 3),
        (checks.check_probability, 0, {}, 0),
        (checks.check_probability, 1.0, {}, 1.0),
        (checks.check_integer, 1, {}, 1),
        (checks.check_integer, -4, {"minimum": -4}, -4),
        (checks.check_size, [769, 513], {}, (513, 769)),  # width, height in; height, width out
        (checks.check_size, (1, 1), {}, (1, 1)),
        (checks.check_numbers, [0.5], {}, [0.5]),
        (checks.check_numbers, (1, 2.5, -3), {}, [1, 2.5, -3]),
        (checks.check_choice, "b", {"choices": ("a", "b")}, "b"),
        (checks.check_classes, [3, 0], {}, (3, 0)),
    ],
)
def test_what_is_accepted(check: Any, value: Any, options: dict[str, Any], accepted: Any) -> None:
    assert check("x", value, **options) == accepted


NUMBER, SIZE = "x: expected a number", "x: expected [width, height] in whole pixels"
WHOLE, LIST = "x: expected a whole number of at least 1", "x: expected a list of 1 or 3 numbers"

CLASSES = "x: expected a list of class ids, each once, such as [11, 12]"


@pytest.mark.parametrize(
    ("check", "value", "options", "message"),
    [
        (checks.check_number, "1", {}, f"{NUMBER}, got '1'"),
        (checks.check_number, True, {}, f"{NUMBER}, got True"),
        (checks.check_number, None, {}, f"{NUMBER}, got None"),
        (checks.check_number, math.nan, {}, f"{NUMBER}, got nan"),
        (checks.check_number, math.inf, {}, f"{NUMBER}, got inf"),
        (checks.check_number, 0.9, {"minimum": 1}, f"{NUMBER} of at least 1, got 0.9"),
        (checks.check_number, 2.1, {"minimum": 1, "maximum": 2}, f"{NUMBER} from 1 to 2, got 2.1"),
        (checks.check_probability, 1.01, {}, f"{NUMBER} from 0 to 1, got 1.01"),
        (checks.check_probability, -0.01, {}, f"{NUMBER} from 0 to 1, got -0.01"),
        (checks.check_integer, 0, {}, f"{WHOLE}, got 0"),
        (checks.check_integer, 2.0, {}, f"{WHOLE}, got 2.0"),
        (checks.check_integer, True, {}, f"{WHOLE}, got True"),
        (checks.check_size, 769, {}, f"{SIZE}, got 769"),
        (checks.check_size, [769], {}, f"{SIZE}, got [769]"),
        (checks.check_size, [769, 0], {}, f"{SIZE}, got [769, 0]"),
        (checks.check_size, [769, 76.5], {}, f"{SIZE}, got [769, 76.5]"),
        (checks.check_size, [True, 1], {}, f"{SIZE}, got [True, 1]"),
        (checks.check_numbers, 0.5, {}, f"{LIST}, got 0.5"),
        (checks.check_numbers, [0.5, 0.5], {}, f"{LIST}, got [0.5, 0.5]"),
        (checks.check_numbers, [0.5, "a", 1], {}, "x[1]: expected a number, got 'a'"),
        (checks.check_classes, [], {}, f"{CLASSES}, got []"),
        (checks.check_classes, [1, 2, 1], {}, f"{CLASSES}, got [1, 2, 1]"),
        (checks.check_classes, [-1], {}, f"{CLASSES}, got [-1]"),
        (checks.check_classes, "car", {}, f"{CLASSES}, got 'car'"),
        (checks.check_choice, "c", {"choices": ("a", "b")}, "x: expected one of a, b, got 'c'"),
    ],
)
def test_what_is_refused(check: Any, value: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        check("x", value, **options)
    assert str(caught.value) == message
