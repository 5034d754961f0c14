"""What every measured process shares: time calls, take its memory, hand the figures back as a line of JSON.

It imports neither a framework nor the toolkit, so that a process pays only for the system that it measures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from family import descendants, memory_of

__all__ = ["Memory", "add_measuring_flags", "measure", "peak_memory", "report", "run_task", "time_calls"]

Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
Task = Callable[[dict[str, Any]], None]

_CLEAR = Path("/proc/self/clear_refs")


def run_task(tasks: dict[str, Task], description: str) -> None:
    """The command line of a measured process: ``PROGRAM TASK PARAMETERS``, the latter in JSON.

    Args:
        tasks: Functions by name; each is given the parameters and prints one line of JSON.
        description: What ``--help`` says.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("task", choices=sorted(tasks))
    parser.add_argument("parameters", type=json.loads)
    args = parser.parse_args()
    tasks[args.task](args.parameters)


def time_calls(call: Callable[[], Any], *, times: int, warm_up: int = 1) -> list[float]:
    """Seconds of each of ``times`` calls, after ``warm_up`` that are not timed."""
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


class Memory:
    """What a process uses beyond what it had after its set-up, in MiB.

    Make it when the set-up is done: Linux then starts a new peak (``clear_refs``), so that a set-up that
    needed more does not hide what follows.
    """

    def __init__(self) -> None:
        self._before = peak_memory()
        with contextlib.suppress(OSError):  # without leave to write there, the old peak goes on
            _CLEAR.write_text("5", encoding="ascii")
        self._base = memory_of(os.getpid(), "VmRSS")
        self._workers = 0.0

    def add_workers(self) -> None:
        """Counts the processes that this one has started: what each has now and shares with no other."""
        names = ("Private_Clean", "Private_Dirty")
        now = sum(memory_of(pid, *names, file="smaps_rollup") for pid in descendants(os.getpid()))
        self._workers = max(self._workers, now)

    @property
    def extra(self) -> float:
        return max(0.0, peak_memory() - self._base) + self._workers

    @property
    def peak(self) -> float:
        return max(self._before, peak_memory()) + self._workers


def peak_memory() -> float:
    """MiB that this process has had resident at most."""
    return memory_of(os.getpid(), "VmHWM")


def report(seconds: Iterable[float], memory: Memory, *, result: float | None = None) -> None:
    """Prints the line that the parent reads.

    Args:
        seconds: Of one sample, image, step or call each.
        memory: Made after the set-up.
        result: A number that all systems should agree on: a loss, an mIoU, a sum.
    """
    figures = {"seconds": list(seconds), "extra_mib": memory.extra, "peak_mib": memory.peak}
    print(json.dumps({**figures, "result": result}))


def add_measuring_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that :func:`measure` reads."""
    parser.add_argument("--image", type=Path, required=True, help=".npy file: 1×3×H×W float32")
    parser.add_argument("--labels", type=Path, required=True, help=".npy file to write: 1×H×W class ids")
    parser.add_argument("--images", type=int, default=1, help="how often the image is timed after warm-up")


def measure(predict: Predict, args: argparse.Namespace) -> None:
    """Runs a network once to warm up, then times it; prints one line of JSON and writes its labels.

    Args:
        predict: 1×3×H×W float32 → 1×H×W class ids.
        args: Parsed flags of :func:`add_measuring_flags`.
    """
    image = np.load(args.image)
    memory = Memory()
    labels: list[npt.NDArray[Any]] = []
    seconds = time_calls(lambda: labels.append(predict(image)), times=args.images)
    np.save(args.labels, labels[-1].astype(np.int32))
    report(seconds, memory)
