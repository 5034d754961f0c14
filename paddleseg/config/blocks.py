"""Where component blocks stand in the tree, and the check of all of them."""

from __future__ import annotations

from collections.abc import Iterator

from paddleseg.config.components import PACK, PACK_BY_RANK, WEIGHTS, Slot, check_block
from paddleseg.config.config import Config
from paddleseg.config.node import Node, Path, from_value
from paddleseg.config.problems import Problem
from paddleseg.log import get_logger
from paddleseg.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, TRANSFORMS

__all__ = ["check_blocks", "iterate_blocks", "schedule_block"]

_log = get_logger(__name__)

_SLOTS = {
    "model": Slot(MODELS, filled=("num_classes",), reserved=WEIGHTS),
    "train_dataset": Slot(DATASETS, filled=("mode",), reserved=PACK | PACK_BY_RANK),
    "val_dataset": Slot(DATASETS, filled=("mode",), reserved=PACK),
    "test_dataset": Slot(DATASETS, filled=("mode",), reserved=PACK),
    "optimizer": Slot(OPTIMIZERS, withheld=("model", "learning_rate")),
}
_SCHEDULE = Slot(SCHEDULES, withheld=("iters",))
_LISTS = {
    ("loss", "types"): Slot(LOSSES, filled=("ignore_index",)),
    ("distill_loss", "types"): Slot(LOSSES, filled=("ignore_index",)),
    ("export", "transforms"): Slot(TRANSFORMS),
}
# Decay of the legacy form → (schedule, its name for learning_rate.value).
_LEGACY_DECAYS = {
    "poly": ("PolynomialDecay", "learning_rate"),
    "piecewise": ("PiecewiseDecay", "values"),
    "stepdecay": ("StepDecay", "learning_rate"),
}


def check_blocks(config: Config) -> list[Problem]:
    """Checks every component block of the tree against its constructor's signature."""
    problems = _check_legacy_schedule(config)
    for node, path, slot in iterate_blocks(config):
        problems += check_block(node, path, slot)
    return problems


def iterate_blocks(config: Config) -> Iterator[tuple[Node, Path, Slot]]:
    """Yields the component blocks that are there, outermost ones only."""
    for key, slot in _SLOTS.items():
        node = config.node((key,))
        if node is not None and isinstance(node.value, dict):
            yield node, (key,), slot
    schedule = schedule_block(config)
    if schedule is not None:
        yield *schedule, _SCHEDULE
    for path, slot in _LISTS.items():
        node = config.node(path)
        items = node.value if node is not None and isinstance(node.value, list) else []
        for i, item in enumerate(items):
            if isinstance(item.value, dict):
                yield item, (*path, i), slot


def schedule_block(config: Config) -> tuple[Node, Path] | None:
    """Returns the learning-rate schedule as a component block, and where it was written.

    ``lr_scheduler`` is that block. The legacy form, ``learning_rate: {value, decay: {type: poly, …}}`` or
    a plain number, is translated; beside an ``lr_scheduler`` it is passed over, as in PaddleSeg.
    """
    node = config.node("lr_scheduler")
    if node is not None:
        return (node, ("lr_scheduler",)) if isinstance(node.value, dict) else None
    legacy = config.node("learning_rate")
    if legacy is None:
        return None
    if not isinstance(legacy.value, dict):
        return _named("Constant", {"learning_rate": legacy}, legacy.source), ("learning_rate",)
    decay = legacy.value.get("decay") or from_value({"type": "poly"}, legacy.source)
    if not isinstance(decay.value, dict) or "value" not in legacy.value:
        return None
    entries = dict(decay.value)
    kind = entries.pop("type", None)
    if kind is None or not _is_legacy_decay(kind.value):
        return None
    schedule, key = _LEGACY_DECAYS[kind.value]
    entries = {key: legacy.value["value"], **entries}
    return _named(schedule, entries, kind.source), ("learning_rate", "decay")


def _is_legacy_decay(kind: object) -> bool:
    return isinstance(kind, str) and kind in _LEGACY_DECAYS


def _named(name: str, entries: dict[str, Node], source: str) -> Node:
    return Node({"type": Node(name, source), **entries}, source)


def _check_legacy_schedule(config: Config) -> list[Problem]:
    legacy = config.node("learning_rate")
    if legacy is not None and config.node("lr_scheduler") is not None:
        _log.warning("%s learning_rate: lr_scheduler is there too and takes its place", legacy.source)
        return []
    if legacy is None or not isinstance(legacy.value, dict):
        return []
    path: Path = ("learning_rate",)
    problems = [
        Problem(node.source, (*path, key), "unknown key; the legacy block has 'value' and 'decay'")
        for key, node in legacy.value.items()
        if key not in ("value", "decay")
    ]
    if "value" not in legacy.value:
        problems.append(Problem(legacy.source, (*path, "value"), "missing; give the learning rate"))
    decay = legacy.value.get("decay")
    return problems if decay is None else problems + _check_legacy_decay(decay, (*path, "decay"))


def _check_legacy_decay(decay: Node, path: Path) -> list[Problem]:
    kind = decay.value.get("type") if isinstance(decay.value, dict) else None
    if kind is not None and _is_legacy_decay(kind.value):
        return []
    if kind is None or not isinstance(kind.value, str):
        known = ", ".join(_LEGACY_DECAYS)
        return [Problem(decay.source, path, f"expected a block whose 'type' is one of {known}")]
    text = (
        f"got '{kind.value}'; expected one of {', '.join(_LEGACY_DECAYS)}, or in place of learning_rate an "
        f"lr_scheduler block, whose type is one of {', '.join(SCHEDULES)}"
    )
    return [Problem(kind.source, (*path, "type"), text)]
