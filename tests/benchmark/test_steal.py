"""Steal time: its share from made-up /proc/stat files, measuring again, what results and table say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark import inference
from benchmark.cases import Task
from benchmark.figures import Figures, Measurement
from benchmark.program import main
from benchmark.steal import ATTEMPTS, TOLERATED, least_stolen, steal_time
from benchmark.systems import System
from benchmark.tables import make_tables

MACHINE: dict[str, Any] = {
    **{"cpu": "a processor", "cores": 2, "settings": "CPU threads: 2", "memory_gib": 4.0},
    **{"load_average_before": 0.5, "python": "3.11", "versions": {}, "revision": "abc", "peer": None},
    **{"products": {"numpy": 100.0}, "product_side": 512},
    **{"product_gflops": 100.0, "bandwidth_gbs": 10.0, "repeats": 1},
}
# Two cores; the units stolen from both come in.
STAT = "cpu  9 9 9 9 9 9 9 {} 5 5\ncpu0 1 1 1 1 1 1 1 1 5 5\ncpu1 8 8 8 8 8 8 8 8 5 5\nintr 7\n"


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc/stat of two cores, and 100 units in a second."""
    file = tmp_path / "stat"
    file.write_text(STAT.format(200))
    monkeypatch.setattr("benchmark.steal._STAT", file)
    monkeypatch.setattr("benchmark.steal.os", SimpleNamespace(sysconf={"SC_CLK_TCK": 100}.__getitem__))
    return file


@pytest.fixture
def ask(stat: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[int]], list[float]]:
    """Makes a stand-in for ``ask_process`` from how many units are stolen from each process.

    Each takes 10 s, which is 2000 units of two cores. The n-th tells n seconds; the list has those asked.
    """
    now = 0.0

    def make(stolen: Sequence[int]) -> list[float]:
        waiting, total = iter(stolen), 200
        asked: list[float] = []

        def fake(command: Sequence[str], environment: Any) -> dict[str, Any]:
            nonlocal now, total
            now += 10.0
            total += next(waiting)
            stat.write_text(STAT.format(total))
            asked.append(float(len(asked) + 1))
            if "--labels" in command:
                # Only the first is wrong.
                np.save(command[-1], np.full((1, 2), len(asked) == 1, np.int32))
            return {"seconds": asked[-1:], "peak_mib": asked[-1]}

        monkeypatch.setattr("benchmark.steal.time", SimpleNamespace(perf_counter=lambda: now))
        monkeypatch.setattr("benchmark.program.ask_process", fake)
        monkeypatch.setattr("benchmark.inference.ask_process", fake)
        return asked

    return make


def only_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the program the machine's limits and the plots."""
    monkeypatch.setattr("benchmark.program._measure_machine", lambda *_: MACHINE)
    monkeypatch.setattr("benchmark.program.need_matplotlib", lambda: None)
    monkeypatch.setattr("benchmark.program.make_plots", lambda *_: [])


