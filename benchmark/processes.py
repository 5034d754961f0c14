"""Starting the processes that measure, and reading what they tell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.family import descendants, living
from paddleseg.errors import PaddleSegError

__all__ = ["LIMIT", "ProcessError", "ask_process", "run_process"]

LIMIT = 3600.0  # seconds after which a process counts as hung
_GRACE = 5.0  # seconds for ending by itself
_SHOWN = 4000


class ProcessError(PaddleSegError):
    """A measuring process ended without its figures."""


def ask_process(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, limit: float = LIMIT
) -> dict[str, Any]:
    """Runs a command as :func:`run_process` does and reads the figures that it prints.

    Returns:
        The JSON object in the last line of its output.

    Raises:
        ProcessError: As there, or the last line is no JSON object.
    """
    output = run_process(command, environment, limit=limit)
    last = (output.splitlines() or [""])[-1]
    try:
        told = json.loads(last)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        name = " ".join(command)
        raise ProcessError(f"{name} printed no figures: its last line is {last[:200]!r}, expected JSON")
    return told


def run_process(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, limit: float = LIMIT
) -> str:
    """Runs a command to its end, with all that it starts.

    Args:
        command: Program and arguments.
        environment: All of its environment; None inherits this process's.
        limit: Seconds that it may take.

    Returns:
        Its standard output.

    Raises:
        ProcessError: It failed or took too long; the message has the end of what it printed.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{' '.join(command)} took more than {limit:.0f} seconds") from error
    finally:
        _end(process)
    if process.returncode:
        said = (errors or output)[-_SHOWN:]
        raise ProcessError(f"{' '.join(command)} ended with status {process.returncode}\n{said}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """Ends what is left of a process and of those that it started: launcher, ranks, data workers.

    Paddle's launcher gives its ranks sessions of their own, where a signal to the group does not reach them,
    and ends them when it is asked to end. What has not ended by then is killed one by one.
    """
    family: dict[int, str] = {}
    if process.poll() is None:
        family = descendants(process.pid)
        _signal_group(process.pid, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        while (process.poll() is None or living(family)) and time.monotonic() < until:
            time.sleep(0.05)
    for pid in living(family):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
