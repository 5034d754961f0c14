"""``--benchmark``: how long each part of the work takes."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

__all__ = ["Stopwatch"]

_STAGES = ("preprocess", "inference", "postprocess")


class Stopwatch:
    """Collects the times of stages, from several threads, and of the whole."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(list)
        self._start = time.perf_counter()

    def restart(self) -> None:
        """Begins the whole anew, after the warm-up."""
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def stage(self, name: str, *, images: int = 1) -> Iterator[None]:
        """Times a stage.

        Args:
            name: ``"preprocess"``, ``"inference"`` or ``"postprocess"``.
            images: How many went through it together.
        """
        start = time.perf_counter()
        yield
        self._times[name] += [(time.perf_counter() - start) / images] * images

    def report(self) -> list[str]:
        """Returns lines: the median milliseconds of each stage, images a second of the whole, peak memory."""
        seconds = time.perf_counter() - self._start
        images = len(self._times["inference"])
        medians = [1000 * float(np.median(self._times[name] or [0.0])) for name in _STAGES]
        stages = ", ".join(f"{name}_time(ms): {ms:.2f}" for name, ms in zip(_STAGES, medians, strict=True))
        return [
            stages,
            f"images: {images}, images_per_second: {images / seconds:.3f}, total_time(s): {seconds:.3f}",
            f"peak_memory(MB): {_peak_memory_mb():.0f}",
        ]


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
