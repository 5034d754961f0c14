"""Inference speed of CCNet: the exported model, PyTorch and a CCNet_paddle checkout, as Markdown tables.

    python benchmark/inference.py --peer FOLDER [--torch_python PYTHON] [--repeats 3] [--cases r18 r101]

Each figure comes from fresh processes that take turns (A B C A B C …), so that a slow moment of the machine
meets all of them. All get the same float32 image and weights, and their labels are compared with those of our
trained (dygraph) model. The network of ``--peer`` runs twice: as shipped (nothing in the environment, where
Paddle takes one thread), and with the threads and the math-library path that this toolkit sets. The first
image of a process warms up; "process" is the whole of it, from its start to the labels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.machine import HERE, ROOT, best_products
from benchmark.peer_entry import MARK
from benchmark.processes import ProcessError, ask_process, run_process
from benchmark.steal import ATTEMPTS, least_stolen
from benchmark.systems import SHIPPED, TUNED, environments
from paddleseg import runtime

CLASSES = 19
EQUAL_LABELS = 0.9999
PRODUCTS = ("numpy", "onnxruntime", "openvino", "paddle")


@dataclass(frozen=True)
class Case:
    """A network and the size of its image; how often a process runs it, warm-up aside."""

    title: str
    backbone: str
    size: tuple[int, int]
    images: int

    @property
    def align_corners(self) -> bool:
        """As the configs: sizes of 8n + 1 keep their corners."""
        return self.size[0] % 8 == 1


CASES = {
    "r18": Case("CCNet-ResNet18, R = 2, output stride 8", "ResNet18_vd", (512, 1024), 3),
    "r101": Case("CCNet-ResNet101, R = 2, output stride 8", "ResNet101_vd", (769, 769), 1),
}
QUICK = Case("CCNet-ResNet18, R = 2, output stride 8", "ResNet18_vd", (64, 96), 1)


@dataclass
class System:
    """One thing to measure, and what its processes have told so far."""

    name: str
    command: list[str]
    environment: dict[str, str]
    must_agree: bool = True
    seconds: list[float] = field(default_factory=list)
    process_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    equal_labels: float = 1.0
    stolen: list[float] = field(default_factory=list)


def main() -> None:
    args = parse()
    settings = runtime.configure()
    load = f"load average before {os.getloadavg()[0]:.1f}"
    print(f"{runtime.cpu_model()}; {settings.describe()}; {args.repeats} repeats; {load}", flush=True)
    cases = [QUICK] if args.quick else [CASES[name] for name in args.cases]
    agree = True
    try:
        peak = best_product(512, processes=1) if args.quick else best_product(4096, processes=2)
        for case in cases:
            with tempfile.TemporaryDirectory(prefix="inference-") as scratch:
                agree &= run_case(case, Path(scratch), args, settings.threads, peak)
    except ProcessError as error:
        sys.exit(str(error))
    if not agree:
        sys.exit(f"a system's labels differ: less than {EQUAL_LABELS:.2%} are equal")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, help="checkout of CCNet_paddle; without it there are no ratios")
    parser.add_argument("--torch_python", help="Python with PyTorch; without it PyTorch is left out")
    parser.add_argument("--engines", nargs="+", default=["paddle", "onnxruntime", "openvino"])
    parser.add_argument(
        "--extra", nargs="+", default=[], metavar="ENGINE:PRECISION", help="more runs, as onnxruntime:int8"
    )
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--repeats", type=int, default=3, help="processes of each system")
    parser.add_argument("--quick", action="store_true", help="a small image, to see that everything works")
    args = parser.parse_args()
    args.attempts = 1 if args.quick else ATTEMPTS
    if args.peer is not None and not (args.peer / MARK).is_file():
        parser.error(f"--peer {args.peer}: expected a checkout with {MARK}")
    if args.repeats < 1:
        parser.error(f"--repeats {args.repeats}: expected at least 1")
    return args


def run_case(case: Case, scratch: Path, args: argparse.Namespace, threads: int, peak: float) -> bool:
    """Measures one case and prints its table. Returns whether the labels of all agree."""
    systems, flops = measure_case(case, scratch, args, threads)
    print(table(case, systems, flops, peak), flush=True)
    return all(system.equal_labels >= EQUAL_LABELS for system in systems if system.must_agree)


def measure_case(
    case: Case, scratch: Path, args: argparse.Namespace, threads: int
) -> tuple[list[System], int]:
    """Measures one case.

    Args:
        case: The network.
        scratch: Empty folder.
        args: ``peer``, ``torch_python``, ``engines``, ``extra`` and ``repeats``, as the flags; and
            ``attempts``, how often a process is started at most.
        threads: For PyTorch.

    Returns:
        The systems with their figures, and the floating-point operations of an image.
    """
    file_format = "all" if "paddle" in args.engines else "onnx"
    flops = prepare(case, scratch, file_format=file_format)
    if any(extra.endswith(":int8") for extra in args.extra):
        flags = ["--config", str(scratch / "export/deploy.yaml")]
        flags += ["--calibration", str(scratch / "calibration")]
        run_process([sys.executable, str(ROOT / "slim/quant/ptq.py"), *flags])
    systems = list_systems(case, scratch, args, threads)
    expected = np.load(scratch / "labels.npy")
    for repeat in range(args.repeats):
        for system in systems:
            outcome = run_once(system, scratch / "got.npy", expected, attempts=args.attempts)
            print(f"{repeat + 1}/{args.repeats} {system.name}: {outcome}", file=sys.stderr)
    return systems, flops


def prepare(case: Case, folder: Path, *, file_format: str) -> int:
    """Makes weights, image and labels, and exports the network with the toolkit's own program.

    Returns:
        Floating-point operations of one image.
    """
    flags = [*network_flags(case), "--size", *map(str, case.size), "--folder", str(folder)]
    told = ask_process([*worker("own_inference.py"), "prepare", *flags])
    model = {
        "type": "CCNet",
        "num_classes": CLASSES,
        "recurrence": 2,
        "align_corners": case.align_corners,
        "backbone": {"type": case.backbone, "output_stride": 8},
    }
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump({"model": model, "export": {"transforms": [{"type": "Normalize"}]}}))
    flags = ["--config", str(config), "--model_path", str(folder / "model.pdparams"), "--device", "cpu"]
    flags += ["--format", file_format, "--save_dir", str(folder / "export")]
    run_process([sys.executable, str(ROOT / "export.py"), *flags])
    return int(told["flops"])


def worker(name: str) -> list[str]:
    """The command that starts one of the other programs of this folder."""
    return [sys.executable, str(HERE / name)]


def network_flags(case: Case) -> list[str]:
    """The flags that tell a worker which network to build."""
    flags = ["--backbone", case.backbone, "--classes", str(CLASSES)]
    return [*flags, "--align_corners"] if case.align_corners else flags


def list_systems(case: Case, scratch: Path, args: argparse.Namespace, threads: int) -> list[System]:
    """Everything to measure, in the order of the table."""
    shipped, tuned = environments()
    measured = ["--image", str(scratch / "image.npy"), "--labels", str(scratch / "got.npy")]
    measured += ["--images", str(case.images)]
    systems = []
    if args.peer is not None:
        peer = [*worker("peer_inference.py"), "--peer", str(args.peer), *network_flags(case)]
        peer += ["--weights", str(scratch / "model.pdparams"), *measured]
        systems += [System(SHIPPED, peer, shipped), System(TUNED, peer, tuned)]
    if args.torch_python is not None:
        torch = [args.torch_python, str(HERE / "torch_inference.py"), "--threads", str(threads)]
        torch += [*network_flags(case), "--weights", str(scratch / "model.npz"), *measured]
        systems.append(System("PyTorch", torch, shipped))
    for name in [*(f"{engine}:fp32" for engine in args.engines), *args.extra]:
        engine, _, precision = name.partition(":")
        own = [*worker("own_inference.py"), "engine", "--config", str(scratch / "export/deploy.yaml")]
        own += ["--engine", engine, "--precision", precision, *measured]
        systems.append(System(f"ours, {engine} {precision}", own, tuned, must_agree=precision == "fp32"))
    return systems


def run_once(system: System, labels: Path, expected: np.ndarray, *, attempts: int) -> str:
    """Measures one process of a system, again where much was stolen, and keeps its figures.

    Returns:
        What the progress line says of it.
    """
    counted = least_stolen(lambda: start_once(system, labels, expected), attempts=attempts)
    system.seconds.append(statistics.median(counted.told["seconds"]))
    system.process_seconds.append(counted.told["process_seconds"])
    system.peak_mib.append(counted.told["peak_mib"])
    system.stolen.append(counted.stolen)
    return f"{system.seconds[-1]:.2f} s{counted.describe()}"


def start_once(system: System, labels: Path, expected: np.ndarray) -> dict[str, Any]:
    """Starts one process and returns its figures; the worst share of equal labels of all of them counts."""
    labels.unlink(missing_ok=True)
    began = time.perf_counter()
    told = ask_process(system.command, system.environment)
    told["process_seconds"] = time.perf_counter() - began
    got = np.load(labels)
    equal = float(np.mean(got == expected)) if got.shape == expected.shape else 0.0
    system.equal_labels = min(system.equal_labels, equal)
    return told


def best_product(side: int, *, processes: int) -> float:
    """Prints each library's float32 matrix product and returns the best, in GFLOP/s."""
    rates = best_products(PRODUCTS, side, processes=processes)
    figures = ", ".join(f"{library} {rate:.0f}" for library, rate in rates.items())
    print(f"{side}² float32 matrix product, GFLOP/s: {figures}", flush=True)
    return max(rates.values())


