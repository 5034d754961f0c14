"""What was measured: the figures of each system on each task, and the numbers made of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from benchmark.cases import Task
from benchmark.systems import OURS, SHIPPED, TUNED

__all__ = ["Figures", "Measurement"]


@dataclass
class Figures:
    """One system on one task.

    Attributes:
        system: Its name.
        processes: The seconds of one unit, as each process told them.
        extra_mib: Memory beyond that after the set-up, of each process; a process may not know it.
        peak_mib: All memory, of each process.
        stolen: Share of the machine's processor time that the hypervisor took while it ran, of each process.
        result: A number that the systems should agree on; None where there is none.
        error: Why it could not be measured; None where it was.
    """

    system: str
    processes: list[list[float]] = field(default_factory=list)
    extra_mib: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    stolen: list[float] = field(default_factory=list)
    result: float | None = None
    error: str | None = None

    def add(self, told: dict[str, Any], *, stolen: float) -> None:
        """Adds what one process told, and the share that was stolen from it."""
        self.processes.append(told["seconds"])
        self.stolen.append(stolen)
        for name in ("extra_mib", "peak_mib"):
            if told.get(name) is not None:
                getattr(self, name).append(told[name])
        self.result = told.get("result")

    @property
    def medians(self) -> list[float]:
        """Median seconds of each process."""
        return [statistics.median(one) for one in self.processes]

    @property
    def seconds(self) -> float:
        """Median over the processes."""
        return statistics.median(self.medians)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        given = dict(vars(self))
        if self.processes:
            spread = {"median": self.seconds, "min": min(self.medians), "max": max(self.medians)}
            given["seconds"] = spread
        return given


@dataclass
class Measurement:
    """One task with the figures of its systems."""

    task: Task
    flops: float | None
    figures: list[Figures] = field(default_factory=list)

    def of(self, system: str) -> Figures | None:
        """The figures of a system; None where it has none."""
        found = [one for one in self.figures if one.system == system and one.processes]
        return found[0] if found else None

    def times_as_fast(self, figures: Figures, base: str) -> float | None:
        """How many times as fast as another system of the same run; None where that was not measured."""
        other = self.of(base)
        return None if other is None else other.seconds / figures.seconds

    def gflops(self, figures: Figures) -> float | None:
        """GFLOP/s; None where the operations are not counted."""
        return None if self.flops is None else self.flops / figures.seconds / 1e9

    def gigabytes(self, figures: Figures) -> float | None:
        """GB/s of what must be read and written at least; None where that is not counted."""
        least = self.task.least_bytes
        return None if least is None else least / figures.seconds / 1e9

    def agreement(self, figures: Figures) -> float | None:
        """Relative difference of its result from the project's own."""
        own = self.of(OURS)
        if own is None or own.result is None or figures.result is None:
            return None
        return abs(figures.result - own.result) / max(abs(own.result), 1e-12)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        entries = []
        for one in self.figures:
            entry = one.as_dict()
            if one.processes:
                entry["gflops"] = self.gflops(one)
                entry["gigabytes_per_second"] = self.gigabytes(one)
                entry["times_as_fast_as_shipped"] = self.times_as_fast(one, SHIPPED)
                entry["times_as_fast_as_same_settings"] = self.times_as_fast(one, TUNED)
                entry["relative_difference_of_result"] = self.agreement(one)
            entries.append(entry)
        point = vars(self.task.point) if self.task.point else None
        described = {"case": self.task.case, "title": self.task.title, "unit": self.task.unit}
        parameters = dict(self.task.parameters)
        return {
            **described,
            "parameters": parameters,
            "flops": self.flops,
            "point": point,
            "systems": entries,
        }
