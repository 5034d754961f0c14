"""Data sets that are read from packs: ``pack: DIR`` in a data set's block."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddleseg.build_labels import coding_of, names_and_palette
from paddleseg.config.components import PACK, PACK_BY_RANK, construct
from paddleseg.config.config import Config
from paddleseg.config.consistency import block_facts
from paddleseg.config.node import Node
from paddleseg.config.problems import Problem
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.pack import Pack
from paddleseg.data.pack_check import describe_changed_fact, find_staleness, pairs_of
from paddleseg.data.pack_index import read_index
from paddleseg.errors import ConfigError, DataError
from paddleseg.log import get_logger
from paddleseg.registry import DATASETS, TRANSFORMS

__all__ = [
    "build_for_packing",
    "build_packed",
    "construct_transforms",
    "dataset_root",
    "reads_by_rank",
    "without_pack",
]

_logger = get_logger(__name__)


def reads_by_rank(config: Config) -> bool:
    """Whether each process of a training run draws from shards of its own."""
    return config.node(("train_dataset", "pack_shards")) is not None


def without_pack(node: Node) -> Node:
    """Returns a data set's block with the keys of its component alone."""
    reserved = {*PACK, *PACK_BY_RANK}
    return Node({key: child for key, child in node.value.items() if key not in reserved}, node.source)


def construct_transforms(node: Node | None, block: str) -> list[Any]:
    """Builds the list ``transforms`` of a block.

    Args:
        node: The list; None for an empty one.
        block: ``"val_dataset"``, ``"export"`` …
    """
    items = [] if node is None else node.value
    return [construct(item, (block, "transforms", i), TRANSFORMS) for i, item in enumerate(items)]


def dataset_root(config: Config, split: str) -> str | None:
    """Returns the folder that the names in a split's pack start from, or None where its data set has none."""
    node = config.node((f"{split}_dataset", "dataset_root"))
    return None if node is None else str(node.value)


def build_for_packing(config: Config, split: str) -> SegmentationDataset:
    """Builds a data set from its files and without transforms.

    Args:
        config: Checked configuration.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        ConfigError: There is no such block, or its data set cannot be packed.
        DataError: The data are not there.
    """
    key = f"{split}_dataset"
    node = config.node((key,))
    if node is None:
        raise ConfigError(f"{config.path} {key}: missing; there is nothing to pack")
    _refuse_own_reading(node, key)
    dataset: SegmentationDataset = construct(without_pack(node), (key,), DATASETS, {"transforms": []})
    return dataset


def build_packed(config: Config, split: str, *, rank: int = 0, world_size: int = 1) -> SegmentationDataset:
    """Builds a data set that reads from its pack, and makes sure that the pack is up to date.

    Where the folder ``dataset_root`` is not there, the pack alone says which samples there are.

    Args:
        config: Checked configuration; the block has a ``pack``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        rank: This process.
        world_size: All processes; they matter with ``pack_shards: by_rank`` only.

    Raises:
        ConfigError: A constructor refuses a value, or the data set or number of processes does not fit packs.
        DataError: The data or the pack are not there, damaged, or the pack is stale.
    """
    key = f"{split}_dataset"
    node, path = config.node((key,)), config.node((key, "pack"))
    assert node is not None, "the caller has looked"
    assert path is not None, "the caller has looked"
    _refuse_own_reading(node, key)
    by_rank = split == "train" and reads_by_rank(config)
    pack = Pack.open(path.value, shards=_own_shards(config, path, rank, world_size) if by_rank else None)
    root = dataset_root(config, split)
    if root is not None and not os.path.isdir(root):
        reason = describe_changed_fact(pack.index.dataset, _facts(config, key))
        dataset = None if reason else _build_from_pack_alone(config, key, pack, root)
    else:
        from_files = construct(without_pack(node), (key,), DATASETS)
        reason = find_staleness(pack, from_files, root=root)
        dataset = None if reason else _with_pack(from_files, pack)
    if dataset is None:
        raise DataError(
            f"{pack.path}: the pack is stale: {reason}; pack again: python tools/pack_dataset.py "
            f"--config {config.path} --mode {split} --output {pack.path} --overwrite"
        )
    _logger.info(f"{key}: {len(pack)} samples from the pack {pack.path} ({pack.index.shards} shards)")
    return dataset


def _own_shards(config: Config, pack: Node, rank: int, world_size: int) -> Sequence[int]:
    count = read_index(Path(pack.value)).shards
    if count % world_size:
        where = ("train_dataset", "pack_shards")
        text = f"{count} shards cannot be shared evenly by {world_size} processes; pack with other --shards"
        raise ConfigError(str(Problem(config.source(where), where, text)))
    return range(rank, count, world_size)


def _refuse_own_reading(node: Node, key: str) -> None:
    """A class that loads in its own way would pass over the pack, or change twice what it holds."""
    name = node.value["type"]
    kind, base = DATASETS.get(name.value), SegmentationDataset
    if (
        getattr(kind, "load", None) is not base.load
        or getattr(kind, "__getitem__", None) is not base.__getitem__
    ):
        text = f"{name.value} loads its samples in its own way, so they cannot come from a pack"
        raise ConfigError(str(Problem(name.source, (key, "type"), text)))


def _facts(config: Config, key: str) -> dict[str, Any]:
    block, node = config.tree[key], config.node((key,))
    assert node is not None, "the caller has looked"
    kind = DATASETS.get(block["type"])
    mode = block.get("mode", key.removesuffix("_dataset"))
    facts = block_facts(config, key) | {"type": kind.__qualname__, "mode": mode.lower()}
    return facts | coding_of(node).facts()


def _build_from_pack_alone(config: Config, key: str, pack: Pack, root: str) -> SegmentationDataset:
    """The data set without its files; its facts are those of the pack."""
    node, facts = config.node((key,)), pack.index.dataset
    assert node is not None, "the caller has looked"
    kind: Any = DATASETS.get(config.tree[key]["type"])
    transforms = construct_transforms(config.node((key, "transforms")), key)
    names, palette = names_and_palette(config, key)
    try:
        dataset = SegmentationDataset(
            pairs_of(pack, root),
            mode=kind.SUBSETS[facts["mode"]],
            num_classes=facts["num_classes"],
            ignore_index=facts["ignore_index"],
            img_channels=facts["img_channels"],
            transforms=transforms,
            class_names=names,
            palette=None if palette is None else [(red, green, blue) for red, green, blue in palette],
            pack=pack,
        )
    except ValueError as error:
        raise ConfigError(str(Problem(node.source, (key,), str(error)))) from error
    dataset.coding = coding_of(node)
    _logger.warning(f"{key}: no folder {root}: whether the pack is stale cannot be told")
    return dataset


def _with_pack(dataset: SegmentationDataset, pack: Pack) -> SegmentationDataset:
    packed = SegmentationDataset(
        dataset.files,
        mode=dataset.mode,
        transforms=dataset.transforms.transforms,
        num_classes=dataset.num_classes,
        ignore_index=dataset.ignore_index,
        img_channels=dataset.img_channels,
        class_names=dataset.class_names,
        palette=dataset.palette,
        pack=pack,
    )
    packed.coding = dataset.coding
    return packed
