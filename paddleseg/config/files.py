"""Files and folders that a configuration names, looked for before a program starts."""

from __future__ import annotations

import os
from collections.abc import Iterable

from paddleseg.config.config import Config
from paddleseg.config.node import Node, Path
from paddleseg.config.problems import Problem

__all__ = ["expand_home", "missing_files"]

_LISTS = {"train": "train_path", "val": "val_path", "test": "test_path"}


def expand_home(config: Config) -> None:
    """Writes out ``~`` in every path of the configuration, so that checks and readers see the same one.

    Args:
        config: Changed in place; the sources of the values stay.
    """
    places = [("model", "pretrained"), ("model", "backbone", "pretrained")]
    for part in ("train_dataset", "val_dataset", "test_dataset"):
        places += [(part, key) for key in ("dataset_root", "pack", *_LISTS.values())]
    for place in places:
        node = config.node(place)
        if node is not None and isinstance(node.value, str):
            node.value = os.path.expanduser(node.value)


def missing_files(config: Config, parts: Iterable[str]) -> list[Problem]:
    """Looks for data-set folders, list files and local weights.

    Args:
        config: Checked configuration.
        parts: The blocks that the program is going to use: ``"model"``, ``"train_dataset"`` …
    """
    problems = []
    for part in parts:
        if part == "model":
            problems += _missing_weights(config, ("model",))
            problems += _missing_weights(config, ("model", "backbone"))
        else:
            problems += _missing_data(config, part)
    return problems


def _missing_weights(config: Config, place: Path) -> list[Problem]:
    node = config.node((*place, "pretrained"))
    if node is None or "://" in node.value or os.path.exists(node.value):
        return []
    text = f"no file or folder '{node.value}'; correct the path, or set it to null to start without"
    return [Problem(node.source, (*place, "pretrained"), text)]


def _missing_data(config: Config, part: str) -> list[Problem]:
    block = config.node((part,))
    if block is None:
        return []
    problems = []
    pack = config.node((part, "pack"))
    if pack is not None and not os.path.isdir(pack.value):
        text = f"no folder '{pack.value}'; make it with tools/pack_dataset.py, or remove the key"
        problems.append(Problem(pack.source, (part, "pack"), text))
    root = block.value.get("dataset_root", Node("", block.source))
    if root.value and not os.path.isdir(root.value):
        if pack is not None:  # a pack does without the files that it was made of
            return problems
        problems.append(
            Problem(root.source, (part, "dataset_root"), f"no folder '{root.value}'; correct the path")
        )
    key = _LISTS.get(block.value["mode"].value if "mode" in block.value else "", "")
    entry = block.value.get(key)
    if entry is not None and entry.value and not problems:
        tried = [entry.value, os.path.join(root.value or "", entry.value)]
        if not any(map(os.path.isfile, tried)):
            text = f"no list file '{entry.value}', here or under dataset_root; correct the path"
            problems.append(Problem(entry.source, (part, key), text))
    return problems
