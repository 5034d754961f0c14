"""Trials of a configuration's blocks: what only a constructor, or a weights file, can tell about them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from paddleseg.config.blocks import iterate_blocks
from paddleseg.config.components import component_of, construct
from paddleseg.config.config import Config
from paddleseg.config.consistency import class_count
from paddleseg.config.node import Node, Path
from paddleseg.config.problems import Problem, ProblemError
from paddleseg.errors import WeightsError
from paddleseg.registry import BACKBONES, DATASETS, MODELS, OPTIMIZERS, SCHEDULES, TRANSFORMS, Registry

if TYPE_CHECKING:
    from paddle import nn

__all__ = ["PRETRAINED", "assemble_model", "check_pretrained", "check_values"]

PRETRAINED: Path = ("model", "pretrained")
"""Where the weights of the whole model are named."""


def check_values(config: Config, broken: Sequence[Path]) -> list[Problem]:
    """Constructs what is cheap, as constructors know the ranges of their values best.

    Args:
        config: Its blocks are constructed and thrown away.
        broken: Paths with problems already; the blocks they are in are passed over.

    Returns:
        What the constructors refuse.
    """
    problems = []
    for node, path, registry in _cheap_blocks(config):
        if any(one[: len(path)] == path for one in broken):
            continue
        try:
            with _random_numbers_kept():
                if registry is MODELS:
                    _assemble_unallocated(node)
                elif registry is OPTIMIZERS:
                    _try_optimizer(node)
                else:
                    extra = _schedule_length(config) if registry is SCHEDULES else None
                    construct(node, path, registry, extra)
        except ProblemError as error:
            problems.append(error.problem)
    return problems


@contextlib.contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Puts the generators back, so that a check changes no number that is drawn after it."""
    import numpy as np
    import paddle

    python, numpy, framework = random.getstate(), np.random.get_state(), paddle.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        paddle.set_rng_state(framework)


def _is_own(component: Callable[..., Any] | None) -> bool:
    """Whether a component is this toolkit's, and so known to be content with a trial."""
    return component is not None and component.__module__.startswith("paddleseg.")


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

    if not _is_own(component_of(node, OPTIMIZERS)):
        return
    options = Node({key: child for key, child in node.value.items() if key != "custom_cfg"}, node.source)
    with unique_name.guard():
        extra = {"model": paddle.nn.BatchNorm1D(1), "learning_rate": 0.1}
        construct(options, ("optimizer",), OPTIMIZERS, extra)


def _assemble_unallocated(node: Node) -> nn.Layer:
    """Constructs the model without memory for its parameters: 0.15 s instead of 3 s for ResNet101."""
    import paddle
    from paddle.utils import unique_name

    try:
        with unique_name.guard(), paddle.LazyGuard():
            return assemble_model(node)[1]
    except Exception as error:
        # A user's constructor may need its parameters' values, so for those this does not decide yet.
        backbone = node.value.get("backbone")
        own = _is_own(component_of(node, MODELS)) and (
            backbone is None or _is_own(component_of(backbone, BACKBONES))
        )
        if own and isinstance(error, ProblemError):
            raise
    with unique_name.guard():
        return assemble_model(node)[1]


def assemble_model(node: Node) -> tuple[nn.Layer | None, nn.Layer]:
    """Constructs backbone and model, without weights.

    Args:
        node: The model's block.

    Returns:
        The backbone, or None where the block has none; and the model.

    Raises:
        ConfigError: A constructor refuses a value.
    """
    extra = {}
    backbone = node.value.get("backbone")
    if backbone is not None:
        extra["backbone"] = construct(_without_weights(backbone), ("model", "backbone"), BACKBONES)
    model = construct(_without_weights(node), ("model",), MODELS, extra)
    return extra.get("backbone"), model


def _without_weights(node: Node) -> Node:
    return Node({key: child for key, child in node.value.items() if key != "pretrained"}, node.source)


def check_pretrained(config: Config, *, allow_mismatch: bool) -> list[Problem]:
    """Compares the weights of the whole model with it, as far as that needs no download.

    Args:
        config: Checked configuration.
        allow_mismatch: Lets them be for another number of classes.
    """
    from paddleseg.models.weights import check_weights

    node, weights = config.node("model"), config.node(PRETRAINED)
    if node is None or weights is None:
        return []
    with _random_numbers_kept():
        model = _assemble_unallocated(node)
    try:
        check_weights(model, weights.value, allow_mismatch=allow_mismatch, num_classes=class_count(config))
    except WeightsError as error:
        return [Problem(weights.source, PRETRAINED, str(error))]
    return []
