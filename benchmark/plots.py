"""The results as pictures: time and memory against size, batch, workers and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.figures import Figures, Measurement
from paddleseg.errors import UsageError

__all__ = ["make_plots", "need_matplotlib"]

_WIDE = 10  # from the least to the greatest size, above which an axis is logarithmic


def need_matplotlib() -> Any:
    """Returns ``matplotlib.pyplot``, set to draw without a screen.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise UsageError(
            "the benchmark draws its plots with matplotlib, which is not installed; "
            "install it with `pip install 'paddleseg-ccnet[benchmark]'`"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def make_plots(measurements: Sequence[Measurement], folder: Path) -> list[Path]:
    """Draws one picture for each plot that the tasks name, with a line for each system.

    Args:
        measurements: What was measured.
        folder: Where the ``.png`` files go.

    Returns:
        The files.
    """
    pyplot = need_matplotlib()
    names = list(dict.fromkeys(one.task.point.plot for one in measurements if one.task.point))
    files = []
    for name in names:
        group = [one for one in measurements if one.task.point and one.task.point.plot == name]
        file = folder / f"{name}.png"
        _draw(pyplot, group, file)
        files.append(file)
    return files


def _draw(pyplot: Any, group: list[Measurement], file: Path) -> None:
    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for system in dict.fromkeys(one.system for measurement in group for one in measurement.figures):
        for axes, value in ((times, _time), (memory, _memory)):
            points = sorted(
                (measurement.task.point.x, found)
                for measurement in group
                if measurement.task.point
                and (figures := measurement.of(system)) is not None
                and (found := value(figures)) is not None
            )
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=system)
    first = group[0].task
    assert first.point is not None
    for axes, label in ((times, f"seconds a {first.unit}"), (memory, "memory, MiB")):
        _finish(axes, first.point.axis, label, [one.task.point.x for one in group if one.task.point])
    figure.suptitle(f"{first.case}: {first.unit}s")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _finish(axes: Any, x_label: str, y_label: str, places: list[float]) -> None:
    if min(places) > 0 and max(places) > _WIDE * min(places):
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()


def _time(figures: Figures) -> float | None:
    return figures.seconds


def _memory(figures: Figures) -> float | None:
    """Beyond the set-up where that is known, else all of it."""
    return max(figures.extra_mib or figures.peak_mib, default=None)
