"""Changes from the command line: ``--opts a.b=c`` and the short flags."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from paddleseg.config.load import parse_value
from paddleseg.config.node import Node, Path, from_value, join, show
from paddleseg.errors import ConfigError

__all__ = ["apply_flags", "apply_overrides", "set_node"]

_FLAGS = (
    "iters",
    "batch_size",
    "learning_rate",
    "to_static_training",
    "seed",
    "accumulate",
    "precision",
    "amp_level",
    "use_ema",
    "check_data",
)


def apply_overrides(root: Node, overrides: Sequence[str] | Mapping[str, Any]) -> None:
    """Sets entries of the tree in place. Whether a new key may exist is for the later checks to say.

    Args:
        root: The tree.
        overrides: ``"a.b=value"`` texts, the value in YAML or as a Python literal (``0.75,1.0`` is a
            list); or a mapping from dotted path to value. List items by index: ``loss.types.0.type``.

    Raises:
        ConfigError: An item has no ``=`` or its path leads through something that is not there.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"--opts {overrides}: expected a list of key=value items, got one text")
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            if key in _FLAGS:
                apply_flags(root, {key: value})
            else:
                set_node(root, _split(key), from_value(value, f"override {key}"))
        return
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"--opts {item}: expected key=value, such as batch_size=1 or loss.coef=[1,0.4]")
        set_node(root, _split(key), _read(text, f"--opts {key}"))


def apply_flags(root: Node, flags: Mapping[str, Any]) -> None:
    """Sets what the short flags name, in place; None means that a flag was not given.

    Args:
        root: The tree.
        flags: The names in ``_FLAGS``; or dotted paths, whose last name is the flag: ``test_config.scales``.
            The learning rate goes to ``lr_scheduler``, or to the legacy ``learning_rate`` block.

    Raises:
        ConfigError: There is no such flag.
    """
    for name, value in flags.items():
        if name not in _FLAGS and "." not in name:
            raise ConfigError(f"no short flag '{name}'; there are {', '.join(_FLAGS)}")
        if value is None:
            continue
        path = _learning_rate_path(root) if name == "learning_rate" else _split(name)
        set_node(root, path, from_value(value, f"--{name.rpartition('.')[2]}"))


def set_node(root: Node, path: Path, node: Node) -> None:
    """Puts a node into the tree, in place; mappings on the way are made where there are none.

    Raises:
        ConfigError: The path leads through a scalar or to a list item that is not there.
    """
    parent = root
    for depth, part in enumerate(path[:-1]):
        parent = _entry(parent, part, path[:depth], node.source)
    _entry(parent, path[-1], path[:-1], node.source)
    parent.value[path[-1]] = node


def _entry(parent: Node, part: str | int, path: Path, source: str) -> Node:
    """Returns an entry of a node; a mapping gets a null one where it has none."""
    if parent.value is None:
        parent.value = {}
    if isinstance(parent.value, list):
        if isinstance(part, int) and part < len(parent.value):
            return parent.value[part]
        text = f"is a list with {len(parent.value)} entries; '{part}' is not the index of one"
        raise ConfigError(f"{source}: {join(path)} {text}")
    if not isinstance(parent.value, dict):
        raise ConfigError(f"{source}: {join(path)} is {show(parent.value)}, which has no entries")
    if isinstance(part, int):
        where = join(path) or "the configuration"
        raise ConfigError(
            f"{source}: {where} is a mapping; expected the name of an entry, got the number {part}"
        )
    return parent.value.setdefault(part, Node(None, source))


def _learning_rate_path(root: Node) -> Path:
    if "lr_scheduler" in root.value or "learning_rate" not in root.value:
        return ("lr_scheduler", "learning_rate")
    legacy = root.value["learning_rate"]
    return ("learning_rate", "value") if isinstance(legacy.value, dict) else ("learning_rate",)


def _split(key: str) -> Path:
    parts = re.sub(r"\[(\d+)\]", r".\1", key).split(".")
    if not all(parts):
        raise ConfigError(f"--opts {key}: expected names separated by single dots")
    return tuple(int(part) if part.isascii() and part.isdigit() else part for part in parts)


def _read(text: str, source: str) -> Node:
    literal = _python_literal(text)
    if literal is not None:
        return from_value(literal, source)
    if text == "None":
        return Node(None, source)
    try:
        return parse_value(text, source)
    except ConfigError:
        if text[:1] in "[{'\"":
            raise
        return Node(text, source)


def _python_literal(text: str) -> list[Any] | None:
    """Reads ``0.75,1.0`` or ``(1, 2)``, lists that YAML takes for text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return list(value) if isinstance(value, tuple) else None
