"""Import of the user's own modules that a configuration names."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from paddleseg.config.config import Config
from paddleseg.config.node import Node
from paddleseg.config.problems import Problem

__all__ = ["import_plugins"]


def import_plugins(config: Config) -> list[Problem]:
    """Imports the modules under ``plugins``, so that they register their components.

    An entry is a module's name, looked up on ``sys.path``, in the working directory and beside the file
    that holds the entry; or a path to a ``.py`` file, absolute or relative to that file.

    Returns:
        The modules that cannot be imported. The entry of a module that was found beside the file is
        replaced by its absolute path, so that a copy of the configuration finds it too.
    """
    node = config.node("plugins")
    problems = []
    for i, entry in enumerate(node.value if node is not None and isinstance(node.value, list) else []):
        if isinstance(entry.value, str):
            try:
                _import_entry(entry, config)
            except Exception as error:  # the user's code may raise anything
                text = f"cannot import plugin '{entry.value}': {type(error).__name__}: {error}"
                problems.append(Problem(entry.source, ("plugins", i), text))
    return problems


def _import_entry(entry: Node, config: Config) -> None:
    folder = _folder_of(entry, config)
    beside = _module_file(folder, entry.value)
    if beside is None:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        importlib.import_module(entry.value)
        return
    if entry.value.endswith(".py"):
        name, folder = beside.stem, beside.parent
    else:
        name = entry.value
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    _refuse_other_file(importlib.import_module(name), beside)
    if beside.name != "__init__.py" and "." not in name:
        entry.value = str(beside)


def _folder_of(entry: Node, config: Config) -> Path:
    """The folder of the file that holds the entry, or of the configuration for one from --opts."""
    file = entry.source.rpartition(":")[0]
    return Path(file if os.path.isfile(file) else config.path).resolve().parent


def _module_file(folder: Path, entry: str) -> Path | None:
    if entry.endswith(".py"):
        file = folder / entry
        if not file.is_file():
            raise FileNotFoundError(f"no file '{file}'")
        return file.resolve()
    stem = folder.joinpath(*entry.split("."))
    candidates = (stem.with_name(stem.name + ".py"), stem / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _refuse_other_file(module: ModuleType, wanted: Path) -> None:
    found = module.__file__
    if found is None or Path(found).resolve() != wanted:
        raise ImportError(f"{wanted} is shadowed by another module of that name ({found}); rename it")
