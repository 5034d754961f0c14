"""The configuration tree: plain YAML values, each with the place it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Node", "Path", "find", "from_value", "join", "merge", "plain", "show"]

Path = tuple[str | int, ...]


@dataclass
class Node:
    """One value of the tree.

    Attributes:
        value: A scalar, a list of nodes or a dict of nodes.
        source: ``file:line``, or the command-line option that set it.
        closed: Whether ``_inherited_: False`` keeps a base's entries out of this dict.
        shared: Whether a YAML alias refers to it, so that it may only exist to be referred to.
    """

    value: Any
    source: str
    closed: bool = False
    shared: bool = False


def from_value(value: Any, source: str) -> Node:
    """Turns plain values into nodes that all name one source; tuples become lists."""
    if isinstance(value, Mapping):
        return Node({key: from_value(item, source) for key, item in value.items()}, source)
    if isinstance(value, (list, tuple)):
        return Node([from_value(item, source) for item in value], source)
    return Node(value, source)


def plain(node: Node) -> Any:
    """Returns a fresh tree of plain values."""
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def merge(upper: Node, lower: Node) -> Node:
    """Lays one tree over another: dicts are merged key by key, anything else is replaced whole.

    Args:
        upper: The tree that wins.
        lower: The base.
    """
    if upper.closed or not (isinstance(upper.value, dict) and isinstance(lower.value, dict)):
        return upper
    merged = dict(lower.value)
    for key, item in upper.value.items():
        merged[key] = merge(item, merged[key]) if key in merged else item
    return Node(merged, upper.source, closed=lower.closed, shared=upper.shared or lower.shared)


def find(root: Node, path: Path) -> Node | None:
    """Returns the node at a path, or None where there is none."""
    node: Any = root
    for part in path:
        try:
            node = node.value[part]
        except (KeyError, IndexError, TypeError):
            return None
        if not isinstance(node, Node):  # a character of a text
            return None
    return node


def join(path: Path) -> str:
    """Writes a path as in messages: ``loss.types[0].type``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def show(value: Any) -> str:
    """Writes a value for a message, shortened."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
