"""From a configuration file to checked configuration, and from there to objects.

Nothing here imports Paddle until components are needed, so that a process can be set up first.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paddleseg.build_checks import PRETRAINED, assemble_model, check_pretrained, check_values
from paddleseg.config.blocks import check_blocks, schedule_block
from paddleseg.config.components import construct
from paddleseg.config.config import Config, read_config
from paddleseg.config.consistency import class_count, reconcile, reconcile_parts
from paddleseg.config.files import expand_home, missing_files
from paddleseg.config.node import Node, Path
from paddleseg.config.plugins import import_plugins
from paddleseg.config.problems import Problem, raise_problems
from paddleseg.config.schema import check_structure
from paddleseg.errors import ConfigError, WeightsError
from paddleseg.log import get_logger
from paddleseg.registry import (
    DATASETS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    TRANSFORMS,
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
    "load_pretrained",
]

_logger = get_logger(__name__)
_ANY_COUNT = 2  # classes, for the check of what does not depend on how many there are

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
    classes: str | None = None,
    count_classes: Callable[[Config], tuple[int, str]] | None = None,
) -> Config:
    """Reads, merges, overrides and checks a configuration. No data set needs to be there.

    Args:
        path: YAML file in PaddleSeg's dialect.
        overrides: ``["iters=100", "loss.coef=[1,0.4]"]``, or a mapping from dotted path to value.
        flags: The programs' short flags (``iters``, ``batch_size``, ``learning_rate``, …); None entries
            are passed over.
        required: Top-level keys that must be there.
        classes: File with the name of one class a line, for all data sets.
        count_classes: Called where nothing tells the number of classes, with a configuration that lacks
            nothing else; returns the number and its source.

    Raises:
        ConfigError: Something is wrong; the message lists everything that is, with file and line.
    """
    from paddleseg.build_labels import name_classes, set_class_count, takes

    def read(count: int | None = None, source: str = "") -> tuple[Config, list[Problem]]:
        config = read_config(path, overrides, flags)
        import_components(config)
        if classes is not None:
            name_classes(config, classes)
        if count is not None:
            set_class_count(config, count, source)
        return config, check(config, required)

    config, problems = read()
    is_open = class_count(config) is None and takes(config, "train_dataset", "num_classes")
    if count_classes is not None and is_open:
        trial, problems = read(_ANY_COUNT)
        raise_problems(problems)
        expand_home(trial)
        config, problems = read(*count_classes(trial))
    raise_problems(problems)
    expand_home(config)
    return config


def check(config: Config, required: Iterable[str] = ("model",)) -> list[Problem]:
    """Checks the whole tree: structure, signatures, agreement of the parts, values.

    Args:
        config: Completed in place with what one part tells another (``model.num_classes`` …).
        required: Top-level keys that must be there.

    Returns:
        Everything that is wrong.
    """
    from paddleseg.build_labels import check_codings, fill_class_counts

    problems = check_structure(config.root, required)
    problems += import_components(config)
    problems += check_blocks(config)
    problems += reconcile_parts(config)
    fill_class_counts(config)
    problems += reconcile(config)
    problems += check_codings(config)
    return problems + check_values(config, [one.path for one in problems])


def check_files(config: Config, parts: Iterable[str], *, allow_mismatch: bool = False) -> None:
    """Looks for the files and folders that a program is about to use, and whether weights fit the model.

    Args:
        config: Checked configuration.
        parts: Blocks that will be built: ``"model"``, ``"train_dataset"``, ``"val_dataset"`` …
        allow_mismatch: Lets ``model.pretrained`` be for another number of classes.

    Raises:
        ConfigError: Some are missing or do not fit; the message lists all.
    """
    parts = list(parts)
    problems = missing_files(config, parts)
    if "model" in parts and not any(one.path == PRETRAINED for one in problems):
        problems += check_pretrained(config, allow_mismatch=allow_mismatch)
    raise_problems(problems)


def import_components(config: Config | None = None) -> list[Problem]:
    """Imports everything that registers components, the configuration's ``plugins`` included.

    Returns:
        The plugins that cannot be imported.
    """
    for module in _COMPONENT_MODULES:
        importlib.import_module(module)
    return import_plugins(config) if config is not None else []


def build_model(config: Config, *, pretrained: bool = True, allow_mismatch: bool = False) -> nn.Layer:
    """Builds the model and loads the weights that ``pretrained`` names, the backbone's first.

    Args:
        config: Checked configuration.
        pretrained: False leaves the random weights, for who fills them from elsewhere.
        allow_mismatch: Lets ``model.pretrained`` be for another number of classes; the classifier then keeps
            its random values.

    Returns:
        N×3×H×W image → list of N×C×H×W logits, main first, auxiliary ones only in training.

    Raises:
        ConfigError: There is no model block, or a constructor refuses a value.
        WeightsError: Weights cannot be found or do not fit.
    """
    backbone, model = assemble_model(_require(config, "model"))
    if not pretrained:
        return model
    if backbone is not None:
        load_pretrained(backbone, config, ("model", "backbone", "pretrained"))
    load_pretrained(model, config, PRETRAINED, allow_mismatch=allow_mismatch, num_classes=class_count(config))
    return model


def build_dataset(config: Config, split: str, *, rank: int = 0, world_size: int = 1) -> Any:
    """Builds the data set of a split with its transforms, from its pack where the block names one.

    Args:
        config: Checked configuration.
        split: ``"train"``, ``"val"`` or ``"test"``.
        rank: This process.
        world_size: All processes; see :func:`paddleseg.build_packs.build_packed`.

    Raises:
        ConfigError: There is no such block, or a constructor refuses a value.
        DataError: The data or the pack are not there, or the pack is stale.
    """
    from paddleseg.build_packs import build_packed, without_pack  # NumPy only where there are data
    from paddleseg.data.class_scan import refuse_ignored_foreground

    key = f"{split}_dataset"
    node = _require(config, key)
    if config.node((key, "pack")) is not None:
        dataset = build_packed(config, split, rank=rank, world_size=world_size)
    else:
        dataset = construct(without_pack(node), (key,), DATASETS)
    refuse_ignored_foreground(dataset)
    return dataset


def build_transforms(config: Config, block: str) -> list[Any]:
    """Builds the transforms of a block, which may name files that are not there.

    Args:
        config: Checked configuration.
        block: ``"val_dataset"``, ``"export"`` …

    Returns:
        The transforms; ``Normalize`` alone where the block has none.
    """
    from paddleseg.build_packs import construct_transforms

    node = config.node((block, "transforms"))
    if node is None:
        return [TRANSFORMS.get("Normalize")()]
    return construct_transforms(node, block)


def dataset_facts(config: Config) -> tuple[list[str] | None, list[list[int]] | None]:
    """Class names and colours of the data set, from the config or the data set's class.

    Returns:
        Names and (R, G, B) colours, one a class; None where they are not known.
    """
    from paddleseg.build_labels import names_and_palette

    for key in ("val_dataset", "train_dataset"):
        if config.node(key) is not None:
            return names_and_palette(config, key)
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


def load_pretrained(layer: nn.Layer, config: Config, path: Path, **options: Any) -> None:
    """Loads the weights that a configuration names, if it does.

    Args:
        layer: A model or a backbone.
        config: Checked configuration.
        path: Where they are named.
        options: Those of :func:`paddleseg.models.weights.load_weights`.

    Raises:
        WeightsError: They cannot be found or do not fit.
    """
    from paddleseg.models.weights import load_weights

    weights = config.node(path)
    if weights is None:
        return
    try:
        report = load_weights(layer, weights.value, **options)
    except WeightsError as error:
        raise WeightsError(str(Problem(weights.source, path, str(error)))) from error
    _logger.info(report.summary())


def _require(config: Config, key: str) -> Node:
    node = config.node((key,))
    if node is None:
        raise ConfigError(f"{config.path} {key}: missing; this program needs it")
    return node
