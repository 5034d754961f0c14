"""The program of ``python -m benchmark``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import inference
from benchmark.cases import CASES, NETWORK_CASES, Task, tasks_of
from benchmark.figures import Figures, Measurement
from benchmark.machine import best_products, copy_bandwidth, describe_machine, run_command
from benchmark.peer_entry import MARK
from benchmark.plots import make_plots, need_matplotlib
from benchmark.processes import ProcessError, ask_process
from benchmark.steal import ATTEMPTS, least_stolen
from benchmark.systems import System, list_systems
from benchmark.tables import make_tables
from benchmark.workspace import Workspace
from paddleseg import runtime
from paddleseg.cli.common import EXIT_FAILED, EXIT_OK, run_program
from paddleseg.cli.flags import positive_int
from paddleseg.errors import UsageError, did_you_mean
from paddleseg.files import write_whole

__all__ = ["main"]

SCHEMA = 1
ALL = (*CASES, *NETWORK_CASES)
_EXPORTER = "paddle2onnx"
_ENGINES = ("paddle", "onnxruntime", "openvino")
_HELP = """Measures reader, attention, loss, training step, confusion matrix, evaluation, sliding window,
ranks and inference: the project alone, or beside a checkout of CCNet_paddle or PaddleSeg and PyTorch.

    python -m benchmark --cases attention,step --peer CCNET_PADDLE --torch_python PYTHON --output DIR

