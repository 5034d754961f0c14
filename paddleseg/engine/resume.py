"""Where a run begins: at the start, or at a checkpoint that every process gets from the main one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from paddleseg import distributed
from paddleseg.engine.checkpoint import BEST_MODEL, Checkpoint, TrainState, read_checkpoint, restore
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.group import Group
from paddleseg.engine.precision import Precision
from paddleseg.engine.run_facts import check_resumable
from paddleseg.engine.run_folder import newest_good_checkpoint
from paddleseg.files import bring_back, recover_folders
from paddleseg.log import get_logger

__all__ = ["AUTO", "find_checkpoint", "first_state", "restore_run"]

AUTO = "auto"
_logger = get_logger(__name__)


def find_checkpoint(
    wanted: str | None, *, save_dir: Path, facts: Mapping[str, Any], force: bool, group: Group
) -> Checkpoint | None:
    """Reads the checkpoint to go on from, in the main process, and hands it to the others.

    So only the main process needs to see the folder, on whatever machines the others are.

    Args:
        wanted: ``iter_N`` folder; ``"auto"`` for the newest good one in ``save_dir``; None for a new run.
        save_dir: Folder of the run.
        facts: What this run is made of; see :mod:`paddleseg.engine.run_facts`.
        force: Go on although facts differ.
        group: The processes.

    Returns:
        What to go on from; None to start anew.

    Raises:
        CheckpointError: It is damaged, or was written by a run with which this one cannot go on.
    """
    found = _read(wanted, save_dir, facts, force) if group.is_main and wanted else None
    contents = group.broadcast(None if found is None else vars(found) | {"state": asdict(found.state)})
    if contents is None:
        return None
    return Checkpoint(**contents | {"state": TrainState(**contents["state"])})


def _read(wanted: str, save_dir: Path, facts: Mapping[str, Any], force: bool) -> Checkpoint | None:
    checkpoint = _newest(save_dir) if wanted == AUTO else _named(Path(wanted), save_dir)
    if checkpoint is None:
        return None
    same_result = check_resumable(checkpoint.facts, facts, force=force, folder=checkpoint.folder)
    state = checkpoint.state
    if force and facts["config"].get("seed") is not None:
        state.seed = facts["config"]["seed"]
    # Checkpoints of two results under one name would be mixed up; those of version 0.1 may have none.
    if not same_result or not state.run:
        state.run = uuid.uuid4().hex
    _logger.info(
        f"[RESUME] {checkpoint.folder}: going on after iteration {state.iteration}, seed {state.seed}"
    )
    if state.best_iteration and not (save_dir / BEST_MODEL).is_dir():
        # Into another folder, which has no best model yet: what is evaluated there first is its first.
        state.best_miou, state.best_iteration, state.evaluated_at = -1.0, 0, 0
    return checkpoint


def _newest(save_dir: Path) -> Checkpoint | None:
    checkpoint, damaged = newest_good_checkpoint(save_dir)
    for line in damaged:
        _logger.warning(f"[RESUME] passed over: {line}")
    if checkpoint is None:
        _logger.info(f"[RESUME] {save_dir} holds no checkpoint to go on from: starting anew")
    return checkpoint


def _named(folder: Path, save_dir: Path) -> Checkpoint:
    recover_folders(save_dir)
    bring_back(folder)  # another folder may be that of a run at work, of which nothing more is touched
    return read_checkpoint(folder)


def restore_run(
    checkpoint: Checkpoint,
    *,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    ema: ModelEma | None,
    precision: Precision,
) -> None:
    """Restores everything that has a state.

    Raises:
        CheckpointError: The checkpoint belongs to another model or optimiser.
    """
    restore(checkpoint, model=model, optimizer=optimizer, ema=ema)
    # They differ only where --force has changed the precision.
    if checkpoint.state.loss_scale.keys() == precision.state_dict().keys():
        precision.load_state_dict(checkpoint.state.loss_scale)


def first_state(seed: int, save_dir: Path) -> TrainState:
    """Counters of a new run; the main process warns where an earlier one has left checkpoints."""
    if distributed.is_main() and any(save_dir.glob("iter_*")):
        _logger.warning(
            f"{save_dir} holds checkpoints of an earlier run; those of the same name are replaced "
            "(to go on with that run instead: --resume_model auto)"
        )
    return TrainState(seed=seed, run=uuid.uuid4().hex)
