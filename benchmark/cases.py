"""What is measured: each task is one row of a table, and perhaps one point of a plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "NETWORK_CASES", "Point", "Task", "tasks_of"]

_Size = tuple[int, int]


@dataclass(frozen=True)
class Point:
    """A task's place in a plot: its name, the text under its axis, and the value there."""

    plot: str
    axis: str
    x: float


@dataclass(frozen=True)
class Task:
    """One thing to measure.

    Attributes:
        case: The case that it belongs to.
        title: What the table calls it.
        program: The function of the measuring programs.
        unit: What one time is the time of: ``"sample"``, ``"step"``, ``"image"``, ``"call"``.
        parameters: For the function.
        flops: Floating-point operations of one unit; None where they are not counted. For a network the
            program counts them, and a training step has three times those of its images' forward pass.
        point: Its place in a plot.
        own_only: Whether the project alone is measured.
        least_bytes: What one unit must read and write in memory, were every value met once a pass; None
            where memory is not the limit.
    """

    case: str
    title: str
    program: str
    unit: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    flops: float | None = None
    point: Point | None = None
    own_only: bool = False
    least_bytes: float | None = None


def tasks_of(case: str, *, short: bool) -> list[Task]:
    """The tasks of a case; ``short`` gives tiny ones, to see that everything works."""
    return CASES[case](short)


def _reader(short: bool) -> list[Task]:
    size, crop, batches = ((64, 32), (33, 33), 2) if short else ((2048, 1024), (769, 769), 12)
    common = {"demo": size, "crop": crop, "batch": 2, "batches": batches, "warm_up": 1}
    what = f"{size[0]}×{size[1]} PNG, crop {crop[0]}×{crop[1]}"
    alone = {**common, "workers": 0, "cores": 1}
    least = 2.0 * (3 + 1) * crop[0] * crop[1]  # a crop of bytes and its labels, read and written
    tasks = [Task("reader", f"{what}, one core", "reader", "sample", alone, least_bytes=least)]
    for workers in (0,) if short else (0, 1, 2, 4):
        point = Point("workers", "data workers", workers)
        parameters = {**common, "workers": workers, "batches": batches * 2, "warm_up": 1 + workers}
        title = f"{what}, {workers} workers, all cores"
        task = Task("reader", title, "reader", "sample", parameters, point=point, least_bytes=least)
        tasks.append(task)
    return tasks[1:] if short else tasks


def _attention(short: bool) -> list[Task]:
    channels, times = (64, 2) if short else (512, 4)
    sizes = [(9, 17)] if short else [(33, 33), (65, 65), (97, 97), (129, 129), (65, 129)]
    tasks = [_attention_task(channels, size, times, own_only=False) for size in sizes]
    if not short:
        tasks.append(_attention_task(channels, (257, 513), 1, own_only=True))
    return tasks


