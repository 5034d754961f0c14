"""Peak memory and time of one training step of CCNet with and without ``recompute``, as a Markdown table.

    python benchmark/recompute_memory.py [--steps 2]

Each row is a fresh process: its peak is the resident memory that the system counted (``VmHWM``), with Paddle
and the parameters in it; on a machine with a GPU it is the memory that Paddle allocated there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CASES = [("ResNet50_vd", 257), ("ResNet101_vd", 385)]
CLASSES = 19


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2, help="steps; the time is the shortest one's")
    parser.add_argument("--case", nargs=3, metavar=("BACKBONE", "SIDE", "RECOMPUTE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        backbone, side, recompute = arguments.case
        print(json.dumps(measure(backbone, int(side), recompute == "on", arguments.steps)))
        return
    print("| backbone | image | recompute | start, MiB | peak, MiB | step, s |\n|---|---|---|---|---|---|")
    for backbone, side in CASES:
        for recompute in ("off", "on"):
            case = ["--steps", str(arguments.steps), "--case", backbone, str(side), recompute]
            done = subprocess.run([sys.executable, __file__, *case], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            start, peak, seconds = json.loads(done.stdout.splitlines()[-1])
            figures = f"{start:.0f} | {peak:.0f} | {seconds:.2f}"
            print(f"| {backbone} | 1×3×{side}×{side} | {recompute} | {figures} |", flush=True)


def measure(backbone: str, side: int, recompute: bool, steps: int) -> tuple[float, float, float]:
    """Trains on one random image.

    Returns:
        Peak memory before the first step and after the last, in MiB, and the seconds of the fastest step.
    """
    from paddleseg import runtime

    runtime.configure()
    runtime.import_framework()
    import paddle

    from paddleseg.models import CCNet
    from paddleseg.registry import BACKBONES

    paddle.seed(0)
    model = CCNet(CLASSES, BACKBONES.get(backbone)(output_stride=8), recurrence=2, dropout_prob=0.1)
    if recompute:
        model.enable_recompute()
    optimizer = paddle.optimizer.Momentum(0.01, parameters=model.parameters())
    images = paddle.randn([1, 3, side, side])
    labels = paddle.randint(0, CLASSES, [1, side, side])
    start, times = peak_memory(), []
    for _ in range(steps):
        began = time.perf_counter()
        sum(paddle.nn.functional.cross_entropy(logits, labels, axis=1) for logits in model(images)).backward()
        optimizer.step()
        optimizer.clear_grad()
        if paddle.get_device().startswith("gpu"):
            paddle.device.synchronize()
        times.append(time.perf_counter() - began)
    return start, peak_memory(), min(times)


def peak_memory() -> float:
    """MiB that this process has used at most."""
    import paddle

    if paddle.get_device().startswith("gpu"):
        return paddle.device.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


if __name__ == "__main__":
    main()
