"""What a run leaves behind so that it can be understood and repeated."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from paddleseg.config.config import Config
from paddleseg.errors import OutputError
from paddleseg.files import write_whole
from paddleseg.version import __version__

__all__ = ["write_run_record"]

_DISTRIBUTIONS = (
    "paddlepaddle",
    "paddlepaddle-gpu",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "PyYAML",
    "scipy",
    "Pillow",
    "visualdl",
    "safetensors",
)


def write_run_record(
    config: Config,
    save_dir: str | os.PathLike[str],
    seed: int | None,
    command: Sequence[str],
    *,
    program: str = "train",
    settings: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
) -> None:
    """Writes ``config.yml`` and ``environment.json``.

    Those are a training run's; another program's begin with its name (``val_config.yml`` …), so that it may
    write into the folder of the run whose weights it uses.

    ``config.yml`` is the configuration after inheritance, overrides and filling-in; ``load_config`` reads
    it. ``environment.json`` has package versions, seed, command line and git revision.

    Args:
        config: Checked configuration.
        save_dir: Folder of the run; made where it is missing.
        seed: The run's seed.
        command: ``sys.argv``.
        program: ``"train"``, ``"val"``, ``"predict"`` or ``"export"``.
        settings: Process settings that change results, such as thread counts.
        start: What a training run goes on from: further entries of ``environment.json``.

    Raises:
        OutputError: The folder cannot be written to.
    """
    environment = {
        "command": list(command),
        "seed": seed,
        **(start or {}),
        "git": _git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "paddleseg": __version__,
        "packages": _versions(),
        "settings": dict(settings or {}),
    }
    text = yaml.safe_dump(config.tree, sort_keys=False, allow_unicode=True)
    folder, prefix = Path(save_dir), "" if program == "train" else f"{program}_"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"'{folder}' is a file; expected a folder for the run's output") from None
    except OSError as error:
        raise OutputError(f"cannot write the run's record to '{folder}': {error.strerror}") from None
    write_whole(folder / f"{prefix}config.yml", f"# Resolved from {config.path}\n{text}".encode())
    record = json.dumps(environment, indent=2, ensure_ascii=False)
    write_whole(folder / f"{prefix}environment.json", f"{record}\n".encode())


def _versions() -> dict[str, str]:
    versions = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git_state() -> dict[str, Any] | None:
    """Revision of this package's checkout; None when it is installed, or there is no git."""
    package = Path(__file__).resolve().parents[1]
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != package.parent:
        return None
    revision = _git(package, "rev-parse", "HEAD")
    return {"revision": revision, "modified": bool(_git(package, "status", "--porcelain", "-uno"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
