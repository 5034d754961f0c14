"""Training checkpoints: ``iter_N/`` folders as PaddleSeg lays them out, and what makes them trustworthy.

``model.pdparams``, ``model.pdopt`` and ``ema.pdparams`` hold arrays; ``state.json`` the counters;
``run.json`` the facts that a resumed run must share; ``manifest.json`` sizes and checksums of them all. A
folder appears under its name only when it is complete and on the disk. Reading runs nothing that a file
holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg.engine.checkpoint_arrays import check_arrays, check_optimizer_arrays, with_master_tensors
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.manifest import MANIFEST, check_manifest, write_manifest
from paddleseg.errors import CheckpointError, OutputError, WeightsError
from paddleseg.files import replace_folder
from paddleseg.log import get_logger
from paddleseg.models.weight_files import read_state

__all__ = [
    "BEST_MODEL",
    "Checkpoint",
    "TrainState",
    "read_checkpoint",
    "read_counters",
    "restore",
    "save_best_model",
    "save_checkpoint",
]

BEST_MODEL = "best_model"
_PARAMETERS, _OPTIMIZER, _EMA = "model.pdparams", "model.pdopt", "ema.pdparams"
_STATE, _FACTS = "state.json", "run.json"
_FILES = (_PARAMETERS, _OPTIMIZER, _EMA, _STATE, _FACTS)
_logger = get_logger(__name__)

Arrays = dict[str, np.ndarray]


@dataclass
class TrainState:
    """Counters that a resumed run goes on from.

    Attributes:
        iteration: Iterations done.
        seed: Seed of order and augmentation.
        best_miou: Best validation mIoU so far, in [0, 1]; −1 before the first evaluation.
        best_iteration: Iteration of that evaluation.
        run: Name that a run and those that resume it share; empty where it is unknown.
        evaluated_at: Iteration of the last evaluation; 0 before the first.
        skipped_steps: Steps that changed no weight because a number was not finite.
        rejected_in_a_row: How many of them the guard has counted since a step changed the weights.
        skipped_samples: Bad samples that others stood in for.
        loss_scale: State of the dynamic loss scaling; empty without one.
        loss_sums: For each process the losses of the steps since the last log line, added up, by name; empty
            where there are none.
        summed_steps: The number of those steps.
        schedule: What a learning-rate schedule that follows results has seen; empty for the others.
    """

    iteration: int = 0
    seed: int = 0
    best_miou: float = -1.0
    best_iteration: int = 0
    run: str = ""
    evaluated_at: int = 0
    skipped_steps: int = 0
    rejected_in_a_row: int = 0
    skipped_samples: int = 0
    loss_scale: dict[str, float | int] = field(default_factory=dict)
    loss_sums: list[dict[str, float]] = field(default_factory=list)
    summed_steps: int = 0
    schedule: dict[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, as plain values and arrays; bfloat16 comes as its bits in uint16.

    Attributes:
        folder: Where it was read.
        state: The counters.
        facts: What the run was made of; empty where the checkpoint does not tell.
        model: Parameters and buffers by name.
        optimizer: The optimiser's state by name; ``master_weights`` is a table of its own.
        ema: The averaged weights by name; None where the run keeps none.
    """

    folder: Path
    state: TrainState
    facts: dict[str, Any]
    model: Arrays
    optimizer: dict[str, Any]
    ema: Arrays | None


def save_checkpoint(
    save_dir: Path,
    *,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    state: TrainState,
    facts: Mapping[str, Any],
    ema: Mapping[str, paddle.Tensor] | None = None,
) -> Path:
    """Writes ``save_dir/iter_N``.

    Args:
        save_dir: Folder of the run.
        model: Network in training.
        optimizer: Its optimiser.
        state: Counters; ``state.iteration`` is N.
        facts: What the run is made of; see :mod:`paddleseg.engine.run_facts`.
        ema: Averaged weights by name.

    Returns:
        The new folder.

    Raises:
        OutputError: It could not be written; earlier checkpoints are untouched.
    """
    tables = {_PARAMETERS: _own_tensors(model), _OPTIMIZER: optimizer.state_dict()}
    if ema is not None:
        tables[_EMA] = dict(ema)
    return _save(save_dir / f"iter_{state.iteration}", tables, {_STATE: asdict(state), _FACTS: dict(facts)})


def save_best_model(save_dir: Path, *, weights: Mapping[str, paddle.Tensor], state: TrainState) -> Path:
    """Writes ``save_dir/best_model`` in place of an earlier one.

    Args:
        save_dir: Folder of the run.
        weights: State dict of the network, or its averaged weights.
        state: Counters.

    Returns:
        The new folder.

    Raises:
        OutputError: It could not be written; an earlier one is untouched.
    """
    return _save(save_dir / BEST_MODEL, {_PARAMETERS: dict(weights)}, {_STATE: asdict(state)})


