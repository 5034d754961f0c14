"""python -m benchmark: its arithmetic by hand, a short run of it, what it refuses, and a peer's stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.cases import CASES, Point, Task, tasks_of
from benchmark.figures import Figures, Measurement
from benchmark.machine import copy_bandwidth, describe_revision, peer_revision
from benchmark.plots import make_plots
from benchmark.processes import ask_process
from benchmark.program import main
from benchmark.systems import SETTINGS, environments, list_systems
from benchmark.tables import make_tables

ROOT = Path(__file__).resolve().parents[2]
MACHINE: dict[str, Any] = {
    **{"cpu": "a processor", "cores": 2, "settings": "CPU threads: 2", "memory_gib": 4.0},
    **{"load_average_before": 0.5, "python": "3.11", "versions": {"numpy": "2.4"}, "revision": "abc"},
    **{"peer": {"name": "peer", "revision": "def"}, "products": {"numpy": 100.0}, "product_side": 512},
    **{"product_gflops": 100.0, "bandwidth_gbs": 10.0, "repeats": 2},
}


def measured(*, x: float = 4.0) -> Measurement:
    """A step of 50 GFLOP: the peer takes 4 s (medians 3 and 5), we 1 s."""
    task = Task("step", "a network", "step", "step", {"batch": 2}, 50e9, Point("sizes", "pixels", x))
    shipped = Figures("peer as shipped", [[3.0, 3.0, 90.0], [5.0]], [200.0], [400.0, 500.0], result=4.0)
    own = Figures("ours", [[1.0], [1.0]], [100.0, 110.0], [300.0], result=4.4)
    broken = Figures("PyTorch", error="Traceback\nValueError: no | such thing")
    return Measurement(task, 50e9, [shipped, own, broken])


def cells(table: str, system: str) -> list[str]:
    line = next(one for one in table.splitlines() if f"| {system} |" in one)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_rates_and_spreads_are_those_worked_out_by_hand() -> None:
    table = make_tables(MACHINE, [measured()])
    # 50 GFLOP in 4 s = 12.5 GFLOP/s, 12.5% of 100; results 4.0 and 4.4 differ by 0.4 / 4.4 = 0.0909
    shipped = [
        "a network",
        "peer as shipped",
        "step: 4.00 s",
        "3.00 s – 5.00 s",
        "1.00",
        "–",
        "12",
        "12%",
        "–",
    ]
    assert cells(table, "peer as shipped") == [*shipped, "200", "500", "9.1e-02"]
    own = [
        "",
        "ours",
        "step: 1.00 s",
        "1.00 s – 1.00 s",
        "4.00",
        "–",
        "50",
        "50%",
        "–",
        "110",
        "300",
        "0.0e+00",
    ]
    assert cells(table, "ours") == own
    assert cells(table, "PyTorch")[2] == "failed: ValueError: no / such thing"
    assert "peer: peer def" in table
    # 5 GB in 1 s are half of 10 GB/s
    half = Measurement(
        Task("loss", "a loss", "loss", "call", least_bytes=5e9), None, [Figures("ours", [[1.0]])]
    )
    assert cells(make_tables(MACHINE, [half]), "ours")[6:9] == ["–", "–", "50%"]
    assert half.as_dict()["systems"][0]["gigabytes_per_second"] == 5.0
    entry = measured().as_dict()["systems"][0]
    assert (entry["seconds"], entry["gflops"]) == ({"median": 4.0, "min": 3.0, "max": 5.0}, 12.5)
    assert entry["times_as_fast_as_same_settings"] is None


def test_each_plot_has_a_file_and_leaves_out_what_failed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = make_plots([measured(x=4.0), measured(x=400.0)], tmp_path)
    assert files == [tmp_path / "sizes.png"]
    assert files[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("short", [True, False])
def test_every_case_has_tasks_that_a_program_knows(short: bool) -> None:
    programs = (ROOT / "benchmark/own_tasks.py").read_text("utf-8")
    for case in CASES:
        tasks = tasks_of(case, short=short)
        assert tasks
        for task in tasks:
            assert task.case == case
            assert task.program == "scaling" or f'"{task.program}": {task.program},' in programs
            json.dumps(dict(task.parameters))


def test_attention_s_operations_are_those_of_a_count_by_hand() -> None:
    task = tasks_of("attention", short=True)[0]
    # 9 × 17 pixels, 64 channels. Projections: 64×64 + 2×64×8 a pixel; 26 logits of 8 and 26 sums of 64.
    forward = 2 * 9 * 17 * (64 * 64 + 2 * 64 * 8 + 26 * 8 + 26 * 64)
    assert task.flops == 3 * forward


def test_least_bytes_are_those_of_a_count_by_hand() -> None:
    least = {case: tasks_of(case, short=True)[0].least_bytes for case in CASES}
    # Two float32 logits of 2×19×64×64, read forward and backward, and gradients; labels of 8 bytes once.
    assert least["loss"] == 2 * 3 * 4 * 2 * 19 * 64 * 64 + 8 * 2 * 64 * 64
    assert least["confusion"] == 64 * 128 * (1 + 4)  # a byte predicted, an int32 true
    # 600: windows of 512 at 0 and 88, two by two; 19 float32 scores a pixel written and read; the picture's
    # three bytes and a label's byte.
    assert least["windows"] == 2 * 4 * 19 * 4 * 512 * 512 + 4 * 600 * 600
    assert least["reader"] == 2 * 4 * 33 * 33  # three bytes a pixel and a label's, read and written
    assert least["step"] is None


def test_as_shipped_has_none_of_the_settings_and_same_settings_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OTHER", "kept")
    shipped, tuned = environments()
    assert not set(SETTINGS) & set(shipped)
    assert [tuned[name] for name in SETTINGS] == ["7"] * len(SETTINGS)
    assert shipped["OTHER"] == "kept"


def test_ours_has_the_same_settings_as_the_tuned_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    systems = {one.name: one for one in list_systems(peer=ROOT, torch_python=None, threads=1)}
    reading, ranks = tasks_of("reader", short=True)[0], tasks_of("scaling", short=True)[0]
    for name in ("peer, same settings", "ours", "ours, from a pack"):
        assert systems[name].environment_for(reading)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in systems["ours"].environment_for(ranks)  # which share the cores
    assert "OMP_NUM_THREADS" not in systems["peer as shipped"].environment_for(reading)


def test_a_system_adds_its_parameters_and_leaves_out_what_it_cannot_do() -> None:
    systems = list_systems(peer=ROOT, torch_python="python", threads=3)
    reading = Task("reader", "r", "reader", "sample", {"data": "d", "pack": "p"})
    alone = Task("windows", "w", "windows", "image", own_only=True)
    able = [one.name for one in systems if one.does(reading)]
    assert able == ["peer as shipped", "peer, same settings", "ours", "ours, from a pack"]
    assert [one.name for one in systems if one.does(alone)] == ["ours"]
    packed = next(one for one in systems if one.name == "ours, from a pack")
    given = json.loads(packed.command_for(reading, {"data": "d", "pack": "p"})[-1])
    assert given["overrides"] == ["train_dataset.pack=p"]
    torch = next(one for one in systems if one.name == "PyTorch")
    assert json.loads(torch.command_for(reading, {})[-1]) == {"threads": 3}


def test_changed_files_mark_the_revision(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    clean = describe_revision(tmp_path)
    assert clean is not None
    assert not clean.endswith("-dirty")
    (tmp_path / "file").write_text("2")
    assert describe_revision(tmp_path) == peer_revision(tmp_path) == f"{clean}-dirty"


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Some packages are not installed; the others are."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else name)


def test_inference_without_its_exporter_is_refused_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured_cases: list[str] = []
    monkeypatch.setattr("benchmark.program._measure_machine", lambda *_: MACHINE)
    monkeypatch.setattr("benchmark.program._measure_case", lambda case, *_: measured_cases.append(case) or [])
    without(monkeypatch, "paddle2onnx")
    assert main(["--cases", "loss,inference", "--output", str(tmp_path)]) == 2
    assert "--cases inference: it exports its network with paddle2onnx" in capsys.readouterr().err
    assert measured_cases == []
    assert main(["--cases", "all", "--output", str(tmp_path)]) == 0
    assert measured_cases == list(CASES)
    assert "inference is left out" in capsys.readouterr().err


def test_an_engine_that_is_not_installed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted: list[list[str]] = []

    def keep(case: str, args: Any, threads: int) -> list[Any]:
        wanted.append(args.engines)
        return []

    monkeypatch.setattr("benchmark.program._measure_machine", lambda *_: MACHINE)
    monkeypatch.setattr("benchmark.program._measure_case", keep)
    without(monkeypatch, "openvino")
    assert main(["--cases", "inference", "--output", str(tmp_path)]) == 0
    assert wanted == [["paddle", "onnxruntime"]]
    assert "inference with openvino is left out: it is not installed" in capsys.readouterr().err


def test_copying_counts_what_is_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("benchmark.machine.time.perf_counter", lambda: float(next(clock)))
    # 16 MiB read and 16 MiB written in one second
    assert copy_bandwidth(mebibytes=16, threads=2, times=2) == 2 * 16 * 2**20 / 1e9


def test_a_folder_without_history_has_no_revision_of_its_own(tmp_path: Path) -> None:
    assert peer_revision(tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "reder"], "did you mean 'reader'"),
        (["--cases", ","], "names no case"),
        (["--peer", "{folder}"], "expected a checkout of CCNet_paddle or PaddleSeg"),
        (["--torch_python", "{folder}/python"], "not a Python that imports torch"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    wanted = [one.format(folder=tmp_path) for one in arguments]
    assert main([*wanted, "--output", str(output)]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not output.exists()


def test_without_matplotlib_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--short", "--output", str(tmp_path / "output")]) == 2
    assert "paddleseg-ccnet[benchmark]" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.slow
def test_a_short_run_leaves_json_table_and_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "benchmark", "--short", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert list(results) == ["schema", "command", "date", "machine", "measurements"]
    assert {one["case"] for one in results["measurements"]} == set(CASES)
    assert min(results["machine"][name] for name in ("product_gflops", "bandwidth_gbs", "cores")) > 0
    for measurement in results["measurements"]:
        for system in measurement["systems"]:
            assert system["seconds"]["min"] > 0
            assert system["peak_mib"][0] > 0
    table = (tmp_path / "table.md").read_text("utf-8")
    assert all(f"## {case}" in table for case in CASES)
    plots = {"attention.png", "ranks.png", "windows.png", "workers.png"}
    assert {file.name for file in tmp_path.glob("*.png")} == plots


def run_peer_task(task: str, parameters: dict[str, Any]) -> dict[str, Any]:
    program = str(ROOT / "benchmark/peer_tasks.py")
    return ask_process([sys.executable, program, task, json.dumps(parameters)])


@pytest.mark.slow
def test_a_peer_written_for_an_older_paddle_is_entered_with_shims(tmp_path: Path) -> None:
    """A stand-in whose counting indexes a 0-D tensor, joins scalars and adds an integer to a float."""
    package = tmp_path / "paddleseg"
    for folder in ("utils", "datasets"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").write_text("raise ImportError('a missing module')\n")
    (package / "datasets/dataset.py").write_text("class Dataset: pass\n")
    for name in ("logger", "progbar"):
        (package / f"utils/{name}.py").write_text("")
    (package / "utils/timer.py").write_text("TimeAverager = calculate_eta = None\n")
    (package / "utils/metrics.py").write_text(
        "import numpy as np\nimport paddle\n"
        "def calculate_area(pred, label, num_classes, ignore_index=255):\n"
        "    hits = paddle.sum(paddle.cast((pred[:, 0].astype('int64') == label) & (label < 255), 'int32'))\n"
        "    both = paddle.to_tensor([0.5, 1.5]) + hits.reshape([1]) * 2\n"
        "    assert both[1].numpy()[0] == 1.5 + 2 * int(hits) and np.int is int\n"
        "    return paddle.concat([hits, hits - hits]), None, None\n"
    )
    told = run_peer_task("confusion", {"peer": str(tmp_path), "size": [32, 48], "times": 2})
    sys.path.insert(0, str(ROOT / "benchmark"))
    try:
        from task_inputs import label_pair
    finally:
        sys.path.remove(str(ROOT / "benchmark"))
    prediction, label = label_pair([32, 48])
    assert told["result"] == np.sum((prediction == label) & (label != 255))
    assert len(told["seconds"]) == 2
