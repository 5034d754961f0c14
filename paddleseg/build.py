"""From a configuration file to checked configuration, and from there to objects.

Nothing here imports Paddle until components are needed, so that a process can be set up first.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paddleseg.config.blocks import check_blocks, iterate_blocks, schedule_block
from paddleseg.config.components import construct
from paddleseg.config.config import Config, read_config
from paddleseg.config.consistency import reconcile
from paddleseg.config.files import missing_files
from paddleseg.config.node import Node, Path
from paddleseg.config.plugins import import_plugins
from paddleseg.config.problems import Problem, ProblemError, raise_problems
from paddleseg.config.schema import check_structure
from paddleseg.errors import ConfigError
from paddleseg.log import get_logger
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

if TYPE_CHECKING:
    import paddle
    from paddle import nn

    from paddleseg.losses.combine import CombinedLoss

__all__ = [
    "build_dataset",
    "build_loss",
    "build_model",
    "build_optimizer",
    "build_schedule",
    "build_transforms",
    "check",
    "check_files",
    "dataset_facts",
    "import_components",
    "load_config",
]

_logger = get_logger(__name__)

_COMPONENT_MODULES = (
    "paddleseg.models",
    "paddleseg.data.datasets",
    "paddleseg.data.transforms",
    "paddleseg.losses",
    "paddleseg.optim",
)


def load_config(
    path: str | os.PathLike[str],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    flags: Mapping[str, Any] | None = None,
    required: Iterable[str] = ("model",),
) -> Config:
    """Reads, merges, overrides and checks a configuration. No data set needs to be there.

    Args:
        path: YAML file in PaddleSeg's dialect.
        overrides: ``["iters=100", "loss.coef=[1,0.4]"]``, or a mapping from dotted path to value.
        flags: The programs' short flags (``iters``, ``batch_size``, ``learning_rate``, …); None entries
            are passed over.
        required: Top-level keys that must be there.

    Raises:
        ConfigError: Something is wrong; the message lists everything that is, with file and line.
    """
    config = read_config(path, overrides, flags)
    raise_problems(check(config, required))
    return config


def check(config: Config, required: Iterable[str] = ("model",)) -> list[Problem]:
    """Checks the whole tree: structure, signatures, agreement of the parts, values.

    Args:
        config: Completed in place with what one part tells another (``model.num_classes`` …).
        required: Top-level keys that must be there.

    Returns:
        Everything that is wrong.
    """
    problems = check_structure(config.root, required)
    problems += import_components(config)
    problems += check_blocks(config)
    problems += reconcile(config)
    return problems + _check_values(config, [one.path for one in problems])


def check_files(config: Config, parts: Iterable[str]) -> None:
    """Looks for the files and folders that a program is about to use.

    Args:
        config: Checked configuration.
        parts: Blocks that will be built: ``"model"``, ``"train_dataset"``, ``"val_dataset"`` …

    Raises:
        ConfigError: Some are missing; the message lists all.
    """
    raise_problems(missing_files(config, parts))


def import_components(config: Config | None = None) -> list[Problem]:
    """Imports everything that registers components, the configuration's ``plugins`` included.

    Returns:
        The plugins that cannot be imported.
    """
    for module in _COMPONENT_MODULES:
        importlib.import_module(module)
    return import_plugins(config) if config is not None else []


def build_model(config: Config) -> nn.Layer:
    """Builds the model and loads the weights that ``pretrained`` names, the backbone's first.

    Args:
        config: Checked configuration.

    Returns:
        N×3×H×W image → list of N×C×H×W logits, main first, auxiliary ones only in training.

    Raises:
        ConfigError: There is no model block, or a constructor refuses a value.
        WeightsError: Weights cannot be found or do not fit.
    """
    from paddleseg.models.weights import load_weights

    node = _require(config, "model")
    backbone, model = _assemble_model(node)
    if backbone is not None:
        _load_pretrained(backbone, node.value["backbone"], load_weights)
    _load_pretrained(model, node, load_weights)
    return model


def build_dataset(config: Config, split: str) -> Any:
    """Builds the data set of a split with its transforms.

    Args:
        config: Checked configuration.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        ConfigError: There is no such block, or a constructor refuses a value.
        DataError: The data are not there.
    """
    key = f"{split}_dataset"
    return construct(_require(config, key), (key,), DATASETS)


def build_transforms(config: Config, block: str) -> list[Any]:
    """Builds the transforms of a block, which may name files that are not there.

    Args:
        config: Checked configuration.
        block: ``"val_dataset"``, ``"export"`` …

    Returns:
        The transforms; ``Normalize`` alone where the block has none.
    """
    node = config.node((block, "transforms"))
    if node is None:
        return [TRANSFORMS.get("Normalize")()]
    return [construct(item, (block, "transforms", i), TRANSFORMS) for i, item in enumerate(node.value)]


def dataset_facts(config: Config) -> tuple[list[str] | None, list[list[int]] | None]:
    """Class names and colours of the data set, from the config or the data set's class.

    Returns:
        Names and (R, G, B) colours, one a class; None where they are not known.
    """
    for key in ("val_dataset", "train_dataset"):
        block = config.tree.get(key)
        if block is not None:
            kind = DATASETS.get(block["type"])
            names = block.get("class_names") or getattr(kind, "CLASS_NAMES", None)
            palette = block.get("palette") or getattr(kind, "PALETTE", None)
            return names and list(names), palette and [list(colour) for colour in palette]
    return None, None


def build_loss(config: Config) -> CombinedLoss:
    """Builds one loss per model output; a single type serves all of them.

    Raises:
        ConfigError: There is no loss block, or a constructor refuses a value.
    """
    from paddleseg.losses.combine import CombinedLoss

    _require(config, "loss")
    types, coef = config.node("loss.types"), config.tree["loss"]["coef"]
    assert types is not None, "checked by check_structure"
    losses = [construct(item, ("loss", "types", i), LOSSES) for i, item in enumerate(types.value)]
    return CombinedLoss(losses * len(coef) if len(losses) == 1 else losses, coef)


def build_schedule(config: Config) -> Callable[[int], float]:
    """Builds the learning-rate schedule from ``lr_scheduler`` or the legacy ``learning_rate``.

    Returns:
        0-based step → learning rate.

    Raises:
        ConfigError: There is neither, or a value is refused.
    """
    block = schedule_block(config)
    if block is None:
        raise ConfigError(f"{config.path} lr_scheduler: missing; this program needs it")
    return construct(*block, SCHEDULES, {"iters": config.settings.iters})


def build_optimizer(config: Config, model: nn.Layer) -> paddle.optimizer.Optimizer:
    """Builds the optimizer, at the schedule's first learning rate.

    Args:
        config: Checked configuration.
        model: Layer whose parameters it updates.

    Raises:
        ConfigError: There is no optimizer block, or a value is refused.
    """
    extra = {"model": model, "learning_rate": build_schedule(config)(0)}
    return construct(_require(config, "optimizer"), ("optimizer",), OPTIMIZERS, extra)


def _require(config: Config, key: str) -> Node:
    node = config.node((key,))
    if node is None:
        raise ConfigError(f"{config.path} {key}: missing; this program needs it")
    return node


def _assemble_model(node: Node) -> tuple[nn.Layer | None, nn.Layer]:
    """Constructs backbone and model, without weights."""
    extra = {}
    backbone = node.value.get("backbone")
    if backbone is not None:
        extra["backbone"] = construct(_without_weights(backbone), ("model", "backbone"), BACKBONES)
    model = construct(_without_weights(node), ("model",), MODELS, extra)
    return extra.get("backbone"), model


def _without_weights(node: Node) -> Node:
    return Node({key: child for key, child in node.value.items() if key != "pretrained"}, node.source)


def _load_pretrained(layer: nn.Layer, block: Node, load_weights: Callable[[nn.Layer, str], Any]) -> None:
    source = block.value.get("pretrained")
    if source is not None and source.value is not None:
        _logger.info(load_weights(layer, source.value).summary())


def _check_values(config: Config, broken: Sequence[Path]) -> list[Problem]:
    """Constructs what is cheap, as constructors know the ranges of their values best.

    Args:
        config: Its blocks are constructed and thrown away.
        broken: Paths with problems already; the blocks they are in are passed over.
    """
    problems = []
    for node, path, registry in _cheap_blocks(config):
        if any(one[: len(path)] == path for one in broken):
            continue
        try:
            if registry is MODELS:
                _assemble_unallocated(node)
            elif registry is OPTIMIZERS:
                _try_optimizer(node)
            else:
                construct(node, path, registry, _schedule_length(config) if registry is SCHEDULES else None)
        except ProblemError as error:
            problems.append(error.problem)
    return problems


def _cheap_blocks(config: Config) -> Iterator[tuple[Node, Path, Registry]]:
    """All blocks, except that of data sets only the transforms are cheap."""
    for node, path, slot in iterate_blocks(config):
        if slot.registry is DATASETS:
            for i, item in enumerate(_entries(node, "transforms")):
                yield item, (*path, "transforms", i), TRANSFORMS
        else:
            yield node, path, slot.registry


def _entries(node: Node, key: str) -> list[Node]:
    entry = node.value.get(key)
    return entry.value if entry is not None and isinstance(entry.value, list) else []


def _schedule_length(config: Config) -> dict[str, int]:
    node = config.node("iters")
    return {"iters": node.value if node is not None and isinstance(node.value, int) else 1}


def _try_optimizer(node: Node) -> None:
    """Constructs the optimizer over a tiny layer; ``custom_cfg`` names parameters of the real model."""
    import paddle
    from paddle.utils import unique_name

    options = Node({key: child for key, child in node.value.items() if key != "custom_cfg"}, node.source)
    with unique_name.guard():
        extra = {"model": paddle.nn.BatchNorm1D(1), "learning_rate": 0.1}
        construct(options, ("optimizer",), OPTIMIZERS, extra)


def _assemble_unallocated(node: Node) -> None:
    """Constructs the model without memory for its parameters: 0.15 s instead of 3 s for ResNet101."""
    import paddle
    from paddle.utils import unique_name

    try:
        with unique_name.guard(), paddle.LazyGuard():
            _assemble_model(node)
    except Exception:  # a constructor may need its parameters' values, so this does not decide yet
        with unique_name.guard():
            _assemble_model(node)
