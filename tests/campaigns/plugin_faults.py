"""The model of the campaigns about training runs: as small as any, and it fails where a file says so.

The file ``fault.json`` in the working directory holds ``{"fault": …, "rank": …, "call": …}``: what goes
wrong, in which process, at which training forward pass of that process (from 1). Without the file nothing
does, so a run can be resumed with the same config.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from small_task import TinySegmenter

from paddleseg import distributed
from paddleseg.registry import MODELS

_FAULT_FILE = Path("fault.json")
_SAVE = paddle.save


@MODELS.register
class FaultySegmenter(TinySegmenter):
    """The small model of the tests, with faults."""

    def __init__(self, num_classes: int, in_channels: int = 3, dropout_prob: float = 0.2) -> None:
        super().__init__(num_classes, in_channels, dropout_prob)
        self._calls = 0
        self._fault = json.loads(_FAULT_FILE.read_text()) if _FAULT_FILE.exists() else {}
        if self._fault.get("fault") == "slow save":
            _slow_down_saving(self._fault["seconds"])

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        logits = super().forward(x)
        self._calls += self.training
        moment = (distributed.rank(), self._calls)
        if self.training and moment == (self._fault.get("rank"), self._fault.get("call")):
            logits = [_fail(self._fault, logits[0]), *logits[1:]]
        return logits


def _fail(fault: Mapping[str, Any], logits: paddle.Tensor) -> paddle.Tensor:
    Path("fault.time").write_text(str(time.time()))
    name = fault["fault"]
    if name == "raise":
        raise RuntimeError("a bug in the user's model")
    if name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if name.endswith("memory"):
        _use_up_memory(lambda: np.ones(2**24) if name.startswith("NumPy") else paddle.ones([2**25]))
    if name in ("hang", "pause"):
        time.sleep(fault.get("seconds", 3600))
    return logits * float("nan") if name == "nan" else logits


def _use_up_memory(take: Callable[[], object]) -> None:
    """All that is allowed, which is made little so that the machine has enough for others."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
    hold = []
    while True:
        hold.append(take())


def _slow_down_saving(seconds: float) -> None:
    """Each of a checkpoint's three files of arrays takes a third of the time."""

    def slow(content: Any, path: str) -> None:
        time.sleep(seconds / 3)
        _SAVE(content, path)

    paddle.save = slow
