"""What a training run is made of, and whether another one may go on from its checkpoint.

A resumed run gives the result of an uninterrupted one only where all that influences the numbers is the same.
What is not known to be harmless counts as an influence: a new configuration key needs no entry here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle

from paddleseg.config.config import Config
from paddleseg.data.datasets.base import Pair, SegmentationDataset, relative_names
from paddleseg.engine.batching import BatchPlan
from paddleseg.errors import CheckpointError
from paddleseg.log import get_logger
from paddleseg.runtime import cpu_model
from paddleseg.version import __version__

__all__ = ["Difference", "Effect", "check_resumable", "compare_facts", "run_facts"]

_LISTED = 20
_ABSENT = None
_logger = get_logger(__name__)


class Effect(Enum):
    """What a difference does to a resumed run. Only the first is a reason not to go on."""

    RESULT = "changes the result"
    LOW_BITS = "may change low-order bits"
    REPORTS = "changes which rows, evaluations and checkpoints there are, not the steps"
    NOTHING = "does not change the result"


# Facts that change no number of a resumed run, or only through other facts: folders (the samples have a fact
# of their own), weights to start from (the checkpoint's take their place), requested against actual numbers.
_EFFECTS = {
    Effect.LOW_BITS: re.compile(r"processor|mkl_debug_cpu_type|platform|config\.gpu_autotune"),
    Effect.REPORTS: re.compile(r"reports\..*"),
    Effect.NOTHING: re.compile(
        r"config\.(train_dataset|val_dataset)\.(dataset_root|train_path|val_path|test_path|pack)"
        r"|config\.(model\..*)?pretrained"
        r"|config\.(test_dataset|export|worker_timeout|check_data|global_batch_size|accumulate|recompute)\b.*"
        r"|versions\.python"
    ),
}


@dataclass(frozen=True)
class Difference:
    """A fact in which two runs differ.

    Attributes:
        what: Its dotted name: ``config.optimizer.momentum``.
        saved: Value in the checkpoint; None where it has none.
        current: Value in this run; None where it has none.
        effect: What it does to a run that is resumed all the same.
    """

    what: str
    saved: Any
    current: Any
    effect: Effect

    def describe(self) -> str:
        """Returns one line: what, the checkpoint's value and this run's."""
        saved, current = (
            "absent" if value is _ABSENT else json.dumps(value) for value in (self.saved, self.current)
        )
        return f"{self.what}: {saved} → {current}"


def run_facts(
    config: Config,
    *,
    plan: BatchPlan,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset | None = None,
    device: str,
    threads: int,
    reports: Mapping[str, Any],
) -> dict[str, Any]:
    """Collects the facts of a run.

    Args:
        config: Checked configuration.
        plan: How the images of an iteration are spread.
        train_set: Where they come from.
        val_set: What the run evaluates on; None for nothing.
        device: ``"cpu"``, ``"gpu:0"``.
        threads: Threads of each process.
        reports: What decides when the run logs, evaluates and saves, by name.

    Returns:
        Plain values, as ``run.json`` has them.
    """
    settings = asdict(config.settings)
    facts = {
        "config": {**settings, "plugins": sorted(map(os.path.basename, settings["plugins"]))},
        "classes": train_set.class_names,
        "train_samples": _fingerprint(train_set.files),
        "val_samples": None if val_set is None else _fingerprint(val_set.files),
        "world_size": plan.world_size,
        "accumulate": plan.accumulate,
        "device": device.partition(":")[0],
        "threads": threads,
        "platform": platform.platform(),
        "processor": cpu_model(),
        "mkl_debug_cpu_type": os.environ.get("MKL_DEBUG_CPU_TYPE"),
        "reports": dict(reports),
        "versions": {
            "paddleseg": __version__,
            "paddle": paddle.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


def _fingerprint(files: Sequence[Pair]) -> dict[str, Any]:
    """Number and names of samples, which stay the same when the whole data set moves."""
    names = relative_names(files)
    listed = [names[path] for pair in files for path in (pair.image, pair.label) if path is not None]
    digest = hashlib.sha256("\0".join(listed).encode("utf-8", "surrogateescape"))
    return {"count": len(files), "sha256": digest.hexdigest()}


def compare_facts(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[Difference]:
    """Lists what differs.

    Args:
        saved: Facts of the run that wrote a checkpoint; empty where it has none.
        current: Facts of the run that would go on from it.

    Returns:
        The differences by name. A null is the same as an absent value, and a seed is none where this run's
        config has none: it takes the checkpoint's.
    """
    if not saved:
        return []
    before, now = _flatten(saved), _flatten(current)
    before.setdefault("config.seed", 0)
    now.setdefault("config.seed", before["config.seed"])
    differing = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return [
        Difference(name, before.get(name), now.get(name), _effect(name, before, now)) for name in differing
    ]


def _effect(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Effect:
    if name == "threads" and before.get("device") == now.get("device") == "gpu":
        return Effect.LOW_BITS
    if name.startswith("val_samples.") and (name not in before or name not in now):
        return Effect.REPORTS  # evaluation was switched on or off
    fitting = (effect for effect, pattern in _EFFECTS.items() if pattern.fullmatch(name))
    return next(fitting, Effect.RESULT)


def _flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """Leaves by dotted name. A list of plain values is a leaf, and a list of blocks a table by position."""
    if isinstance(tree, Mapping):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list) and any(isinstance(value, (Mapping, list)) for value in tree):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {} if tree is None else {name: tree}
    leaves: dict[str, Any] = {}
    for key, value in items:
        leaves |= _flatten(value, f"{name}.{key}" if name else key)
    return leaves


def check_resumable(
    saved: Mapping[str, Any], current: Mapping[str, Any], *, force: bool, folder: Path
) -> bool:
    """Logs every difference and refuses those that would change the result.

    Args:
        saved: Facts of the checkpoint; empty where it has none.
        current: Facts of this run.
        force: Goes on all the same.
        folder: The checkpoint, for messages.

    Returns:
        Whether the result will be that of the run that wrote the checkpoint, as far as it is known.

    Raises:
        CheckpointError: A difference would change the result, and ``force`` is false.
    """
    if not saved:
        _logger.warning(
            f"{folder} does not tell what its run was made of (version 0.1): make sure that config, data, "
            "number of processes and package versions are the same, or the result will differ"
        )
    differences = compare_facts(saved, current)
    lines = [one.describe() for one in differences if one.effect is Effect.RESULT]
    for one in differences:
        if force or one.effect is not Effect.RESULT:
            _logger.warning(f"[RESUME] {one.describe()} ({one.effect.value})")
    if lines and not force:
        listed = [*lines[:_LISTED], *([f"… and {len(lines) - _LISTED} more"] if lines[_LISTED:] else [])]
        raise CheckpointError(
            f"cannot resume from {folder}: this run differs from the one that wrote it (there → here):\n  "
            + "\n  ".join(listed)
            + "\nput these back, or give --force to go on with another result than an uninterrupted run's"
        )
    return not lines