def _attention_task(channels: int, size: _Size, times: int, *, own_only: bool) -> Task:
    height, width = size
    pixels = height * width
    # Three projections, logits and weighted sums of H + W places; a backward pass is two forward ones.
    forward = 2 * pixels * (channels * channels * 10 // 8 + (height + width) * channels * 9 // 8)
    return Task(
        "attention",
        f"1×{channels}×{height}×{width}, forward + backward",
        "attention",
        "call",
        {"channels": channels, "size": size, "times": times},
        3 * forward,
        Point("attention", "pixels of the feature map", pixels),
        own_only,
    )


def _loss(short: bool) -> list[Task]:
    size = (64, 64) if short else (769, 769)
    title = f"OHEM + 0.4 CE, 2×19×{size[0]}×{size[1]}, forward + backward"
    parameters = {"batch": 2, "size": size, "times": 2 if short else 4}
    # Both float32 logits forward, backward and as gradients; labels of 8 bytes.
    least = 2.0 * size[0] * size[1] * (2 * 3 * 19 * 4 + 8)
    return [Task("loss", title, "loss", "call", parameters, least_bytes=least)]


def _step(short: bool) -> list[Task]:
    if short:
        return [_step_task("ResNet18_vd", 1, (33, 65), 1, None)]  # as the evaluation: same weights
    tasks = [
        _step_task(
            "ResNet18_vd", 2, (256, 256), 4, Point("step-pixels", "pixels of a batch of 2", 256 * 256)
        ),
        _step_task("ResNet50_vd", 1, (513, 513), 2, None),
    ]
    for side in (128, 384):
        point = Point("step-pixels", "pixels of a batch of 2", side * side)
        tasks.append(_step_task("ResNet18_vd", 2, (side, side), 3, point))
    for batch in (1, 4):
        point = Point("step-batch", "images of 256×256 in a batch", batch)
        tasks.append(_step_task("ResNet18_vd", batch, (256, 256), 3, point))
    return tasks


def _step_task(backbone: str, batch: int, size: _Size, times: int, point: Point | None) -> Task:
    title = f"CCNet-{backbone.removesuffix('_vd')}, {batch}×3×{size[0]}×{size[1]}"
    parameters = {"backbone": backbone, "batch": batch, "size": size, "times": times}
    return Task("step", title, "step", "step", parameters, point=point)


def _confusion(short: bool) -> list[Task]:
    size = (64, 128) if short else (1024, 2048)
    parameters = {"size": size, "times": 2 if short else 10}
    least = size[0] * size[1] * 5.0  # a byte predicted, an int32 true
    title = f"19 classes, {size[0]}×{size[1]}"
    return [Task("confusion", title, "confusion", "image", parameters, least_bytes=least)]


def _evaluation(short: bool) -> list[Task]:
    demo, padded = ((64, 32), (65, 33)) if short else ((2048, 1024), (2049, 1025))
    parameters = {"backbone": "ResNet18_vd", "demo": demo, "padded": padded, "size": padded[::-1]}
    title = f"CCNet-ResNet18, {demo[0]}×{demo[1]}, whole validation"
    return [Task("evaluation", title, "evaluation", "image", {**parameters, "batch": 1})]


def _windows(short: bool) -> list[Task]:
    both, alone = ((600,), ()) if short else ((1024, 2048, 4096), (16384,))
    return [
        Task(
            "windows",
            f"{side}×{side}, windows of 512 each 384, a small network",
            "windows",
            "image",
            {"size": (side, side)},
            point=Point("windows", "pixels of the image", side * side),
            own_only=side in alone,
            least_bytes=_bytes_of_windows(side),
        )
        for side in (*both, *alone)
    ]


def _bytes_of_windows(side: int) -> float:
    """19 float32 scores of each window's pixels, written and read; the picture and its labels."""
    windows = math.ceil((side - 512) / 384) + 1
    return 2.0 * windows**2 * 512**2 * 19 * 4 + side**2 * (3 + 1)


def _scaling(short: bool) -> list[Task]:
    size = (33, 33) if short else (256, 256)
    parameters = {
        "backbone": "ResNet18_vd",
        "size": size,
        "batch": 2,
        "demo": (64, 32) if short else (256, 128),
    }
    parameters["iters"] = 2 if short else 8
    return [
        Task(
            "scaling",
            f"train.py, CCNet-ResNet18, 2×3×{size[0]}×{size[1]} a rank, {ranks} rank{'s' * (ranks > 1)}",
            "scaling",
            "sample",
            {**parameters, "ranks": ranks},
            point=Point("ranks", "ranks", ranks),
            own_only=True,
        )
        for ranks in ((1,) if short else (1, 2))
    ]


CASES: dict[str, Callable[[bool], list[Task]]] = {
    "reader": _reader,
    "attention": _attention,
    "loss": _loss,
    "step": _step,
    "confusion": _confusion,
    "evaluation": _evaluation,
    "windows": _windows,
    "scaling": _scaling,
}
NETWORK_CASES = ("inference",)
