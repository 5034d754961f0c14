"""``--engine auto``: a short trial of each engine, remembered beside deploy.yaml."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from deploy.python.description import DeployDescription
from deploy.python.engines.base import Engine, EngineOptions, Floats
from paddleseg.errors import ConfigError, OutputError, PaddleSegError
from paddleseg.files import write_whole
from paddleseg.log import get_logger
from paddleseg.runtime import cpu_model

__all__ = ["MEMORY", "choose_engine"]

Load = Callable[[str, DeployDescription, EngineOptions, Sequence[Floats]], Engine]

MEMORY = ".engine_choice.json"
_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "onnxruntime", "onnxruntime-gpu", "openvino")
# A trial must be short beside the start of a process; the engines' order changes little with the size.
_TRIAL_SIZE = (192, 256)
_RUNS = 3
_HOPELESS = 2.0  # times the best so far in the first run
_logger = get_logger(__name__)


def choose_engine(
    names: Sequence[str],
    description: DeployDescription,
    options: EngineOptions,
    *,
    load: Load,
    samples: Sequence[Floats],
) -> Engine:
    """Loads the engine that is fastest for a model on this machine.

    Args:
        names: Engines that can run the model as the options say, the lightest first.
        description: The model.
        options: How it shall run.
        load: Makes an engine.
        samples: Transformed inputs, 1×C×H×W; the trial takes a part of the first. Without one it makes noise.

    Returns:
        The engine; which one, and why, is logged.

    Raises:
        ConfigError: No engine can run the model.
    """
    if len(names) == 1:
        _logger.info(f"--engine auto: {names[0]}, the only one for this model{_hint(description)}")
        return load(names[0], description, options, samples)
    memory, key = description.path.parent / MEMORY, _key(description, options)
    remembered = _recall(memory).get(key)
    if isinstance(remembered, str) and remembered in names:
        _logger.info(
            f"--engine auto: {remembered}, the fastest in an earlier trial; delete {memory} to try again"
        )
        return load(remembered, description, options, samples)
    best, seconds = _race(names, description, options, load=load, samples=samples)
    figures = ", ".join(f"{name} {seconds[name]:.3f}" for name in sorted(seconds, key=seconds.__getitem__))
    _logger.info(f"--engine auto: {best.name}; seconds of a trial run: {figures}{_hint(description)}")
    with contextlib.suppress(OutputError):  # a folder that only others may write: the next start tries again
        write_whole(memory, json.dumps({**_recall(memory), key: best.name}, indent=1).encode())
    return best


def _race(
    names: Sequence[str],
    description: DeployDescription,
    options: EngineOptions,
    *,
    load: Load,
    samples: Sequence[Floats],
) -> tuple[Engine, dict[str, float]]:
    """The fastest engine and the seconds of a run of each that could run the model."""
    best: Engine | None = None
    seconds: dict[str, float] = {}
    failures: list[Exception] = []
    image = _trial_input(description, samples)
    for name in names:
        try:
            engine = load(name, description, options, samples)
            limit = _HOPELESS * min(seconds.values(), default=float("inf"))
            seconds[name] = _time(engine, image, limit)
        except (PaddleSegError, MemoryError) as error:
            _logger.warning(f"--engine auto: without {name}: {str(error) or 'out of memory'}")
            failures.append(error)
            continue
        if best is None or seconds[name] < seconds[best.name]:
            best = engine
    if best is None:
        raise ConfigError(
            f"{description.path}: no engine can run the model; {str(failures[0]) or 'out of memory'}"
        )
    return best, seconds


def _time(engine: Engine, image: Floats, limit: float) -> float:
    """Seconds of the fastest run. The first run counts only where it is beyond the limit anyway."""
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        engine.run(image)
        times.append(time.perf_counter() - start)
        if len(times) == 2 and times[1] > limit:
            break
    return min(times[1:])


def _trial_input(description: DeployDescription, samples: Sequence[Floats]) -> Floats:
    count, channels, *fixed = description.input_shape
    size = [limit if n == -1 else n for n, limit in zip(fixed, _TRIAL_SIZE, strict=True)]
    image = np.random.default_rng(0).standard_normal((max(count, 1), channels, *size), dtype=np.float32)
    if samples:
        part = samples[0][:, :, : size[0], : size[1]]
        image[:, :, : part.shape[2], : part.shape[3]] = part
    return image


def _key(description: DeployDescription, options: EngineOptions) -> str:
    """Whatever may change which engine is fastest."""
    files = [
        file for file in (description.model, description.params, description.onnx, description.int8) if file
    ]
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    # How many images go together changes the sizes that TensorRT is built for, not which engine is fastest.
    asked = asdict(replace(options, paddle=replace(options.paddle, batch_size=1)))
    facts = [[_identity(description, file) for file in files], versions, cpu_model(), asked]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]


def _identity(description: DeployDescription, file: Path) -> str:
    known = description.checksum(file)
    if known is not None:
        return known
    status = file.stat()
    return f"{file.name} {status.st_size} {status.st_mtime_ns}"


def _recall(memory: Path) -> dict[str, str]:
    """What was found before; nothing where it cannot be read."""
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _hint(description: DeployDescription) -> str:
    if description.onnx is not None:
        return ""
    return "; export with --format all for the engines that run ONNX"