def table(case: Case, systems: Sequence[System], flops: int, peak: float) -> str:
    """The case's Markdown table."""
    height, width = case.size
    columns = ["System", "s/image", "× shipped", "× same settings", "GFLOP/s", "of the product"]
    columns += ["process, s", "× shipped", "× same settings", "peak MiB", "equal labels"]
    images = f"a process runs {1 + case.images} images"
    lines = [
        f"\n{case.title}, 1×3×{height}×{width}, {flops / 1e9:.0f} GFLOP; {images}\n",
        f"| {' | '.join(columns)} |",
        "|---|" + "---:|" * (len(columns) - 1),
    ]
    base = {system.name: system for system in systems}
    for system in systems:
        seconds = statistics.median(system.seconds)
        whole = statistics.median(system.process_seconds)
        rate = flops / seconds / 1e9
        cells = [
            system.name,
            f"{seconds:.3f}",
            *(ratio(base.get(name), "seconds", seconds) for name in (SHIPPED, TUNED)),
            f"{rate:.0f}",
            f"{rate / peak:.0%}",
            f"{whole:.1f}",
            *(ratio(base.get(name), "process_seconds", whole) for name in (SHIPPED, TUNED)),
            f"{max(system.peak_mib):.0f}",
            f"{system.equal_labels:.4%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(base: System | None, figure: str, seconds: float) -> str:
    """How many times faster than a system of the same run; a dash where that was not measured."""
    return "–" if base is None else f"{statistics.median(getattr(base, figure)) / seconds:.2f}"


if __name__ == "__main__":
    main()
