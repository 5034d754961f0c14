"""What the parts of a configuration must agree on; what one part leaves out is filled in from another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

from paddleseg.config.components import component_of, parameters_of
from paddleseg.config.config import Config
from paddleseg.config.node import Node, Path, join, plain, show
from paddleseg.config.problems import Problem
from paddleseg.registry import BACKBONES, DATASETS, LOSSES, MODELS, TRANSFORMS, Registry

__all__ = ["block_facts", "class_count", "input_channels", "reconcile", "reconcile_parts"]

_DATASETS = {"train_dataset": "train", "val_dataset": "val", "test_dataset": "test"}
_IMG_CHANNELS = 3
_SHARING = ("val_ratio", "test_ratio", "split_seed")
_FOLDERS = ("image_dir", "mask_dir")
_TAKEN_OVER = (
    *("image_suffix", "mask_suffix", "reduce_zero_label", "label_map", "color_map"),
    *("class_names", "palette"),
)
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


def reconcile_parts(config: Config) -> list[Problem]:
    """Fills in how one folder is shared out among several data sets, and what else they have in common.

    Of ``image_dir`` and ``mask_dir`` both are taken over from train_dataset or, where a block names one of
    them, neither.

    Args:
        config: Changed in place.

    Returns:
        Where they share it out differently.
    """
    problems = []
    first = config.node("train_dataset")
    for name in _DATASETS:
        other = config.node(name)
        if first is None or other is None or other is first or not _are_of_one_folder(first, other):
            continue
        for key in _SHARING:
            given = _given(config, ("train_dataset",), key), _given(config, (name,), key)
            problems += _disagreements(given[0], given[1])
            if given[1] and not given[0]:
                _fill(config, ("train_dataset",), DATASETS, key, given[1][0][1], join((name, key)))
        folders = () if any(key in other.value for key in _FOLDERS) else _FOLDERS
        for key in (*_SHARING, *folders, *_TAKEN_OVER):
            for path, _, _ in _given(config, ("train_dataset",), key):
                _fill(config, (name,), DATASETS, key, plain(first.value[key]), join(path))
    return problems


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
    known = facts or _given(config, ("model",), "num_classes")
    if known and not problems:
        for place in (("model",), *((name,) for name in _DATASETS)):
            if getattr(component_of(config.node(place), DATASETS), "NUM_CLASSES", None) is None:
                registry = MODELS if place == ("model",) else DATASETS
                _fill(config, place, registry, "num_classes", known[0][1], join(known[0][0]))
    model = config.node("model")
    component = component_of(model, MODELS)
    if model is None or component is None or "num_classes" in model.value:
        return problems
    parameter = parameters_of(component).get("num_classes")
    if parameter is not None and parameter.default is inspect.Parameter.empty and not problems:
        blocks = [node for name in _DATASETS if (node := config.node(name)) is not None]
        is_known = all(component_of(node, DATASETS) is not None for node in blocks)
        text = (
            "missing, and no data set tells it; give the number of classes"
            if is_known
            else "missing; no data set tells it before its type is right"
        )
        problems.append(Problem(model.source, ("model", "num_classes"), text))
    return problems


def _are_of_one_folder(*blocks: Node) -> bool:
    """Whether data sets are parts of one; blocks without a type that exists are of none."""
    if any(component_of(block, DATASETS) is None for block in blocks):
        return False
    types = {block.value["type"].value for block in blocks}
    roots = [plain(block.value["dataset_root"]) if "dataset_root" in block.value else "" for block in blocks]
    if len(types) > 1 or not all(isinstance(root, str) for root in roots):
        return False
    return len({os.path.normpath(root) for root in roots}) == 1


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
    for path, component in _training_transforms(config) if facts else ():
        for parameter in ("ignore_index", "label_padding_value"):
            if _default(component, parameter) != facts[0][1]:
                _fill(config, path, TRANSFORMS, parameter, facts[0][1], join(facts[0][0]))
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
        given = config.node(path)
        if given is not None:
            facts.append((path, given.value, given.source))
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

    for block in ("loss", "distill_loss"):
        yield from walk(config.node((block, "types")), (block, "types"))


def _training_transforms(config: Config) -> Iterator[tuple[Path, Callable[..., Any]]]:
    """The transforms that labels go through as well."""
    path: Path = ("train_dataset", "transforms")
    node = config.node(path)
    for i, item in enumerate(node.value if node is not None and isinstance(node.value, list) else ()):
        component = component_of(item, TRANSFORMS)
        if component is not None:
            yield (*path, i), component


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
