"""The processes that a process has started, as Linux' ``/proc`` tells; elsewhere none are known."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["command_of", "descendants", "living", "memory_of"]

_PROC = Path("/proc")
_STATE, _PARENT, _START = 0, 1, 19  # places after the name in /proc/PID/stat


def descendants(pid: int) -> dict[int, str]:
    """The living children of a process, their children and so on, in whatever session they are.

    Returns:
        The time at which each began, by process id: both together name a process for good.
    """
    born, children = _everyone()
    found, waiting = {}, [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            waiting.append(child)
            if child in born:
                found[child] = born[child]
    return found


def living(family: Mapping[int, str]) -> list[int]:
    """Those of :func:`descendants` that live still: a number that another process has got is none."""
    born = _everyone()[0] if family else {}
    return [pid for pid, began in family.items() if born.get(pid) == began]


def _everyone() -> tuple[dict[int, str], dict[int, list[int]]]:
    """When each living process began, by process id; and the children of each."""
    born: dict[int, str] = {}
    children: dict[int, list[int]] = {}
    for number in (int(one.name) for one in _PROC.glob("[0-9]*") if one.name.isdigit()):
        with contextlib.suppress(OSError):  # ended meanwhile
            # The name, in parentheses, may itself have blanks and parentheses.
            values = (_PROC / str(number) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if values[_STATE] not in "ZX":
                born[number] = values[_START]
            children.setdefault(int(values[_PARENT]), []).append(number)
    return born, children


def command_of(pid: int) -> list[str]:
    """Program and arguments of a process; empty where it has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def memory_of(pid: int, *names: str, file: str = "status") -> float:
    """Sums lines of ``/proc/PID/status`` or ``smaps_rollup``, in MiB; 0 where the process has ended.

    Args:
        pid: The process.
        names: Of the lines, as ``"VmHWM"``.
        file: Of ``/proc/PID``.
    """
    try:
        text = (_PROC / str(pid) / file).read_text(errors="replace")
    except OSError:
        return 0.0
    pairs = (line.split(":") for line in text.splitlines() if line.startswith(names))
    return sum(int(value.split()[0]) for name, value in pairs if name in names) / 2**10
