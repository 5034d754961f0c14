"""What a check has to say: findings with a few examples each, however many files they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Example", "Examples", "Finding", "Severity", "printable", "sort_findings"]

_KEPT = 10


class Severity(Enum):
    """How bad a finding is: an error must be fixed, a warning should be looked at, a note is a fact."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Example:
    """One file that a finding is about.

    Attributes:
        text: Its name, and what is wrong with it.
        index: The sample of the data set; None for a file that is in no pair.
    """

    text: str
    index: int | None = None


@dataclass
class Examples:
    """How often something was seen, and the first few times.

    Attributes:
        count: All of them.
        kept: The first ones.
    """

    count: int = 0
    kept: list[Example] = field(default_factory=list)

    def add(self, text: str, index: int | None = None) -> None:
        """Counts one more."""
        self.count += 1
        if len(self.kept) < _KEPT:
            self.kept.append(Example(text, index))

    @classmethod
    def of(cls, texts: Iterable[str]) -> Examples:
        """Those of files that are in no pair."""
        examples = cls()
        for text in texts:
            examples.add(text)
        return examples


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: How bad it is.
        code: Its name for programs: ``"wrong_values"``.
        split: ``"train"``, ``"val"``, ``"test"``; several are joined by ``+``.
        message: What is the matter.
        fix: What to do about it; empty for a mere fact.
        count: Files, or classes, that it is about.
        examples: Some of them.
    """

    severity: Severity
    code: str
    split: str
    message: str
    fix: str = ""
    count: int = 1
    examples: Sequence[Example] = ()

    def lines(self, examples: int = 5) -> list[str]:
        """The finding for people, one line each for what, examples and fix."""
        shown = [f"    {printable(one.text)}" for one in self.examples[:examples]]
        more = self.count - len(shown)
        if shown and more > 0:
            shown.append(f"    … and {more} more")
        fix = [f"    → {self.fix}"] if self.fix else []
        return [f"{self.severity.value}: {self.split}: {printable(self.message)}", *shown, *fix]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "split": self.split,
            "message": self.message,
            "fix": self.fix,
            "count": self.count,
            "examples": [one.text for one in self.examples],
        }


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; otherwise the order stays."""
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def printable(text: str) -> str:
    """A text as terminals and pages can show it, whatever bytes and control characters names hold."""
    plain = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in plain)
