"""What the inference benchmark's processes share: time a network on one image and hand the figures back.

It imports neither Paddle nor the toolkit, so that a process pays only for the system that it measures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["add_measuring_flags", "measure"]

Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]


def add_measuring_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that :func:`measure` reads."""
    parser.add_argument("--image", type=Path, required=True, help=".npy file: 1×3×H×W float32")
    parser.add_argument("--labels", type=Path, required=True, help=".npy file to write: 1×H×W class ids")
    parser.add_argument("--images", type=int, default=1, help="how often the image is timed after warm-up")


def measure(predict: Predict, args: argparse.Namespace) -> None:
    """Runs a network once to warm up, then times it; prints one line of JSON and writes its labels.

    Args:
        predict: 1×3×H×W float32 → 1×H×W class ids.
        args: Parsed flags of :func:`add_measuring_flags`.
    """
    image = np.load(args.image)
    labels = predict(image)
    seconds = []
    for _ in range(args.images):
        began = time.perf_counter()
        labels = predict(image)
        seconds.append(time.perf_counter() - began)
    np.save(args.labels, labels.astype(np.int32))
    print(json.dumps({"seconds": seconds, "peak_mib": _peak_memory()}))


def _peak_memory() -> float:
    """MiB of memory that this process has had resident at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10
