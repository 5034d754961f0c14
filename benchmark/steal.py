"""Steal time: the processor time that a hypervisor takes from this machine while a process is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["ATTEMPTS", "TOLERATED", "Counted", "least_stolen", "steal_time"]

TOLERATED = 0.03  # stolen share; a time is wrong by about as much, and smaller differences say nothing anyway
ATTEMPTS = 4  # the first and three more: a machine that is never quiet takes at most four times as long
_STAT = Path("/proc/stat")
_STEAL = 8  # place in the line "cpu user nice system idle iowait irq softirq steal"

T = TypeVar("T")


@dataclass(frozen=True)
class Counted(Generic[T]):
    """The attempt that counts, of those to measure one process.

    Attributes:
        told: Its figures.
        stolen: Share of the machine's processor time that was stolen while it ran.
        attempts: How many there were.
    """

    told: T
    stolen: float
    attempts: int

    def describe(self) -> str:
        """What a progress line adds to the time; empty where nothing was stolen."""
        if self.attempts == 1:
            return f", {self.stolen:.1%} stolen" if self.stolen else ""
        return f", {self.stolen:.1%} stolen, the least of {self.attempts} attempts"


def least_stolen(measure: Callable[[], T], *, attempts: int) -> Counted[T]:
    """Measures again while more than :data:`TOLERATED` was stolen.

    Args:
        measure: Runs one process to its end and returns its figures.
        attempts: How often at most.

    Returns:
        The attempt with the least stolen share.
    """
    best, least = _watch(measure)
    made = 1
    while least > TOLERATED and made < attempts:
        told, stolen = _watch(measure)
        made += 1
        if stolen < least:
            best, least = told, stolen
    return Counted(best, least, made)


def _watch(measure: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and the share of the processor time that was stolen meanwhile."""
    stolen, began = steal_time(), time.perf_counter()
    told = measure()
    elapsed = time.perf_counter() - began
    # The kernel's counter can go back a little.
    return told, max(0.0, steal_time() - stolen) / elapsed if elapsed > 0 else 0.0


def steal_time() -> float:
    """Seconds stolen since the machine's start, the mean of its cores; 0 where the system does not tell."""
    try:
        lines = _STAT.read_text("ascii").splitlines()
        values = next(line.split() for line in lines if line.startswith("cpu "))
        cores = sum(line.startswith("cpu") for line in lines) - 1
        return int(values[_STEAL]) / os.sysconf("SC_CLK_TCK") / cores
    except (OSError, ValueError, IndexError, StopIteration, ZeroDivisionError):
        return 0.0
