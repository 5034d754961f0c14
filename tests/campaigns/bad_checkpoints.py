"""Campaign: damaged and hostile weights and checkpoints are loaded or refused with a message, nothing else.

    python tests/campaigns/bad_checkpoints.py --count 200

Half of the inputs are weight files, half are training checkpoints, all in one process. A file that is
refused must leave the network as it was, no file may run code, a damaged checkpoint must not pass for a sound
one, and ``newest_good_checkpoint`` must find the sound one beside it.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from checkpoint_mutants import CheckpointMutant, checkpoint_mutants, optimizer_of, small_model, write_run
from harness import MEBIBYTE, Case, Watch, arguments, campaign, empty, limit_memory, work_folder
from weight_mutants import PROOF, WeightMutant, weight_mutants

from paddleseg.engine.checkpoint import read_checkpoint, restore
from paddleseg.engine.run_folder import newest_good_checkpoint
from paddleseg.errors import CheckpointError, PaddleSegError
from paddleseg.models.weights import load_weights

UNCHECKED = "accepted, other numbers"  # what a file without checksums cannot show


def arrays_of(layer: object) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in layer.state_dict().items()}  # type: ignore[attr-defined]


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )


def use_weights(mutant: WeightMutant, path: Path) -> str | None:
    """Loads a weights file into a network that was made anew."""
    layer, sound = small_model(seed=2), arrays_of(small_model(seed=1))
    before = arrays_of(layer)
    try:
        load_weights(layer, path)
    except PaddleSegError:
        assert same(before, arrays_of(layer)), "a file that was refused changed the network"
        raise
    finally:
        assert not Path(PROOF).exists(), "the file ran code"
    return None if same(sound, arrays_of(layer)) else UNCHECKED


def use_checkpoint(mutant: CheckpointMutant, run: Path) -> str | None:
    """Reads and restores ``iter_4``; without it, ``iter_2`` must be found."""
    damaged = run / "iter_4"
    sound = arrays_of(small_model(seed=4))
    layer = small_model(seed=9)
    before = arrays_of(layer)
    try:
        checkpoint = read_checkpoint(damaged)
    except CheckpointError as error:
        _check_refusal(str(error), run)
        raise
    finally:
        assert not Path(PROOF).exists(), "the file ran code"
    try:
        restore(checkpoint, model=layer, optimizer=optimizer_of(layer), ema=None)
    except PaddleSegError:
        assert same(before, arrays_of(layer)), "a checkpoint that was refused changed the network"
        raise
    if same(sound, arrays_of(layer)):
        return None
    assert mutant.unchecked, "damage went unnoticed although there is a manifest"
    return UNCHECKED


def _check_refusal(message: str, run: Path) -> None:
    """The message names the checkpoint, and the search passes over it."""
    assert "iter_4" in message, "the message does not name the checkpoint"
    found, told = newest_good_checkpoint(run)
    assert found is not None, "newest_good_checkpoint finds none"
    assert found.folder == run / "iter_2", f"newest_good_checkpoint gives {found.folder}"
    assert len(told) == 1 or not (run / "iter_4").is_dir(), f"told {told}"


def weight_cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Writes each weights file into the emptied folder just before its case runs."""
    for mutant in weight_mutants(arrays_of(small_model(seed=1)), count, seed):
        empty(folder)
        path = folder / f"weights.{mutant.suffix}"
        mutant.write(path)
        yield Case(f"weights: {mutant.kind}", mutant.what, partial(use_weights, mutant, path))


def checkpoint_cases(count: int, seed: int, folder: Path, run: Path) -> Iterator[Case]:
    """Copies a sound run and damages its newest checkpoint just before each case runs."""
    for mutant in checkpoint_mutants(count, seed):
        empty(folder)
        copy = folder / "run"
        shutil.copytree(run, copy)
        mutant.damage(copy / "iter_4")
        yield Case(f"checkpoint: {mutant.kind}", mutant.what, partial(use_checkpoint, mutant, copy))


def main() -> int:
    """Runs the campaign. Returns the exit status."""
    args = arguments("Load damaged weights and checkpoints.", count=200)
    with work_folder() as folder:
        run, bench = folder / "sound", folder / "bench"
        write_run(run)
        bench.mkdir()
        limit_memory(4096 * MEBIBYTE)
        cases = itertools.chain(
            weight_cases(args.count - args.count // 2, args.seed, bench),
            checkpoint_cases(args.count // 2, args.seed, bench, run),
        )
        return campaign("Bad weights and checkpoints", cases, Watch(folder=folder))


if __name__ == "__main__":
    sys.exit(main())
