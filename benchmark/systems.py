"""What can be measured: the project, a peer's checkout in two settings, PyTorch; and how each is started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.cases import Task
from benchmark.machine import HERE

__all__ = ["OURS", "SHIPPED", "TUNED", "System", "environments", "list_systems"]

SHIPPED, TUNED, OURS = "peer as shipped", "peer, same settings", "ours"
# What runtime.configure sets, or heeds.
SETTINGS = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
_OF_A_PEER = frozenset({"attention", "confusion", "evaluation", "loss", "reader", "step", "windows"})
_OF_TORCH = frozenset({"attention", "step"})


@dataclass(frozen=True)
class System:
    """One way to do a task.

    Attributes:
        name: What the tables call it.
        command: The measuring program.
        environment: All of its environment.
        tasks: Programs that it has; None for all.
        extra: Parameters added to those of the task.
        overrides: Config entries added; with ``{pack}`` for the folder of a pack.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    tasks: frozenset[str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        return self.name.startswith(OURS)

    def does(self, task: Task) -> bool:
        """Whether it is measured on a task."""
        return (self.is_own or not task.own_only) and (self.tasks is None or task.program in self.tasks)

    def environment_for(self, task: Task) -> Mapping[str, str]:
        """The environment of a task: ranks choose their settings themselves, to share the cores."""
        return environments()[0] if task.program == "scaling" else self.environment

    def command_for(self, task: Task, parameters: Mapping[str, Any]) -> list[str]:
        """The command that measures it once.

        Args:
            task: The task.
            parameters: Those of the task, with the files that were made for it.
        """
        overrides = [one.format(**parameters) for one in self.overrides]
        given = {**parameters, **self.extra} | ({"overrides": overrides} if overrides else {})
        command = list(self.command)
        if task.program == "scaling":
            command[-1] = str(HERE / "own_scaling.py")
        return [*command, task.program, json.dumps(given)]


def environments() -> tuple[dict[str, str], dict[str, str]]:
    """The environment without any setting; and with those that this process has made, or was given."""
    tuned = dict(os.environ)
    return {name: value for name, value in tuned.items() if name not in SETTINGS}, tuned


def list_systems(*, peer: Path | None, torch_python: str | None, threads: int) -> list[System]:
    """Every system, in the order of the tables.

    Args:
        peer: Checkout of CCNet_paddle or PaddleSeg; None leaves it out.
        torch_python: Python with PyTorch; None leaves it out.
        threads: For PyTorch, which the environment does not tell.
    """
    shipped, tuned = environments()
    systems = []
    if peer is not None:
        entry, of_peer = (sys.executable, str(HERE / "peer_tasks.py")), {"peer": str(peer.resolve())}
        systems += [
            System(SHIPPED, entry, shipped, _OF_A_PEER, of_peer),
            System(TUNED, entry, tuned, _OF_A_PEER, of_peer),
        ]
    if torch_python is not None:
        entry = (torch_python, str(HERE / "torch_tasks.py"))
        systems.append(System("PyTorch", entry, shipped, _OF_TORCH, {"threads": threads}))
    own = (sys.executable, str(HERE / "own_tasks.py"))
    systems.append(System(OURS, own, tuned))
    pack = ("train_dataset.pack={pack}",)
    systems.append(System(f"{OURS}, from a pack", own, tuned, frozenset({"reader"}), overrides=pack))
    return systems