def run(output: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """Measures a confusion matrix with the stand-in and returns its system's entry in results.json."""
    only_measure(monkeypatch)
    systems = [System("ours", ("python",), {})]
    monkeypatch.setattr("benchmark.program.list_systems", lambda **_: systems)
    tasks = [Task("confusion", "a matrix", "confusion", "image")]
    monkeypatch.setattr("benchmark.program.tasks_of", lambda *_, **__: tasks)
    assert main(["--cases", "confusion", "--output", str(output), *arguments]) == 0
    results = json.loads((output / "results.json").read_text("utf-8"))
    entry: dict[str, Any] = results["measurements"][0]["systems"][0]
    return entry


def test_steal_time_is_the_mean_of_the_cores(stat: Path) -> None:
    assert steal_time() == 1.0  # 200 units of 1/100 s, two cores


@pytest.mark.parametrize(
    "text",
    [
        "cpu 1 2 3 4 5 6 7\ncpu0 1 2 3 4 5 6 7\n",  # before Linux 2.6.11
        "cpu 1 2 3 4 5 6 7 many\ncpu0 1\n",
        "cpu 1 2 3 4 5 6 7 8\n",
        "intr 1\n",
        "",
        "\xff",
    ],
)
def test_a_stat_that_does_not_tell_is_no_steal(text: str, stat: Path) -> None:
    stat.write_text(text)
    assert steal_time() == 0.0


def test_without_a_stat_nothing_is_stolen(stat: Path) -> None:
    stat.unlink()
    assert steal_time() == 0.0
    counted = least_stolen(lambda: "told", attempts=4)
    assert (counted.told, counted.stolen, counted.attempts) == ("told", 0.0, 1)


# Of 2000 units in a process 60 are 3%.
@pytest.mark.parametrize(
    ("stolen", "asked", "counts", "share", "said"),
    [
        ([0], 1, 1.0, 0.0, "1 s"),
        ([-50], 1, 1.0, 0.0, "1 s"),  # the kernel's counter can go back
        ([58], 1, 1.0, 0.029, "1 s, 2.9% stolen"),
        ([61, 20], 2, 2.0, 0.01, "2 s, 1.0% stolen, the least of 2 attempts"),
        ([900, 300, 100, 500], 4, 3.0, 0.05, "3 s, 5.0% stolen, the least of 4 attempts"),
    ],
)
def test_a_process_with_much_stolen_is_measured_again_and_the_least_counts(
    stolen: list[int],
    asked: int,
    counts: float,
    share: float,
    said: str,
    ask: Callable[[Sequence[int]], list[float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = ask(stolen)
    entry = run(tmp_path / "out", monkeypatch, "--repeats", "1")
    assert len(made) == asked
    assert entry["processes"] == [[counts]]
    assert entry["stolen"] == pytest.approx([share])
    assert capsys.readouterr().err.splitlines() == [f"1/1 confusion, a matrix, ours: {said}"]


def test_each_process_has_its_own_attempts(
    ask: Callable[[Sequence[int]], list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask([200, 0, 40])
    entry = run(tmp_path / "out", monkeypatch, "--repeats", "2")
    assert (entry["processes"], entry["stolen"]) == ([[2.0], [3.0]], pytest.approx([0.0, 0.02]))


def test_the_short_form_measures_once_and_marks_the_row(
    ask: Callable[[Sequence[int]], list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ask([1000, 0])
    entry = run(tmp_path / "out", monkeypatch, "--short")
    assert (made, entry["stolen"]) == ([1.0], [0.5])
    table = (tmp_path / "out/table.md").read_text("utf-8")
    assert "| image: 1.00 s* |" in table


def test_inference_measures_again_and_its_worst_labels_count(
    ask: Callable[[Sequence[int]], list[float]], tmp_path: Path
) -> None:
    ask([400, 0])
    labels = tmp_path / "got.npy"
    system = inference.System("ours", ["python", "--labels", str(labels)], {})
    outcome = inference.run_once(system, labels, np.zeros((1, 2), np.int32), attempts=2)
    assert outcome == "2.00 s, 0.0% stolen, the least of 2 attempts"
    assert (system.seconds, system.peak_mib, system.stolen) == ([2.0], [2.0], [0.0])
    assert len(system.process_seconds) == 1
    assert system.equal_labels == 0.0  # the first process's, though the second counts


@pytest.mark.parametrize(("short", "attempts"), [(True, 1), (False, ATTEMPTS)])
def test_inference_s_shares_are_kept(
    short: bool, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure_case(case: Any, scratch: Path, args: Any, threads: int) -> tuple[list[inference.System], int]:
        assert args.attempts == attempts
        return [inference.System("ours", [], {}, True, [1.0], [2.0], [3.0], stolen=[0.02])], 10**9

    monkeypatch.setattr(inference, "measure_case", measure_case)
    monkeypatch.setattr("benchmark.program._check_engines", lambda args: setattr(args, "engines", []))
    flags = ["--cases", "inference", *(["--short"] if short else [])]
    only_measure(monkeypatch)
    assert main([*flags, "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert results["measurements"][0]["systems"][0]["stolen"] == [0.02]


@pytest.mark.parametrize(
    ("shares", "greatest", "marked"),
    [
        ([], "0.0%", []),
        ([[0.0, TOLERATED], [0.01]], "3.0%", []),
        ([[0.0, 0.0], [0.01, 0.125]], "12.5%", ["b"]),
    ],
)
def test_the_table_tells_the_greatest_share_and_marks_its_rows(
    shares: list[list[float]], greatest: str, marked: list[str]
) -> None:
    figures = [
        Figures(name, [[1.0], [1.0]], stolen=stolen) for name, stolen in zip("ab", shares, strict=False)
    ]
    measurement = Measurement(Task("loss", "a loss", "loss", "call"), None, figures)
    head, _, table = make_tables(MACHINE, [measurement]).partition("## loss")
    assert f"the hypervisor took at most {greatest} of the machine's processor time (steal)." in head
    assert ("`*`: from a process of this row it took more than 3%" in head) == bool(marked)
    starred = [line.split(" | ")[1] for line in table.splitlines() if "call: 1.00 s* |" in line]
    assert starred == marked


@pytest.mark.parametrize(("flags", "attempts"), [(["--quick"], 1), ([], ATTEMPTS)])
def test_inference_alone_measures_again_unless_it_is_quick(
    flags: list[str], attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["inference.py", *flags])
    assert inference.parse().attempts == attempts
