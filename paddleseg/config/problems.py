"""Findings about a configuration, collected so that the user sees all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paddleseg.config.node import Path, join
from paddleseg.errors import ConfigError

__all__ = ["Problem", "ProblemError", "raise_problems"]


_LISTED = 50  # problems that a message spells out before it counts the rest


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        source: ``file:line`` or command-line option.
        path: Where in the tree.
        message: What was found, what is expected, how to put it right.
    """

    source: str
    path: Path
    message: str

    def __str__(self) -> str:
        dotted = ".".join(map(str, self.path))
        named = self.source in (f"--opts {dotted}", f"--{dotted.rpartition('.')[2]}")
        where = f" {join(self.path)}" if self.path and not named else ""
        return f"{self.source}{where}: {self.message}"


class ProblemError(ConfigError):
    """A single problem, found while something is being built.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raises one error that lists every problem; does nothing without any.

    Raises:
        ConfigError: There is a problem.
    """
    if not problems:
        return
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    if len(lines) == 1:
        raise ConfigError(lines[0])
    rest = [f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    raise ConfigError("\n".join([f"{len(lines)} problems in the configuration:", *lines[:_LISTED], *rest]))
