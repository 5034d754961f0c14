"""Component blocks (``type`` plus parameters) against constructor signatures, and their construction."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from paddleseg.config.hints import conforms, describe
from paddleseg.config.node import Node, Path, plain, show
from paddleseg.config.problems import Problem, ProblemError
from paddleseg.errors import ConfigError, RegistryError, did_you_mean
from paddleseg.registry import (
    BACKBONES,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    TRANSFORMS,
    Registry,
)

__all__ = [
    "PACK",
    "PACK_BY_RANK",
    "WEIGHTS",
    "Slot",
    "check_block",
    "component_of",
    "construct",
    "parameters_of",
]

_ALL = (MODELS, BACKBONES, DATASETS, TRANSFORMS, LOSSES, OPTIMIZERS, SCHEDULES)


@dataclass(frozen=True)
class Slot:
    """A place in the tree where a component block stands.

    Attributes:
        registry: The table its ``type`` is looked up in.
        filled: Parameters that the building fills in when the block leaves them out.
        withheld: Parameters that only the building may give.
        reserved: Keys that the building takes out of the block before construction.
    """

    registry: Registry
    filled: Collection[str] = field(default=())
    withheld: Collection[str] = field(default=())
    reserved: Mapping[str, Any] = field(default_factory=dict)


WEIGHTS = {"pretrained": str | None}
"""Keys that name weights, in model and backbone blocks."""

PACK = {"pack": str | None}
"""The key of a data set's block that names its pack."""

PACK_BY_RANK = {"pack_shards": Literal["by_rank"] | None}
"""The key by which each process of a training run reads shards of its own."""

_NESTED = {
    "backbone": Slot(BACKBONES, filled=("in_channels",), reserved=WEIGHTS),
    "transforms": Slot(TRANSFORMS),
    "losses": Slot(LOSSES, filled=("ignore_index",)),
}


def component_of(node: Node | None, registry: Registry) -> Callable[..., Any] | None:
    """Returns the component that a block names, or None where it names none that exists."""
    if node is None or not isinstance(node.value, dict) or "type" not in node.value:
        return None
    name = node.value["type"].value
    return registry.get(name) if isinstance(name, str) and name in registry else None