Every figure comes from fresh processes, which take turns. "As shipped" is the checkout with nothing in the
environment, "same settings" with the threads and the math-library path that this project sets. A process from
which the hypervisor steals time is measured again, unless --short. DIR gets results.json, table.md and plots;
data sets and weights stay in DIR/work for the next run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        argv: Arguments without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when everything was measured, 1 when a part of it failed, 2 after a wrong request.
    """
    return run_program(_main, argv)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default="all", help=f"all, or of {','.join(ALL)}")
    parser.add_argument("--short", action="store_true", help="tiny sizes, one process: does everything work?")
    parser.add_argument("--peer", type=Path, help="checkout of CCNet_paddle or PaddleSeg")
    parser.add_argument("--torch_python", help="Python with PyTorch")
    parser.add_argument("--repeats", type=positive_int, default=3, help="processes of each system")
    parser.add_argument("--output", type=Path, default=Path("output/benchmark"), help="folder for results")
    args = parser.parse_args(argv)
    args.attempts = 1 if args.short else ATTEMPTS
    args.all_cases = args.cases.strip() == "all"
    args.cases = _chosen(args.cases, short=args.short)
    return args


def _chosen(names: str, *, short: bool) -> list[str]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if chosen == ["all"]:
        return list(CASES if short else ALL)  # exporting a network takes too long for the short form
    for name in chosen:
        if name not in ALL:
            known = ", ".join(ALL)
            raise UsageError(
                f"--cases {name}: no such case{did_you_mean(name, ALL)}; expected all, or of {known}"
            )
    if not chosen:
        raise UsageError(f"--cases: names no case; expected all, or of {', '.join(ALL)}")
    return list(dict.fromkeys(chosen))


def _check(args: argparse.Namespace) -> None:
    """Refuses what would fail after minutes of measuring."""
    if args.peer is not None and not (args.peer / MARK).is_file():
        raise UsageError(f"--peer {args.peer}: expected a checkout of CCNet_paddle or PaddleSeg, with {MARK}")
    python = args.torch_python
    if python is not None and run_command([python, "-c", "import torch, numpy; print(1)"]) is None:
        raise UsageError(f"--torch_python {python}: not a Python that imports torch and numpy")
    need_matplotlib()
    _check_engines(args)


def _check_engines(args: argparse.Namespace) -> None:
    """Leaves out the engines that are not installed; and inference where the network cannot be exported."""
    args.engines = [name for name in _ENGINES if importlib.util.find_spec(name) is not None]
    if not set(args.cases) & set(NETWORK_CASES):
        return
    if importlib.util.find_spec(_EXPORTER) is None:
        how = f"it exports its network with {_EXPORTER}, which is not installed: `pip install {_EXPORTER}`"
        if not args.all_cases:
            raise UsageError(f"--cases inference: {how}, or name other cases")
        args.cases = [name for name in args.cases if name not in NETWORK_CASES]
        print(f"inference is left out: {how}", file=sys.stderr)
        return
    for name in _ENGINES:
        if name not in args.engines:
            print(f"inference with {name} is left out: it is not installed", file=sys.stderr)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    _check(args)
    settings = runtime.configure()
    machine = _measure_machine(args, settings)
    measurements: list[Measurement] = []
    for case in args.cases:
        for measurement in _measure_case(case, args, settings.threads):
            measurements.append(measurement)
            _write_json(args, argv, machine, measurements)
    table = make_tables(machine, measurements)
    write_whole(args.output / "table.md", table.encode())
    make_plots(measurements, args.output)
    print(table)
    failed = [one for measurement in measurements for one in measurement.figures if one.error]
    for one in failed:
        print(f"failed: {one.system}: {one.error}", file=sys.stderr)
    return EXIT_FAILED if failed else EXIT_OK


def _measure_machine(args: argparse.Namespace, settings: runtime.RuntimeSettings) -> dict[str, Any]:
    machine = describe_machine(settings, peer=args.peer, torch_python=args.torch_python)
    side, mebibytes = (512, 16) if args.short else (4096, 1024)
    libraries = ("numpy",) if args.short else ("numpy", "paddle")
    products = best_products(libraries, side, processes=1 if args.short else 2)
    limits = {"products": products, "product_side": side, "product_gflops": max(products.values())}
    bandwidth = copy_bandwidth(mebibytes=mebibytes, threads=settings.threads)
    repeats = 1 if args.short else args.repeats
    return {**machine, **limits, "bandwidth_gbs": bandwidth, "repeats": repeats}


def _measure_case(case: str, args: argparse.Namespace, threads: int) -> list[Measurement]:
    repeats = 1 if args.short else args.repeats
    if case in NETWORK_CASES:
        return _measure_inference(args, threads, repeats)
    systems = list_systems(peer=args.peer, torch_python=args.torch_python, threads=threads)
    workspace = Workspace(args.output / "work", pictures=(4, 2) if args.short else (8, 4))
    tasks = tasks_of(case, short=args.short)
    return [_measure(task, systems, workspace, repeats, attempts=args.attempts) for task in tasks]


def _measure(
    task: Task, systems: Sequence[System], workspace: Workspace, repeats: int, *, attempts: int
) -> Measurement:
    """Measures one task: the systems take turns; one that fails is left out from then on."""
    able = [system for system in systems if system.does(task)]
    figures = {system.name: Figures(system.name) for system in able}
    flops = task.flops
    try:
        parameters, flops = workspace.parameters_of(task)
    except ProcessError as error:
        for one in figures.values():
            one.error = str(error)
        return Measurement(task, flops, list(figures.values()))
    for repeat in range(repeats):
        for system in able:
            one = figures[system.name]
            if one.error is None:
                outcome = _measure_once(system, task, parameters, one, attempts=attempts)
                what = f"{repeat + 1}/{repeats} {task.case}, {task.title}, {system.name}"
                print(f"{what}: {outcome}", file=sys.stderr, flush=True)
    return Measurement(task, flops, list(figures.values()))


def _measure_once(
    system: System, task: Task, parameters: dict[str, Any], figures: Figures, *, attempts: int
) -> str:
    """Measures one process, again where much was stolen. Returns what the progress line says of it."""
    command, environment = system.command_for(task, parameters), system.environment_for(task)
    try:
        counted = least_stolen(lambda: ask_process(command, environment), attempts=attempts)
    except ProcessError as error:
        figures.error = str(error)
        return "failed"
    figures.add(counted.told, stolen=counted.stolen)
    return f"{figures.medians[-1]:.4g} s{counted.describe()}"


def _measure_inference(args: argparse.Namespace, threads: int, repeats: int) -> list[Measurement]:
    """The networks of ``benchmark/inference.py``: exported, and the peer's and PyTorch's."""
    cases = [inference.QUICK] if args.short else list(inference.CASES.values())
    wanted = Namespace(
        **{"peer": args.peer, "torch_python": args.torch_python, "engines": args.engines, "extra": []},
        **{"repeats": repeats, "attempts": args.attempts},
    )
    measurements = []
    for case in cases:
        height, width = case.size
        task = Task("inference", f"{case.title}, 1×3×{height}×{width}", "inference", "image")
        measurement = Measurement(task, None)
        try:
            with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
                systems, flops = inference.measure_case(case, Path(scratch), wanted, threads)
        except ProcessError as error:
            measurement.figures.append(Figures("all", error=str(error)))
        else:
            measurement.flops = flops
            for one in systems:
                processes = [[seconds] for seconds in one.seconds]
                figures = Figures(one.name, processes, peak_mib=one.peak_mib, stolen=one.stolen)
                if one.must_agree and one.equal_labels < inference.EQUAL_LABELS:
                    figures.error = f"{one.equal_labels:.4%} of its labels are our trained model's"
                measurement.figures.append(figures)
        measurements.append(measurement)
    return measurements


def _write_json(
    args: argparse.Namespace, argv: Sequence[str], machine: dict[str, Any], measurements: list[Measurement]
) -> None:
    """Writes everything measured so far, so that an end in the middle loses little."""
    content = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "-m", "benchmark", *argv]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "measurements": [one.as_dict() for one in measurements],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(args.output / "results.json", text.encode())
