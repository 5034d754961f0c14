"""What the parts of a configuration must agree on; what one part leaves out is filled in from another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from paddleseg.config.components import component_of, parameters_of
from paddleseg.config.config import Config
from paddleseg.config.node import Node, Path, join, show
from paddleseg.config.problems import Problem
from paddleseg.registry import BACKBONES, DATASETS, LOSSES, MODELS, Registry

__all__ = ["block_facts", "class_count", "input_channels", "reconcile"]

_DATASETS = {"train_dataset": "train", "val_dataset": "val", "test_dataset": "test"}
_IMG_CHANNELS = 3
Fact = tuple[Path, Any, str]


def reconcile(config: Config) -> list[Problem]:
    """Fills in ``mode``, ``num_classes``, ``in_channels`` and ``ignore_index`` and compares what is given.

    Args:
        config: Changed in place. Blocks whose component is unknown are passed over.

    Returns:
        The disagreements, and a ``loss.coef`` whose length is not the model's number of outputs.
    """
    for name, mode in _DATASETS.items():
        _fill(config, (name,), DATASETS, "mode", mode, f"the key {name}")
    return [
        *_reconcile_num_classes(config),
        *_reconcile_channels(config),
        *_reconcile_ignore_index(config),
        *_check_coef(config),
        *_check_pack_shards(config),
    ]


def block_facts(config: Config, block: str) -> dict[str, Any]:
    """What a data set's block says of its pixels, its class's values and defaults included.

    Args:
        config: Checked configuration.
        block: ``"train_dataset"``, ``"val_dataset"`` …

    Returns:
        ``num_classes``, ``ignore_index`` and ``img_channels``; without those that nothing tells.
    """
    return {
        name: value
        for name in ("num_classes", "ignore_index", "img_channels")
        for (where, _), value, _ in _dataset_facts(config, name, name.upper())
        if where == block
    }


def class_count(config: Config) -> int | None:
    """Number of classes, from the model's block or a data set; None where nothing tells it.

    Args:
        config: Checked configuration.
    """
    facts = _given(config, ("model",), "num_classes") + _dataset_facts(config, "num_classes", "NUM_CLASSES")
    return facts[0][1] if facts else None


def input_channels(config: Config) -> int:
    """Channels of an input image, for models that take no ``in_channels`` too.

    Args:
        config: Checked configuration.

    Returns:
        What the model or backbone block says, else what a data set says, else 3.
    """
    facts = [
        *_given(config, ("model",), "in_channels"),
        *_given(config, ("model", "backbone"), "in_channels"),
        *_dataset_facts(config, "img_channels", "IMG_CHANNELS"),
    ]
    if facts:
        return int(facts[0][1])
    backbone = component_of(config.node("model.backbone"), BACKBONES)
    component = backbone or component_of(config.node("model"), MODELS)
    return int((component and _default(component, "in_channels")) or _IMG_CHANNELS)


def _reconcile_num_classes(config: Config) -> list[Problem]:
    facts = _dataset_facts(config, "num_classes", "NUM_CLASSES")
    problems = _disagreements(facts, _given(config, ("model",), "num_classes"))
    if facts and not problems:
        _fill(config, ("model",), MODELS, "num_classes", facts[0][1], join(facts[0][0]))
    model = config.node("model")
    component = component_of(model, MODELS)
    if model is None or component is None or "num_classes" in model.value:
        return problems
    parameter = parameters_of(component).get("num_classes")
    if parameter is not None and parameter.default is inspect.Parameter.empty and not problems:
        text = "missing, and no data set tells it; give the number of classes"
        problems.append(Problem(model.source, ("model", "num_classes"), text))
    return problems


def _reconcile_channels(config: Config) -> list[Problem]:
    has_backbone = config.node(("model", "backbone")) is not None
    place: Path = ("model", "backbone") if has_backbone else ("model",)
    facts = _dataset_facts(config, "img_channels", "IMG_CHANNELS")
    problems = _disagreements(facts, _given(config, place, "in_channels"))
    if facts and not problems:
        registry = BACKBONES if has_backbone else MODELS
        _fill(config, place, registry, "in_channels", facts[0][1], join(facts[0][0]))
    return problems


def _reconcile_ignore_index(config: Config) -> list[Problem]:
    facts = _dataset_facts(config, "ignore_index", "IGNORE_INDEX")
    problems = _disagreements(facts, [])
    for path in _loss_paths(config):
        wrong = _disagreements(facts[:1], _given(config, path, "ignore_index"))
        problems += wrong
        if facts and not wrong:
            _fill(config, path, LOSSES, "ignore_index", facts[0][1], join(facts[0][0]))
    return problems


def _check_coef(config: Config) -> list[Problem]:
    model, coef = config.node("model"), config.node("loss.coef")
    count = getattr(component_of(model, MODELS), "count_outputs", None)
    if model is None or coef is None or count is None or not isinstance(coef.value, list):
        return []
    outputs = count(config.tree["model"])
    if len(coef.value) == outputs:
        return []
    text = (
        f"got {len(coef.value)} coefficients; {model.value['type'].value} has {outputs} output"
        f"{'s' if outputs > 1 else ''} in training, so expected {outputs}"
    )
    return [Problem(coef.source, ("loss", "coef"), text)]


def _check_pack_shards(config: Config) -> list[Problem]:
    path: Path = ("train_dataset", "pack_shards")
    node = config.node(path)
    if node is None or config.node(("train_dataset", "pack")) is not None:
        return []
    return [Problem(node.source, path, "needs 'pack', which is not given; add it or remove this key")]


def _dataset_facts(config: Config, parameter: str, attribute: str) -> list[Fact]:
    """What each data set says: its block's parameter, its class's attribute or the parameter's default."""
    facts: list[Fact] = []
    for name in _DATASETS:
        node = config.node(name)
        component = component_of(node, DATASETS)
        if node is None or component is None:
            continue
        path = (name, parameter)
        if parameter in node.value:
            facts.append((path, node.value[parameter].value, node.value[parameter].source))
        elif getattr(component, attribute, None) is not None:
            facts.append((path, getattr(component, attribute), node.value["type"].source))
        elif _default(component, parameter) is not None:
            facts.append((path, _default(component, parameter), node.value["type"].source))
    return facts


