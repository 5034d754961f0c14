"""The files that the measured processes need: pictures, packs of them, and weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.cases import Task
from benchmark.machine import HERE, ROOT
from benchmark.processes import ask_process, run_process

__all__ = ["Workspace"]

_CONFIG = ROOT / "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml"


class Workspace:
    """Makes files once and keeps them for the next run.

    Args:
        folder: Where they go.
        pictures: How many a data set has, for training and for validation.
    """

    def __init__(self, folder: Path, *, pictures: tuple[int, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._pictures = folder.resolve(), pictures
        self._flops: dict[Path, float] = {}

    def parameters_of(self, task: Task) -> tuple[dict[str, Any], float | None]:
        """Makes what a task needs.

        Returns:
            The task's parameters with the files' names, and the floating-point operations of its unit.

        Raises:
            ProcessError: Something cannot be made; the message says why.
        """
        parameters, flops = dict(task.parameters), task.flops
        if "demo" in parameters:
            parameters["data"] = str(self._demo(parameters["demo"]))
        if task.program == "reader":
            parameters["pack"] = str(self._pack(Path(parameters["data"])))
        if task.program in ("evaluation", "step"):
            weights, forward = self._weights(parameters["backbone"], parameters["size"])
            parameters["weights"] = str(weights)
            flops = forward * parameters["batch"] * (3 if task.program == "step" else 1)
        return parameters, flops

    def _demo(self, size: Sequence[int]) -> Path:
        """Pictures in Cityscapes' layout, with the train ids as files, which the peers read."""
        width, height = size
        train, val = self._pictures
        folder = self._folder / f"demo_{width}x{height}_{train}+{val}"
        marker = folder / "train.txt"
        if not marker.exists():
            flags = ["--train", str(train), "--val", str(val), "--size", str(width), str(height)]
            self._tool("make_demo_dataset.py", "--output", str(folder), *flags)
            self._tool("prepare_cityscapes.py", str(folder), "--allow_partial")
        return folder

    def _pack(self, data: Path) -> Path:
        folder = data.with_name(data.name.replace("demo", "pack"))
        overrides = [f"train_dataset.dataset_root={data}", "model.backbone.pretrained=null"]
        flags = ["--config", str(_CONFIG), "--mode", "train", "--output", str(folder)]
        self._tool("pack_dataset.py", *flags, "--opts", *overrides)
        return folder

    def _weights(self, backbone: str, size: Sequence[int]) -> tuple[Path, float]:
        weights = self._folder / f"{backbone}_{size[0]}x{size[1]}"
        if weights not in self._flops:
            parameters = {"backbone": backbone, "size": size, "weights": str(weights)}
            command = [sys.executable, str(HERE / "own_tasks.py"), "prepare", json.dumps(parameters)]
            self._flops[weights] = float(ask_process(command)["flops"])
        return weights, self._flops[weights]

    def _tool(self, name: str, *arguments: str) -> None:
        run_process([sys.executable, str(ROOT / "tools" / name), *arguments])
