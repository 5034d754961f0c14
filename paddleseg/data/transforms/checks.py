"""Checks of transform parameters; each returns the value it accepts and raises ValueError otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = [
    "check_choice",
    "check_classes",
    "check_integer",
    "check_number",
    "check_numbers",
    "check_probability",
    "check_size",
]


def check_number(name: str, value: Any, *, minimum: float = -math.inf, maximum: float = math.inf) -> float:
    """Accepts a finite number from ``minimum`` to ``maximum``."""
    if not _is_number(value) or not math.isfinite(value) or not minimum <= value <= maximum:
        raise ValueError(f"{name}: expected a number{_bounds(minimum, maximum)}, got {value!r}")
    return value


def check_probability(name: str, value: Any) -> float:
    """Accepts a number from 0 to 1."""
    return check_number(name, value, minimum=0, maximum=1)


def check_integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """Accepts a whole number of at least ``minimum``."""
    if not _is_integer(value) or value < minimum:
        raise ValueError(f"{name}: expected a whole number of at least {minimum}, got {value!r}")
    return value


def check_size(name: str, value: Any) -> tuple[int, int]:
    """Accepts [width, height]; returns (height, width)."""
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(_is_integer(side) and side >= 1 for side in value)
    ):
        raise ValueError(f"{name}: expected [width, height] in whole pixels, got {value!r}")
    width, height = value
    return height, width


def check_numbers(name: str, value: Any) -> list[float]:
    """Accepts a list of 1 or 3 finite numbers."""
    if not isinstance(value, list | tuple) or len(value) not in (1, 3):
        raise ValueError(f"{name}: expected a list of 1 or 3 numbers, got {value!r}")
    return [check_number(f"{name}[{index}]", item) for index, item in enumerate(value)]


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Accepts one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def check_classes(name: str, value: Any) -> tuple[int, ...]:
    """Accepts a list of at least one class id, without repetition."""
    if (
        not isinstance(value, list | tuple)
        or not value
        or not all(_is_integer(one) and one >= 0 for one in value)
        or len(set(value)) < len(value)
    ):
        raise ValueError(f"{name}: expected a list of class ids, each once, such as [11, 12], got {value!r}")
    return tuple(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounds(minimum: float, maximum: float) -> str:
    if math.isfinite(minimum) and math.isfinite(maximum):
        return f" from {minimum:g} to {maximum:g}"
    if math.isfinite(minimum):
        return f" of at least {minimum:g}"
    return ""
