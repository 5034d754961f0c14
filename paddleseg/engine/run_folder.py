"""Which checkpoints a folder holds, of which runs, and which of them to go on from."""

from __future__ import annotations

from pathlib import Path

from paddleseg.engine.checkpoint import Checkpoint, read_checkpoint, read_counters
from paddleseg.engine.manifest import time_written
from paddleseg.errors import CheckpointError
from paddleseg.files import recover_folders

__all__ = ["newest_good_checkpoint", "run_checkpoints"]


def newest_good_checkpoint(save_dir: Path) -> tuple[Checkpoint | None, list[str]]:
    """Reads what ``--resume_model auto`` goes on from, and clears up what killed processes left.

    Of several runs in one folder, the one that wrote last counts; where all of its checkpoints are damaged,
    the one that wrote before it.

    Args:
        save_dir: Folder of the run, in which nothing is being written now; it may be missing.

    Returns:
        The undamaged checkpoint with the most iterations, None where there is none, and a line for each one
        that would have come before it and is damaged.

    Raises:
        OutputError: The folder cannot be cleared up.
    """
    recover_folders(save_dir)
    damaged: list[str] = []
    for folder in _newest_first(save_dir):
        try:
            return read_checkpoint(folder), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    return None, damaged


def run_checkpoints(save_dir: Path, run: str) -> dict[int, Path]:
    """Returns the ``iter_N`` folders that a run wrote into ``save_dir``, by their N in rising order."""
    return {
        number: folder for number, folder in _numbered(save_dir).items() if run and _run_of(folder) == run
    }


def _newest_first(save_dir: Path) -> list[Path]:
    """All ``iter_N``: those of the run that wrote last first, and of each run by falling N.

    Those whose counters are damaged do not tell their run; they are put with the first.
    """
    folders = _numbered(save_dir)
    runs = {number: _run_of(folder) for number, folder in folders.items()}
    written: dict[str | None, float] = {None: 0.0}
    for number, run in runs.items():
        if run is not None:
            written[run] = max(written.get(run, 0.0), time_written(folders[number]))
    written[None] = max(written.values())
    order = sorted(folders, key=lambda number: (written[runs[number]], number), reverse=True)
    return [folders[number] for number in order]


def _numbered(save_dir: Path) -> dict[int, Path]:
    """All ``iter_N`` by rising N."""
    numbers = {folder: folder.name.removeprefix("iter_") for folder in save_dir.glob("iter_*")}
    return dict(sorted((int(text), folder) for folder, text in numbers.items() if text.isdecimal()))


def _run_of(folder: Path) -> str | None:
    """The run that wrote a checkpoint, empty where it has no name; None where the counters are damaged."""
    try:
        return read_counters(folder).run
    except CheckpointError:
        return None