def parameters_of(component: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a component by name."""
    return dict(inspect.signature(component).parameters)


def check_block(node: Node, path: Path, slot: Slot) -> list[Problem]:
    """Binds a block, and the blocks inside it, to constructor signatures.

    Args:
        node: The block.
        path: Where it stands.
        slot: What is expected there.

    Returns:
        What is wrong; nothing is constructed.
    """
    if not isinstance(node.value, dict):
        return [Problem(node.source, path, f"got {show(plain(node))}; expected a block with 'type'")]
    problem = _check_type(node, path, slot.registry)
    if problem is not None:
        return [problem, *(one for key in _NESTED for one in _check_nested_entry(node, path, key))]
    component = slot.registry.get(node.value["type"].value)
    return _check_parameters(node, path, slot, component)


def _check_type(node: Node, path: Path, registry: Registry) -> Problem | None:
    if "type" not in node.value:
        return Problem(node.source, (*path, "type"), f"missing; name a {registry.kind}")
    name = node.value["type"]
    if not isinstance(name.value, str):
        text = f"got {show(plain(name))}; expected the name of a registered {registry.kind}"
        return Problem(name.source, (*path, "type"), text)
    try:
        registry.get(name.value)
    except RegistryError as error:
        return Problem(name.source, (*path, "type"), str(error))
    return None


def construct(node: Node, path: Path, registry: Registry, extra: Mapping[str, Any] | None = None) -> Any:
    """Builds a component from a checked block, the blocks inside it first.

    Args:
        node: The block.
        path: Where it stands, for messages.
        registry: The table of its ``type``.
        extra: Parameters to add to the block's, or to replace them.

    Raises:
        ConfigError: The constructor refuses a value.
    """
    extra = dict(extra or {})
    component = registry.get(node.value["type"].value)
    params = {
        key: _construct_value(child, (*path, key), key)
        for key, child in node.value.items()
        if key != "type" and key not in extra
    }
    try:
        return component(**params, **extra)
    except (ValueError, TypeError, OverflowError, ConfigError) as error:
        raise ProblemError(_refusal(node, path, str(error))) from error


def _refusal(node: Node, path: Path, message: str) -> Problem:
    """Points at the parameter that a constructor's message starts with, else at the block."""
    start = re.match(r"[\w.]+", message)
    name = start[0].rpartition(".")[2] if start else ""
    kind = node.value["type"].value
    if name != "type" and name in node.value:
        return Problem(node.value[name].source, (*path, name), f"{kind}: {message}")
    return Problem(node.source, path, f"{kind}: {message}")


def _construct_value(node: Node, path: Path, key: str) -> Any:
    if _is_block(node):
        return construct(node, path, _slot_for(key, node).registry)
    if isinstance(node.value, list):
        return [_construct_value(item, (*path, i), key) for i, item in enumerate(node.value)]
    return plain(node)


def _check_parameters(node: Node, path: Path, slot: Slot, component: Callable[..., Any]) -> list[Problem]:
    parameters = parameters_of(component)
    hints = _hints(component)
    accepts_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    names = [
        name
        for name, one in parameters.items()
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) and name not in slot.withheld
    ]
    kind = node.value["type"].value
    problems = []
    for key, child in node.value.items():
        here = (*path, key)
        if key == "type":
            continue
        if key in slot.reserved:
            problems += _check_value(child, slot.reserved[key], here)
        elif key in names:
            problems += _check_value(child, hints.get(key, Any), here) or _check_nested(child, here, key)
        elif key in slot.withheld:
            problems.append(Problem(child.source, here, f"the program itself gives {kind} this; remove it"))
        elif accepts_any:
            problems += _check_nested(child, here, key)
        else:
            hint = did_you_mean(key, [*names, *slot.reserved])
            problems.append(Problem(child.source, here, f"unknown parameter of {kind}{hint}"))
    for name in names:
        required = parameters[name].default is inspect.Parameter.empty
        if required and name not in node.value and name not in slot.filled:
            problems.append(Problem(node.source, (*path, name), f"missing; {kind} needs it"))
    return problems


def _check_value(node: Node, hint: Any, path: Path) -> list[Problem]:
    value = plain(node)
    if conforms(value, hint):
        return []
    return [Problem(node.source, path, f"got {show(value)}; expected {describe(hint)}")]


def _check_nested(node: Node, path: Path, key: str) -> list[Problem]:
    if key == "backbone" and node.value is not None:
        return check_block(node, path, _NESTED[key])
    if key in _NESTED and isinstance(node.value, list):
        return [
            problem
            for i, item in enumerate(node.value)
            for problem in check_block(item, (*path, i), _NESTED[key])
        ]
    if _is_block(node):
        return check_block(node, path, _slot_for(key, node))
    if isinstance(node.value, list):
        return [
            problem
            for i, item in enumerate(node.value)
            if _is_block(item)
            for problem in check_block(item, (*path, i), _slot_for(key, item))
        ]
    return []


def _check_nested_entry(node: Node, path: Path, key: str) -> list[Problem]:
    child = node.value.get(key)
    return [] if child is None else _check_nested(child, (*path, key), key)


def _is_block(node: Node) -> bool:
    return isinstance(node.value, dict) and "type" in node.value


def _slot_for(key: str, node: Node) -> Slot:
    """The table for a block under a parameter's name; for an unknown name, the first that has the type."""
    if key in _NESTED:
        return _NESTED[key]
    name = node.value["type"].value
    return Slot(next((registry for registry in _ALL if name in registry), MODELS))


def _hints(component: Callable[..., Any]) -> dict[str, Any]:
    target = component.__init__ if inspect.isclass(component) else component
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # a name that only the type checker imports
        return {}
