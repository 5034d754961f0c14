"""Reading of YAML files and of their ``_base_`` files, with the line of every entry kept."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

import yaml

from paddleseg.config.node import Node, merge
from paddleseg.errors import ConfigError

__all__ = ["parse_value", "read_tree"]

_BASE = "_base_"
_INHERITED = "_inherited_"
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")  # a key such as the ids of label_map; read as text
_SCALARS = (str, int, float, bool, type(None))
# Far beyond any real configuration; without limits, a few lines can mean more than fits into any memory.
_MOST_FILES, _MOST_VALUES, _DEEPEST = 100, 100_000, 50


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, except that ``1e-4`` is a number, as it is for JSON and Python."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolves ``<<``, and drops at once what is overridden: merges of merges grow without bounds."""
        super().flatten_mapping(node)
        last = {
            key.value if isinstance(key.value, str) else id(key): (key, value) for key, value in node.value
        }
        node.value = list(last.values())


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_tree(path: str) -> Node:
    """Reads a file and everything that it inherits.

    A key of the file wins over the same key of its bases, and an earlier base over a later one. Dicts
    are merged, lists and scalars replaced. ``_inherited_: False`` in a dict shuts out all bases there.

    Args:
        path: YAML file; ``_base_`` entries are relative to the file that names them.

    Raises:
        ConfigError: A file is missing or is not a YAML mapping, keys repeat, or bases form a circle.
    """
    return _read_file(os.path.normpath(path), (), "", [])


def parse_value(text: str, source: str) -> Node:
    """Reads one YAML value, such as the right side of ``--opts a.b=value``.

    Raises:
        ConfigError: It is not YAML.
    """
    return _compose(text, lambda line: source)


def _read_file(path: str, chain: tuple[str, ...], wanted_by: str, done: list[str]) -> Node:
    done.append(path)
    if len(done) > _MOST_FILES:
        raise ConfigError(f"{wanted_by} _base_: inherits more than {_MOST_FILES} files; name each one once")
    if os.path.realpath(path) in (os.path.realpath(one) for one in chain):
        raise ConfigError(f"{wanted_by} _base_: files inherit in a circle: {' → '.join((*chain, path))}")
    root = _compose(_read_text(path, wanted_by), lambda line: f"{path}:{line}")
    if not isinstance(root.value, dict):
        raise ConfigError(f"{path}: expected a YAML mapping such as 'iters: 1000', got {_kind(root.value)}")
    bases = root.value.pop(_BASE, None)
    for entry in _base_entries(bases):
        base_path = os.path.normpath(os.path.join(os.path.dirname(path), entry.value))
        root = merge(root, _read_file(base_path, (*chain, path), entry.source, done))
    return root


def _read_text(path: str, wanted_by: str) -> str:
    where = f"{wanted_by} _base_: " if wanted_by else ""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f"{where}no configuration file '{path}'") from None
    except IsADirectoryError:
        raise ConfigError(f"{where}'{path}' is a folder; expected a YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}'{path}' is not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise ConfigError(f"{where}cannot read '{path}': {error.strerror}") from None


def _base_entries(bases: Node | None) -> list[Node]:
    if bases is None:
        return []
    entries = bases.value if isinstance(bases.value, list) else [bases]
    for entry in entries:
        if not isinstance(entry.value, str):
            raise ConfigError(
                f"{entry.source} _base_: got {_kind(entry.value)}; expected a file name or a list of them"
            )
        if not entry.value.isprintable():
            raise ConfigError(f"{entry.source} _base_: got {entry.value!r}; expected the name of a file")
    return entries


def _compose(text: str, locate: Any) -> Node:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ConfigError(f"{locate(1)}: not valid YAML: {error}") from None
    try:
        tree = loader.get_single_node()
        return Node(None, locate(1)) if tree is None else _Builder(loader, locate).build(tree, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = locate(mark.line + 1) if mark else locate(1)
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except RecursionError:
        raise ConfigError(f"{locate(1)}: values are nested too deeply, or contain themselves") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{locate(1)}: not valid YAML: {error}") from None
    finally:
        loader.dispose()


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, loader: _Loader, locate: Any) -> None:
        self._loader = loader
        self._locate = locate
        self._visits: Counter[int] = Counter()
        self._values = 0

    def build(self, node: yaml.Node, open_nodes: tuple[int, ...]) -> Node:
        source = self._locate(node.start_mark.line + 1)
        if id(node) in open_nodes:
            raise ConfigError(f"{source}: an alias refers to a value that contains it")
        self._visits[id(node)] += 1
        self._values += 1
        if len(open_nodes) > _DEEPEST or self._values > _MOST_VALUES:
            raise ConfigError(
                f"{source}: more than {_MOST_VALUES} values or {_DEEPEST} levels; aliases of aliases?"
            )
        inside = (*open_nodes, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._build_mapping(node, source, inside)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.build(item, inside) for item in node.value], source)
        value = self._loader.construct_object(node)
        if not isinstance(value, _SCALARS):
            raise ConfigError(
                f"{source}: got {_kind(value)} '{node.value}'; write it in quotes if it is text"
            )
        return Node(value, source)

    def _build_mapping(self, node: yaml.MappingNode, source: str, inside: tuple[int, ...]) -> Node:
        self._refuse_repeated_keys(node)
        self._loader.flatten_mapping(node)  # resolves '<<: *name'
        entries: dict[str, Node] = {}
        values: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            entry = self.build(value_node, inside)
            entry.source = self._locate(key_node.start_mark.line + 1)
            entries[key_node.value] = entry
            values[key_node.value] = value_node
        for key, value_node in values.items():
            entries[key].shared = self._visits[id(value_node)] > 1
        inherited = entries.pop(_INHERITED, None)
        if inherited is not None and not isinstance(inherited.value, bool):
            raise ConfigError(
                f"{inherited.source} {_INHERITED}: got {_kind(inherited.value)}; expected True or False"
            )
        return Node(entries, source, closed=inherited is not None and not inherited.value)

    def _refuse_repeated_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, str):
                raise ConfigError(
                    f"{self._locate(line)}: a list or a mapping as a key; write it in quotes if it is text"
                )
            if key_node.tag != "tag:yaml.org,2002:str" and not _WHOLE_NUMBER.fullmatch(key):
                raise ConfigError(f"{self._locate(line)}: key {key!r} is not text; write it in quotes")
            if key in lines:
                raise ConfigError(
                    f"{self._locate(line)}: key '{key}' is there already, on line {lines[key]}; keep one"
                )
            lines[key] = line


def _kind(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "text",
        bool: "a truth value",
        int: "a whole number",
        float: "a number",
        type(None): "nothing",
    }
    return names.get(type(value), f"a {type(value).__name__}")