def _given(config: Config, place: Path, parameter: str) -> list[Fact]:
    node = config.node((*place, parameter))
    return [] if node is None else [((*place, parameter), node.value, node.source)]


def _disagreements(first: list[Fact], others: list[Fact]) -> list[Problem]:
    """Compares every fact with the first one."""
    facts = first + others
    return [
        Problem(
            source,
            path,
            f"got {show(value)}, but {join(facts[0][0])} is {show(facts[0][1])} ({facts[0][2]}); "
            "make them equal",
        )
        for path, value, source in facts[1:]
        if value != facts[0][1]
    ]


def _loss_paths(config: Config) -> Iterator[Path]:
    """The losses, those inside others (MixedLoss) included."""

    def walk(node: Node | None, path: Path) -> Iterator[Path]:
        if node is None or not isinstance(node.value, list):
            return
        for i, item in enumerate(node.value):
            if component_of(item, LOSSES) is not None:
                yield (*path, i)
                yield from walk(item.value.get("losses"), (*path, i, "losses"))

    yield from walk(config.node("loss.types"), ("loss", "types"))


def _fill(config: Config, place: Path, registry: Registry, parameter: str, value: Any, origin: str) -> None:
    """Sets a parameter that the component takes and the block leaves out."""
    node = config.node(place)
    component = component_of(node, registry)
    if node is None or component is None or parameter in node.value:
        return
    if parameter in parameters_of(component):
        config.set((*place, parameter), value, f"filled in from {origin}")


def _default(component: Callable[..., Any], parameter: str) -> Any:
    found = parameters_of(component).get(parameter)
    return None if found is None or found.default is inspect.Parameter.empty else found.default
