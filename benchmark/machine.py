"""What the figures were measured on: processor, versions, and the limits that it reaches in practice."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.processes import ask_process
from paddleseg import runtime

__all__ = [
    "HERE",
    "ROOT",
    "best_products",
    "copy_bandwidth",
    "describe_machine",
    "describe_revision",
    "peer_revision",
]

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmark"
_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "numpy", "opencv-python-headless", "opencv-python")
_MEMINFO = Path("/proc/meminfo")


def describe_machine(
    settings: runtime.RuntimeSettings, *, peer: Path | None, torch_python: str | None
) -> dict[str, Any]:
    """Facts for the head of the results: hardware, load, versions, revisions."""
    versions: dict[str, str | None] = {name: found for name in _PACKAGES if (found := _version(name))}
    if torch_python is not None:
        versions["torch"] = run_command([torch_python, "-c", "import torch; print(torch.__version__)"])
    return {
        "cpu": runtime.cpu_model(),
        "cores": settings.cores,
        "threads": settings.threads,
        "settings": settings.describe(),
        "memory_gib": _total_memory(),
        "load_average_before": os.getloadavg()[0],
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": versions,
        "revision": describe_revision(ROOT),
        "peer": None if peer is None else {"name": peer.resolve().name, "revision": peer_revision(peer)},
    }


def best_products(libraries: Sequence[str], side: int, *, processes: int) -> dict[str, float]:
    """Measures the float32 matrix product with each library.

    Args:
        libraries: ``"numpy"``, ``"paddle"``, ``"onnxruntime"``, ``"openvino"``.
        side: Rows and columns.
        processes: How many processes of each library take turns.

    Returns:
        GFLOP/s of each, the best of its processes.
    """
    rates = dict.fromkeys(libraries, 0.0)
    for library in list(libraries) * processes:
        command = [sys.executable, str(HERE / "own_inference.py"), "peak"]
        told = ask_process([*command, "--library", library, "--side", str(side)])
        rates[library] = max(rates[library], told["gflops"])
    return rates


def copy_bandwidth(*, mebibytes: int, threads: int, times: int = 5) -> float:
    """Bytes a second, in GB/s, read and written by copying a large array: the best of ``times``."""
    source = np.ones((threads, mebibytes * 2**20 // 8 // threads))
    target = np.zeros_like(source)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(times):
            began = time.perf_counter()
            list(pool.map(np.copyto, target, source))
            best = max(best, 2 * source.nbytes / (time.perf_counter() - began) / 1e9)
    return best


def peer_revision(peer: Path) -> str | None:
    """The checkout's commit; None where the folder has no history of its own."""
    inside = run_command(["git", "-C", str(peer), "rev-parse", "--show-toplevel"])
    if inside is None or Path(inside).resolve() != peer.resolve():
        return None
    return describe_revision(peer)


def describe_revision(folder: Path) -> str | None:
    """The commit, with ``-dirty`` where files differ from it; None without a history."""
    return run_command(["git", "-C", str(folder), "describe", "--always", "--dirty"])


def run_command(command: Sequence[str]) -> str | None:
    """What a short command prints; None where it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _total_memory() -> float | None:
    found = re.search(r"MemTotal:\s+(\d+) kB", _MEMINFO.read_text("ascii")) if _MEMINFO.exists() else None
    return round(int(found[1]) / 2**20, 1) if found else None
