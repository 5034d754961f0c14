"""What the blocks of data sets say of their labels: names, number and coding of the classes."""

from __future__ import annotations

from pathlib import Path

from paddleseg.config.components import component_of, parameters_of
from paddleseg.config.config import Config
from paddleseg.config.node import Node, join, plain
from paddleseg.config.problems import Problem
from paddleseg.data.label_coding import LabelCoding, parse_coding
from paddleseg.errors import UsageError
from paddleseg.registry import DATASETS

__all__ = [
    "check_codings",
    "coding_of",
    "fill_class_counts",
    "name_classes",
    "names_and_palette",
    "set_class_count",
    "takes",
]

_BLOCKS = ("train_dataset", "val_dataset", "test_dataset")
_CODING_KEYS = ("ignore_index", "reduce_zero_label", "label_map", "color_map")


def coding_of(block: Node) -> LabelCoding:
    """How a data set's block says that label files are read.

    Raises:
        ValueError: A key is malformed.
    """
    options = {key: plain(block.value[key]) for key in _CODING_KEYS if key in block.value}
    kind = component_of(block, DATASETS)
    for key in ("ignore_index", "reduce_zero_label"):
        if options.get(key) is None:
            options[key] = getattr(kind, key.upper(), None)
        if options[key] is None:
            del options[key]
    return parse_coding(**options)


def names_and_palette(config: Config, key: str) -> tuple[list[str] | None, list[list[int]] | None]:
    """Names and colours of the classes, from a data set's block or, if it has the same classes, its type.

    Args:
        config: Checked configuration.
        key: ``"train_dataset"``, ``"val_dataset"`` …
    """
    block = config.tree[key]
    kind = DATASETS.get(block["type"])
    count = block.get("num_classes")
    is_own = block.get("label_map") is None and count in (None, getattr(kind, "NUM_CLASSES", None))
    own = kind if is_own else None
    names = block.get("class_names") or getattr(own, "CLASS_NAMES", None)
    palette = block.get("palette") or getattr(own, "PALETTE", None)
    return names and list(names), palette and [list(colour) for colour in palette]


def name_classes(config: Config, path: str) -> None:
    """Takes the names of the classes from a file with one a line, for every data set of a configuration.

    Args:
        config: Read, not yet checked; changed in place.
        path: The file, UTF-8.

    Raises:
        UsageError: The file is unreadable or empty, a name is there twice, or no data set takes names.
    """
    names = _read_names(path)
    blocks = [key for key in _BLOCKS if takes(config, key, "class_names")]
    if not blocks:
        raise UsageError(f"--classes {path}: the config has no data set whose classes could be named")
    for key in blocks:
        config.set((key, "class_names"), names, "--classes")


def _read_names(path: str) -> list[str]:
    try:
        lines = [line.strip() for line in Path(path).read_text("utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise UsageError(f"--classes {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--classes {path}: cannot be read as UTF-8 text: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise UsageError(f"--classes {path}: is empty; expected the name of one class a line")
    for number, name in enumerate(lines, start=1):
        if not name:
            raise UsageError(f"--classes {path}:{number}: the line is empty; a class without a name?")
        if name in lines[: number - 1]:
            raise UsageError(f"--classes {path}:{number}: '{name}' is there already; names must differ")
    return lines


def fill_class_counts(config: Config) -> None:
    """Sets ``num_classes`` of the data sets whose ``class_names``, ``label_map`` or ``color_map`` tell it.

    Args:
        config: Changed in place. Blocks with mistakes are passed over.
    """
    for key in _BLOCKS:
        block = config.node((key,))
        if (
            block is None
            or not takes(config, key, "num_classes")
            or config.node((key, "num_classes")) is not None
        ):
            continue
        names = config.node((key, "class_names"))
        try:
            coding = coding_of(block)
            count = coding.count_classes(class_names=None if names is None else names.value)
        except (ValueError, TypeError):
            continue
        if count is not None:
            origin = (
                "class_names"
                if names is not None
                else "color_map"
                if coding.label_map is None
                else "label_map"
            )
            config.set((key, "num_classes"), count, f"filled in from {join((key, origin))}")


def check_codings(config: Config) -> list[Problem]:
    """Tries the keys that say how labels are read, of every data set."""
    problems = []
    for key in _BLOCKS:
        block = config.node((key,))
        if block is None or not takes(config, key, "label_map"):
            continue
        try:
            coding = coding_of(block)
            count = config.node((key, "num_classes"))
            if count is not None:
                coding.check_classes(count.value)
        except (ValueError, TypeError) as error:
            name = str(error).partition(":")[0]
            path = (key, name) if name in block.value else (key,)
            problems.append(Problem(config.source(path), path, str(error).removeprefix(f"{name}: ")))
    return problems


def set_class_count(config: Config, count: int, source: str) -> None:
    """Writes the number of classes into every data set that takes it and lacks it.

    Args:
        config: Changed in place.
        count: The number.
        source: Who says so, for messages.
    """
    for key in _BLOCKS:
        if takes(config, key, "num_classes") and config.node((key, "num_classes")) is None:
            config.set((key, "num_classes"), count, source)


def takes(config: Config, key: str, parameter: str) -> bool:
    """Whether a configuration has such a data set, and its class such a parameter."""
    kind = component_of(config.node((key,)), DATASETS)
    return kind is not None and parameter in parameters_of(kind)
