"""Starting the processes that measure, and reading what they tell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from paddleseg.errors import PaddleSegError

__all__ = ["LIMIT", "ProcessError", "run_process"]

LIMIT = 3600.0  # seconds after which a process counts as hung
_SHOWN = 4000


class ProcessError(PaddleSegError):
    """A measuring process ended without its figures."""


def run_process(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, limit: float = LIMIT
) -> dict[str, Any]:
    """Runs a command to its end, with all that it starts.

    Args:
        command: Program and arguments.
        environment: All of its environment; None inherits this process's.
        limit: Seconds that it may take.

    Returns:
        The JSON in the last line that it printed; empty where that is none.

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
        _end_session(process)
    if process.returncode:
        said = (errors or output)[-_SHOWN:]
        raise ProcessError(f"{' '.join(command)} ended with status {process.returncode}\n{said}")
    last = (output.splitlines() or [""])[-1]
    return dict(json.loads(last)) if last.startswith("{") else {}


def _end_session(process: subprocess.Popen[str]) -> None:
    """Ends what is left of a process and of those that it started: launched ranks, data workers."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
