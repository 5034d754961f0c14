"""The number of classes where the configuration does not tell it: from the labels, or from a training run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from paddleseg.build_labels import takes
from paddleseg.build_packs import without_pack
from paddleseg.config.components import construct
from paddleseg.config.config import Config, read_config
from paddleseg.data.class_scan import class_ids_of, count_classes
from paddleseg.data.pack_index import read_index
from paddleseg.errors import ConfigError
from paddleseg.log import get_logger
from paddleseg.registry import DATASETS

__all__ = ["count_in_labels", "recorded_class_count"]

_RECORD = "config.yml"
_logger = get_logger(__name__)


def count_in_labels(
    config: Config,
    *,
    threads: int = 1,
    progress: Callable[[Iterable[set[int]]], Iterable[set[int]]] = iter,
) -> int:
    """Finds the number of classes in the labels of the training set: the largest id and one.

    Args:
        config: Checked but for that number.
        threads: Labels decoded at a time.
        progress: Wraps what there is for each label.

    Raises:
        ConfigError: There is no training set.
        DataError: The data are not there, a label is bad, or the ids can hardly be those of classes.
    """
    key = "train_dataset"
    node, pack = config.node((key,)), config.node((key, "pack"))
    if node is None or not takes(config, key, "num_classes"):
        raise ConfigError(
            f"{config.path} num_classes: not given, and there is no train_dataset to find it in; give "
            "num_classes or --classes, or use config.yml of the training run's folder"
        )
    if pack is not None:
        return int(read_index(Path(os.path.expanduser(pack.value))).dataset["num_classes"])
    # One is as good as any: labels are decoded, not checked, and no id may seem to be a class.
    extra = {"transforms": [], "num_classes": 1, "palette": None}
    if (root := config.node((key, "dataset_root"))) is not None:
        extra["dataset_root"] = os.path.expanduser(root.value)
    dataset = construct(without_pack(node), (key,), DATASETS, extra)
    _logger.info(f"num_classes is not given: reading the {len(dataset)} labels of {key}")
    ids = class_ids_of(dataset, threads=threads, progress=progress)
    count = count_classes(ids, dataset)
    _logger.info(f"num_classes: {count}, as the largest id in the labels of {key} is {count - 1}")
    absent = sorted(set(range(count)) - ids.keys())
    if absent:
        shown = ", ".join(map(str, absent[:8])) + (", …" if len(absent) > 8 else "")
        fix = (
            "where 0 is no class, set reduce_zero_label: True"
            if absent == [0]
            else "label_map can close the gap"
        )
        _logger.warning(f"num_classes: {count}, but no label of {key} holds {shown}; {fix}")
    return count


def recorded_class_count(weights: str | None) -> int | None:
    """The number of classes that a training run has recorded beside its weights.

    Args:
        weights: ``--model_path``: a file or folder inside the run's folder.

    Returns:
        The number in ``config.yml`` of the folder of the weights or the one above; None where there is none.
    """
    if weights is None or "://" in weights:
        return None
    start = Path(weights) if os.path.isdir(weights) else Path(weights).parent
    for folder in (start, start.resolve().parent):
        if (folder / _RECORD).is_file():
            try:
                count: Any = read_config(folder / _RECORD).node("model.num_classes")
            except ConfigError:
                return None
            return count.value if count is not None and isinstance(count.value, int) else None
    return None