def _save(
    target: Path, tables: Mapping[str, dict[str, Any]], documents: Mapping[str, dict[str, Any]]
) -> Path:
    def write(folder: Path) -> None:
        for name, table in tables.items():
            paddle.save(table, str(folder / name))
        for name, document in documents.items():
            (folder / name).write_text(json.dumps(document, indent=2), encoding="utf-8")
        write_manifest(folder)

    try:
        replace_folder(target, write)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"cannot write the checkpoint {target}: {getattr(error, 'strerror', None) or error}; earlier "
            "checkpoints are untouched"
        ) from error
    return target


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads what :func:`save_checkpoint` wrote and checks every file against the manifest.

    Args:
        folder: ``…/iter_N``. One of version 0.1, which has no manifest, is read with a warning.

    Returns:
        Its contents; nothing has been changed yet.

    Raises:
        CheckpointError: A file is missing, damaged or unsafe; the folder is named.
    """
    with _resuming_from(folder):
        _check_files(folder)
        return Checkpoint(
            folder=folder,
            state=read_counters(folder),
            facts=_read_document(folder / _FACTS) if (folder / _FACTS).is_file() else {},
            model=read_state(folder / _PARAMETERS),
            optimizer=read_state(folder / _OPTIMIZER),
            ema=read_state(folder / _EMA) if (folder / _EMA).is_file() else None,
        )


def restore(
    checkpoint: Checkpoint,
    *,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    ema: ModelEma | None = None,
) -> None:
    """Puts the arrays of a checkpoint where they came from, bit for bit; when it raises, nothing has changed.

    Args:
        checkpoint: From :func:`read_checkpoint`.
        model: Network to fill.
        optimizer: Optimiser to fill; it has made no step yet.
        ema: Averaged weights to fill.

    Raises:
        CheckpointError: It belongs to another model or optimiser, or just one of the two sides has averaged
            weights.
    """
    with _resuming_from(checkpoint.folder):
        tensors = _own_tensors(model)
        check_arrays(_PARAMETERS, tensors, checkpoint.model)
        check_optimizer_arrays(_OPTIMIZER, optimizer, checkpoint.optimizer)
        if ema is not None and checkpoint.ema is not None:
            check_arrays(_EMA, ema.state_dict(), checkpoint.ema)
        elif ema is not None or checkpoint.ema is not None:
            has, lacks = ("the checkpoint", "this run") if ema is None else ("this run", "the checkpoint")
            raise CheckpointError(f"{has} has averaged weights (use_ema) and {lacks} has none")
    for name, tensor in tensors.items():
        tensor.set_value(checkpoint.model[name])
    if ema is not None and checkpoint.ema is not None:
        ema.load(checkpoint.ema)
    optimizer.set_state_dict(with_master_tensors(checkpoint.optimizer))


def _own_tensors(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """The tensors as they are: the hooks of mixed precision would give float32 copies."""
    tensors: dict[str, paddle.Tensor] = model.state_dict(use_hook=False)
    return tensors


def _check_files(folder: Path) -> None:
    for name in (_PARAMETERS, _OPTIMIZER, _STATE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"there is no {name}; expected an iter_N of train.py (to start from other weights, such as "
                "PaddleSeg's, set model.pretrained to their model.pdparams)"
            )
    if (folder / MANIFEST).is_file():
        check_manifest(folder, listed=[name for name in _FILES if (folder / name).exists()])
    elif (folder / _FACTS).is_file():
        raise CheckpointError(f"there is no {MANIFEST}")
    else:
        _logger.warning(f"{folder}: written by version 0.1, without checksums: damage may go unnoticed")


def read_counters(folder: Path) -> TrainState:
    """Reads the counters of a checkpoint alone; those that an older version did not have keep their defaults.

    Args:
        folder: ``…/iter_N``.

    Returns:
        What ``state.json`` says, which is not compared with the manifest.

    Raises:
        CheckpointError: It is missing or damaged; the folder is not named.
    """
    content = _read_document(folder / _STATE)
    defaults = asdict(TrainState())
    for name, value in content.items():
        if name not in defaults or type(value) is not type(defaults[name]):
            raise CheckpointError(f"{_STATE} is damaged ({name}: {value!r})")
    for table in (content.get("loss_scale", {}), content.get("schedule", {}), *content.get("loss_sums", [])):
        if type(table) is not dict or any(type(value) not in (int, float) for value in table.values()):
            raise CheckpointError(f"{_STATE} is damaged ({table!r})")
    return TrainState(**content)


def _read_document(path: Path) -> dict[str, Any]:
    if not path.is_file():  # to read a pipe would never end
        raise CheckpointError(f"there is no {path.name}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is damaged (it holds a {type(content).__name__})")
    return content


@contextmanager
def _resuming_from(folder: Path) -> Iterator[None]:
    try:
        yield
    except (CheckpointError, WeightsError) as error:
        raise CheckpointError(f"cannot resume from {folder}: {error}") from error
    except OSError as error:
        raise CheckpointError(
            f"cannot resume from {folder}: a file cannot be read: {error.strerror or error}"
        ) from error
