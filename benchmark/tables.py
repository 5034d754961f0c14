"""The results as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from benchmark.figures import Figures, Measurement
from benchmark.steal import TOLERATED
from benchmark.systems import SHIPPED, TUNED

__all__ = ["make_tables"]

_COLUMNS = (
    *("System", "time of a", "min – max", "× as shipped", "× same settings", "GFLOP/s", "of the product"),
    *("of the copy", "extra MiB", "peak MiB", "result differs by"),
)


def make_tables(machine: dict[str, Any], measurements: Sequence[Measurement]) -> str:
    """Returns the text: what it was measured on, then one table a case."""
    parts = [_head(machine, measurements)]
    for case, group in groupby(measurements, key=lambda one: one.task.case):
        parts.append(f"## {case}\n\n" + "\n".join(_rows(list(group), machine)))
    return "\n\n".join(parts) + "\n"


def _head(machine: dict[str, Any], measurements: Sequence[Measurement]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    peer = machine["peer"]
    beside = f"; peer: {peer['name']} {peer['revision'] or '(no revision)'}" if peer else ""
    products = ", ".join(f"{name} {rate:.0f}" for name, rate in machine["products"].items())
    return "\n".join(
        [
            "# Benchmark",
            "",
            f"{machine['cpu']}, {machine['cores']} cores; {machine['settings']}; "
            f"{machine['memory_gib']} GiB; load average before: {machine['load_average_before']:.1f}.",
            f"Python {machine['python']}, {versions}; revision {machine['revision']}{beside}.",
            f"Float32 matrix product of {machine['product_side']}², GFLOP/s: {products}. "
            f"Copy of a large array: {machine['bandwidth_gbs']:.1f} GB/s.",
            f"Fresh processes of each system took turns, {machine['repeats']} times: the time is the median "
            "of theirs, the spread their least and greatest. Extra memory is what one took after its set-up.",
            "The share of the copy is that of the bytes which a unit must read and write at least.",
            *_steal(measurements),
        ]
    )


def _steal(measurements: Sequence[Measurement]) -> Iterable[str]:
    shares = [share for one in measurements for figures in one.figures for share in figures.stolen]
    greatest = max(shares, default=0)
    yield (
        "While a process that counts ran, the hypervisor took at most "
        f"{greatest:.1%} of the machine's processor time (steal)."
    )
    if greatest > TOLERATED:
        yield f"`*`: from a process of this row it took more than {TOLERATED:.0%}, in every attempt."


def _rows(group: list[Measurement], machine: dict[str, Any]) -> Iterable[str]:
    yield f"| What | {' | '.join(_COLUMNS)} |"
    yield "|---|---|" + "---:|" * (len(_COLUMNS) - 1)
    for measurement in group:
        title = measurement.task.title
        for figures in measurement.figures:
            cells = _cells(measurement, figures, machine)
            yield f"| {title} | {' | '.join([figures.system, *cells])} |"
            title = ""


def _cells(measurement: Measurement, figures: Figures, machine: dict[str, Any]) -> list[str]:
    if not figures.processes:
        reason = (figures.error or "not measured").strip().splitlines()[-1][:120].replace("|", "/")
        return [f"failed: {reason}", *["–"] * (len(_COLUMNS) - 2)]
    rate, moved = measurement.gflops(figures), measurement.gigabytes(figures)
    differs = measurement.agreement(figures)
    mark = "*" if max(figures.stolen, default=0) > TOLERATED else ""
    return [
        f"{measurement.task.unit}: {_seconds(figures.seconds)}{mark}",
        f"{_seconds(min(figures.medians))} – {_seconds(max(figures.medians))}",
        _number(measurement.times_as_fast(figures, SHIPPED), ".2f"),
        _number(measurement.times_as_fast(figures, TUNED), ".2f"),
        _number(rate, ".0f"),
        _number(rate and rate / machine["product_gflops"], ".0%"),
        _number(moved and moved / machine["bandwidth_gbs"], ".0%"),
        _number(max(figures.extra_mib, default=None), ".0f"),
        _number(max(figures.peak_mib, default=None), ".0f"),
        _number(differs, ".1e"),
    ]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _number(value: float | None, style: str) -> str:
    return "–" if value is None else format(value, style)
