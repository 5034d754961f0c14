"""One measured run of ``train.py`` under Paddle's launcher, with a number of ranks.

The ranks share the cores fairly, as ``train.py`` arranges it; the times are those of ``metrics.jsonl``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from family import command_of, descendants, memory_of
from measuring import run_task

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "train.py"
REFERENCE = ROOT / "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml"
_LOOK = 0.25  # seconds between looks at the ranks' memory


def scaling(parameters: dict[str, Any]) -> None:
    """Trains for some iterations and prints the seconds a sample of all but the first."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        command = [sys.executable, "-m", "paddle.distributed.launch"]
        command += ["--nproc_per_node", str(parameters["ranks"]), "--log_dir", f"{folder}/logs"]
        command += [str(TRAIN), *_flags(parameters, folder)]
        peak = _run(command, folder)
        lines = Path(folder, "run/metrics.jsonl").read_text("utf-8").splitlines()
    costs = [
        figures["Train/batch_cost"] for figures in map(json.loads, lines) if "Train/batch_cost" in figures
    ]
    samples = parameters["batch"] * parameters["ranks"]
    seconds = [cost / samples for cost in costs[1:]]
    print(json.dumps({"seconds": seconds, "extra_mib": None, "peak_mib": peak, "result": None}))


def _run(command: list[str], folder: str) -> float:
    """Runs a launcher to its end and returns MiB: the greatest of each of its ranks, added up."""
    output = Path(folder, "output")
    peaks: dict[int, float] = {}
    with output.open("w", encoding="utf-8") as stream:
        launcher = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
        while launcher.poll() is None:
            for pid in descendants(launcher.pid):
                if str(TRAIN) in command_of(pid):
                    peaks[pid] = max(peaks.get(pid, 0.0), memory_of(pid, "VmHWM"))
            time.sleep(_LOOK)
    if launcher.returncode:
        sys.exit(output.read_text("utf-8", errors="replace")[-4000:])
    return sum(peaks.values())


def _flags(parameters: dict[str, Any], folder: str) -> list[str]:
    crop = "[{}, {}]".format(*parameters["size"])
    return [
        *["--config", str(REFERENCE), "--device", "cpu", "--save_dir", f"{folder}/run", "--log_iters", "1"],
        *["--iters", str(parameters["iters"]), "--batch_size", str(parameters["batch"]), "--seed", "0"],
        *["--opts", "model.backbone.pretrained=null", f"model.backbone.type={parameters['backbone']}"],
        f"train_dataset.dataset_root={parameters['data']}",
        f"train_dataset.transforms.1.crop_size={crop}",
        *parameters.get("overrides", []),
    ]


if __name__ == "__main__":
    run_task({"scaling": scaling}, __doc__ or "")
