"""A configuration: one tree of values that knows where each of them was written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from paddleseg.config.load import read_tree
from paddleseg.config.node import Node, Path, find, from_value, plain
from paddleseg.config.override import apply_flags, apply_overrides, set_node
from paddleseg.config.schema import Settings, drop_alias_holders, settings_of

__all__ = ["Config", "read_config"]


class Config:
    """The merged configuration.

    Args:
        root: Its tree, a mapping.
        path: The file it was read from.
    """

    def __init__(self, root: Node, path: str) -> None:
        self.root = root
        self.path = path

    @property
    def tree(self) -> dict[str, Any]:
        """A fresh copy of the values as plain dicts, lists and scalars."""
        tree: dict[str, Any] = plain(self.root)
        return tree

    @property
    def settings(self) -> Settings:
        """The typed form; only for a configuration that was checked."""
        return settings_of(self.tree)

    def source(self, path: str | Path) -> str:
        """Tells where a value was written.

        Args:
            path: ``"loss.types.0.type"``, or its parts.

        Returns:
            ``file:line`` or the command-line option; for a path that is not there, its nearest parent's.
        """
        parts = _parts(path)
        while (node := find(self.root, parts)) is None:
            parts = parts[:-1]
        return node.source

    def node(self, path: str | Path) -> Node | None:
        """Returns the node at a path, or None where there is none or it is null."""
        node = find(self.root, _parts(path))
        return None if node is None or node.value is None else node

    def set(self, path: str | Path, value: Any, source: str) -> None:
        """Sets a value.

        Args:
            path: Where; mappings on the way are made.
            value: Plain value.
            source: Who says so, for messages.
        """
        set_node(self.root, _parts(path), from_value(value, source))


def read_config(
    path: str | os.PathLike[str],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Reads a file with its bases and lays flags, then overrides, over it; nothing is checked yet.

    Args:
        path: YAML file.
        overrides: See :func:`paddleseg.config.override.apply_overrides`.
        flags: See :func:`paddleseg.config.override.apply_flags`.

    Raises:
        ConfigError: A file or an override cannot be read.
    """
    root = read_tree(os.fspath(path))
    apply_flags(root, flags or {})
    apply_overrides(root, overrides)
    drop_alias_holders(root)
    return Config(root, os.fspath(path))


def _parts(path: str | Path) -> Path:
    if not isinstance(path, str):
        return path
    return tuple(int(part) if part.isdigit() else part for part in path.split("."))
