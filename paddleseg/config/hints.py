"""Type hints as a description of what YAML may hold."""

from __future__ import annotations

import collections.abc as abc
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

__all__ = ["Above", "AtLeast", "Below", "Between", "conforms", "describe"]

_SCALARS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_SEQUENCES = (list, abc.Sequence, abc.Iterable, abc.Collection)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)


@dataclass(frozen=True)
class AtLeast:
    """Range of a number, for ``Annotated[int, AtLeast(1)]``."""

    minimum: float

    def __call__(self, value: float) -> bool:
        return value >= self.minimum

    def __str__(self) -> str:
        return f"of at least {self.minimum:g}"


@dataclass(frozen=True)
class Above:
    """Open lower bound of a number."""

    minimum: float

    def __call__(self, value: float) -> bool:
        return value > self.minimum

    def __str__(self) -> str:
        return f"above {self.minimum:g}"


@dataclass(frozen=True)
class Below:
    """Open upper bound of a number."""

    maximum: float

    def __call__(self, value: float) -> bool:
        return value < self.maximum

    def __str__(self) -> str:
        return f"below {self.maximum:g}"


@dataclass(frozen=True)
class Between:
    """Closed range of a number."""

    minimum: float
    maximum: float

    def __call__(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum

    def __str__(self) -> str:
        return f"from {self.minimum:.10g} to {self.maximum:.10g}"


def conforms(value: Any, hint: Any) -> bool:
    """Tells whether a plain YAML value fits a type hint.

    A whole number passes for a float, a list for any sequence. Hints that YAML cannot express, such as
    classes, pass anything: the components named there are checked by themselves.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _is_scalar(value, hint)
    if hint is None or hint is type(None):
        return value is None
    if origin is typing.Annotated:
        return conforms(value, arguments[0]) and _in_range(value, arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return any(conforms(value, one) for one in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    base = origin or hint
    if base is tuple:
        return isinstance(value, list) and _fits_tuple(value, arguments)
    if base in _SEQUENCES:
        return isinstance(value, list) and all(conforms(item, arguments[0]) for item in value if arguments)
    if base in _MAPPINGS:
        return isinstance(value, dict)
    return True


def describe(hint: Any) -> str:
    """Says in words what :func:`conforms` accepts."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hint is None or hint is type(None):
        return "null"
    if origin is typing.Annotated:
        bounds = " and ".join(str(bound) for bound in arguments[1:] if callable(bound))
        return f"{describe(arguments[0])} {bounds}".strip()
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(one) for one in arguments))
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(one) for one in arguments)
    base = origin or hint
    if base is tuple and arguments and arguments[-1] is not Ellipsis:
        return "a list of " + ", ".join(describe(one) for one in arguments)
    if base is tuple or base in _SEQUENCES:
        return f"a list, each entry {describe(arguments[0])}" if arguments else "a list"
    return "a mapping" if base in _MAPPINGS else "a component block with 'type'"


def _is_scalar(value: Any, hint: type) -> bool:
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf
    return type(value) is hint


def _in_range(value: Any, bounds: tuple[Any, ...]) -> bool:
    return all(bound(value) for bound in bounds if callable(bound) and isinstance(value, (int, float)))


def _fits_tuple(value: list[Any], arguments: tuple[Any, ...]) -> bool:
    if not arguments:
        return True
    if arguments[-1] is Ellipsis:
        return all(conforms(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(conforms, value, arguments))
