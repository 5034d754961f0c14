"""Training checkpoints: ``iter_N/`` folders as PaddleSeg lays them out.

``model.pdparams`` and ``model.pdopt`` hold arrays; ``state.json`` holds the counters. A folder appears
under its name only when it is complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import paddle
from paddle import nn

from paddleseg.errors import CheckpointError, OutputError, WeightsError
from paddleseg.files import replace_folder
from paddleseg.models.weight_files import read_state
from paddleseg.models.weights import load_weights

__all__ = [
    "BEST_MODEL",
    "TrainState",
    "load_checkpoint",
    "run_checkpoints",
    "save_best_model",
    "save_checkpoint",
]

BEST_MODEL = "best_model"
_PARAMETERS, _OPTIMIZER, _STATE = "model.pdparams", "model.pdopt", "state.json"


@dataclass
class TrainState:
    """Counters that a resumed run goes on from.

    Attributes:
        iteration: Iterations done.
        seed: Seed of order and augmentation.
        best_miou: Best validation mIoU so far, in [0, 1]; −1 before the first evaluation.
        best_iteration: Iteration of that evaluation.
        run: Name that a run and those that resume it share; empty where it is unknown.
    """

    iteration: int = 0
    seed: int = 0
    best_miou: float = -1.0
    best_iteration: int = 0
    run: str = ""


def save_checkpoint(
    save_dir: Path, *, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, state: TrainState
) -> Path:
    """Writes ``save_dir/iter_N``.

    Args:
        save_dir: Folder of the run.
        model: Network in training.
        optimizer: Its optimiser.
        state: Counters; ``state.iteration`` is N.

    Returns:
        The new folder.

    Raises:
        OutputError: It could not be written; earlier checkpoints are untouched.
    """

    def write(folder: Path) -> None:
        paddle.save(model.state_dict(), str(folder / _PARAMETERS))
        paddle.save(optimizer.state_dict(), str(folder / _OPTIMIZER))
        (folder / _STATE).write_text(json.dumps(asdict(state), indent=2), encoding="utf-8")

    return _replace(save_dir / f"iter_{state.iteration}", write)


def save_best_model(save_dir: Path, *, model: nn.Layer, state: TrainState) -> Path:
    """Writes ``save_dir/best_model`` in place of an earlier one. Arguments as :func:`save_checkpoint`."""

    def write(folder: Path) -> None:
        paddle.save(model.state_dict(), str(folder / _PARAMETERS))
        (folder / _STATE).write_text(json.dumps(asdict(state), indent=2), encoding="utf-8")

    return _replace(save_dir / BEST_MODEL, write)


def load_checkpoint(folder: Path, *, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> TrainState:
    """Restores what :func:`save_checkpoint` wrote.

    Args:
        folder: ``…/iter_N``.
        model: Network to fill.
        optimizer: Optimiser to fill; it has made no step yet.

    Returns:
        The counters.

    Raises:
        CheckpointError: A file is missing, damaged or belongs to another model or optimiser.
    """
    for name in (_PARAMETERS, _OPTIMIZER, _STATE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"cannot resume from {folder}: there is no {name}; expected an iter_N of train.py (to start "
                "from other weights, such as PaddleSeg's, set model.pretrained to their model.pdparams)"
            )
    state = _read_state(folder)
    try:
        load_weights(model, str(folder / _PARAMETERS), strict=True)
        arrays = read_state(folder / _OPTIMIZER)
    except WeightsError as error:
        raise CheckpointError(f"cannot resume from {folder}: {error}") from error
    _check_optimizer_arrays(arrays, optimizer, folder)
    optimizer.set_state_dict(arrays)
    return state


def _read_state(folder: Path) -> TrainState:
    try:
        state = TrainState(**json.loads((folder / _STATE).read_text(encoding="utf-8")))
        for field in fields(state):
            value, kind = getattr(state, field.name), type(field.default)
            if type(value) is not kind:
                raise TypeError(f"{field.name}: {value!r}")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"cannot resume from {folder}: {_STATE} is damaged ({error})") from error
    return state


def _check_optimizer_arrays(
    arrays: dict[str, object], optimizer: paddle.optimizer.Optimizer, folder: Path
) -> None:
    parameters = [name for entry in optimizer._parameter_list for name in _parameter_names(entry)]
    kinds = [getattr(optimizer, name) for name in dir(optimizer) if name.endswith("_acc_str")]
    known = {f"{name}_{kind}" for name in parameters for kind in kinds}
    strangers = [
        key
        for key in arrays
        if key not in ("LR_Scheduler", "master_weights") and key.rpartition("_")[0] not in known
    ]
    if strangers:
        raise CheckpointError(
            f"cannot resume from {folder}: {_OPTIMIZER} holds '{strangers[0]}' and {len(strangers) - 1} more "
            "entries that this model and optimizer do not have; was it written with another config?"
        )


def _parameter_names(parameter: object) -> list[str]:
    if isinstance(parameter, dict):
        return [p.name for p in parameter["params"]]
    return [parameter.name]  # type: ignore[attr-defined]


def run_checkpoints(save_dir: Path, run: str) -> dict[int, Path]:
    """Returns the ``iter_N`` folders that a run wrote into ``save_dir``, by their N in rising order."""
    found = {}
    for folder in save_dir.glob("iter_*"):
        number = folder.name.removeprefix("iter_")
        if number.isdigit() and _run_of(folder) == run:
            found[int(number)] = folder
    return dict(sorted(found.items()))


def _run_of(folder: Path) -> str | None:
    """The run that wrote a checkpoint; None where it does not tell."""
    try:
        return _read_state(folder).run or None
    except CheckpointError:
        return None


def _replace(target: Path, write: Callable[[Path], None]) -> Path:
    try:
        replace_folder(target, write)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"cannot write the checkpoint {target}: {error}; earlier checkpoints are untouched"
        ) from error
    return target
