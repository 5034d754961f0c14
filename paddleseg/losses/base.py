"""What the losses share: the checks of their options."""

from __future__ import annotations

import math
from collections.abc import Sequence

from paddleseg.errors import ConfigError

__all__ = [
    "check_above",
    "check_at_least",
    "check_data_format",
    "check_ignore_index",
    "check_weight",
    "match_weight",
]


def check_above(name: str, value: float, minimum: float) -> float:
    """Returns a number as a float.

    Raises:
        ValueError: It is not finite, or not above the minimum.
    """
    if not minimum < value < math.inf:
        raise ValueError(f"{name}: got {value}; expected a number above {minimum:g}")
    return float(value)


def check_at_least(name: str, value: float, minimum: float) -> float:
    """Returns a number as a float.

    Raises:
        ValueError: It is not finite, or below the minimum.
    """
    if not minimum <= value < math.inf:
        raise ValueError(f"{name}: got {value}; expected a number of at least {minimum:g}")
    return float(value)


def check_ignore_index(ignore_index: int) -> int:
    """Returns the ignored label.

    Raises:
        ValueError: It is not an integer.
    """
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise ValueError(f"ignore_index: got {ignore_index!r}; expected an integer")
    return ignore_index


def check_data_format(data_format: str) -> None:
    """Accepts PaddleSeg's option in the one layout that exists here.

    Raises:
        ValueError: Any layout but NCHW.
    """
    if data_format != "NCHW":
        raise ValueError(f"data_format: got {data_format!r}; only 'NCHW' is supported: leave the key out")


def check_weight(weight: Sequence[float] | None, name: str = "weight") -> tuple[float, ...] | None:
    """Returns the class weights as a tuple.

    Raises:
        ValueError: They are empty, negative, not finite, or all zero.
    """
    if weight is None:
        return None
    values = tuple(float(value) for value in weight)
    if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise ValueError(
            f"{name}: got {list(values)}; expected one finite number a class, none negative, not all 0"
        )
    return values


def match_weight(
    weight: tuple[float, ...], num_classes: int, loss: object, name: str = "weight"
) -> tuple[float, ...]:
    """Returns the class weights once they are known to fit the model.

    Raises:
        ConfigError: Their count is not the model's class count.
    """
    if len(weight) != num_classes:
        raise ConfigError(
            f"{type(loss).__name__}.{name}: got {len(weight)} values; the model has {num_classes} classes: "
            "give one weight a class"
        )
    return weight
