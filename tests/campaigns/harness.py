"""What the campaigns share: a watched call, what may come of it, fingerprints of folders, and the table."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
for _folder in (ROOT, TESTS):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from paddleseg.errors import PaddleSegError  # noqa: E402

ACCEPTED, REFUSED, FINDING = "accepted", "refused", "FINDING"
MESSAGE_LIMIT = 20_000  # characters of one message that a person can be asked to read
MEBIBYTE = 2**20


class Mutant(Protocol):
    """A damaged input: ``what`` says what was done to it."""

    what: str


AnyMutant = TypeVar("AnyMutant", bound=Mutant)


def mutants(
    name: str, generators: Mapping[Callable[[random.Random], AnyMutant], int], count: int, seed: int
) -> Iterator[AnyMutant]:
    """Makes mutants, numbered: the same ones for the same seed; a larger count only adds some.

    Args:
        name: Keeps the random numbers of kinds of inputs apart.
        generators: What makes one, and how often among the others.
    """
    makers, shares = list(generators), list(generators.values())
    for index in range(count):
        rng = random.Random(f"{name} {seed} {index}")
        mutant = rng.choices(makers, shares)[0](rng)
        mutant.what = f"#{index} {mutant.what}"
        yield mutant


class HangError(BaseException):
    """The time of a case is over. Not an Exception, so that no handler in between swallows it."""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        kind: Class of the mutation: a row of the table.
        what: Enough to find the input again.
        run: Feeds it to the code. Returns where that accepts it: None, or a remark for the table.
    """

    kind: str
    what: str
    run: Callable[[], str | None]


@dataclass(frozen=True)
class Result:
    """What came of a case: ``outcome`` is a column of the table, ``message`` the error's text or a remark."""

    case: Case
    outcome: str
    message: str


class Watch:
    """Runs cases, each within a limit of time and memory.

    Args:
        seconds: Limit of one case.
        growth: Bytes by which the peak memory may rise during one case.
        folder: What the cases may not change; None for nothing.
    """

    def __init__(
        self, *, seconds: int = 20, growth: int = 1024 * MEBIBYTE, folder: Path | None = None
    ) -> None:
        self.seconds, self.growth, self.folder = seconds, growth, folder

    def run(self, case: Case) -> Result:
        """Runs one case; nothing but Ctrl-C leaves this function."""
        before = fingerprint(self.folder) if self.folder else {}
        resident = _restart_peak()
        result = self._outcome(case)
        grown = _peak() - resident
        if result.outcome != FINDING and grown > self.growth:
            result = Result(case, FINDING, f"memory rose by {grown // MEBIBYTE} MiB ({result.outcome})")
        changed = difference(before, fingerprint(self.folder)) if self.folder else []
        return Result(case, FINDING, f"changed files: {changed[:5]}") if changed else result

    def _outcome(self, case: Case) -> Result:
        signal.signal(signal.SIGALRM, _on_alarm)
        # Where the alarm cannot get through (a loop in C code), this says where it was and ends the process.
        faulthandler.dump_traceback_later(3 * self.seconds, exit=True)
        signal.alarm(self.seconds)
        try:
            return Result(case, ACCEPTED, case.run() or "")
        except PaddleSegError as error:
            return _judge(case, str(error))
        except HangError as error:
            return Result(case, FINDING, f"still busy after {self.seconds} s {_frames(error)}")
        except Exception as error:
            return Result(case, FINDING, f"{type(error).__name__}: {str(error)[:300]} {_frames(error)}")
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()


def _judge(case: Case, message: str) -> Result:
    if not message.strip() or "Traceback" in message:
        return Result(case, FINDING, f"not a message for a person: {message!r}")
    if len(message) > MESSAGE_LIMIT:
        return Result(case, FINDING, f"a message of {len(message)} characters: {message[:200]}…")
    return Result(case, REFUSED, message)


def _frames(error: BaseException) -> str:
    """Where in the package an error came from, the innermost function first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "paddleseg")]
    places = [f"{Path(one.filename).relative_to(ROOT)}:{one.lineno} {one.name}" for one in inside]
    return "at " + " ← ".join(dict.fromkeys(places[:4]))


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise HangError


def _restart_peak() -> int:
    with contextlib.suppress(OSError):  # some containers do not allow it; then the peak is the process's
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def limit_memory(extra: int) -> None:
    """Lets this process's address space grow by so many bytes: no case can take the machine down."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))


def fingerprint(folder: Path) -> dict[str, str]:
    """Everything below a folder: relative name → kind of entry, a file's checksum or a link's target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        mode = path.lstat().st_mode
        value = oct(stat.S_IFMT(mode))
        if stat.S_ISREG(mode):
            value = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(mode):
            value = os.readlink(path)
        found[os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")] = value
    return found


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names that are new, gone or changed."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def empty(folder: Path) -> None:
    """Removes all that a folder holds."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """An empty folder that is the working directory for a while, and is removed."""
    old = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="campaign_") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(old)


def arguments(description: str, *, count: int) -> argparse.Namespace:
    """``--count`` and ``--seed`` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count, help="how many bad inputs")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other ones")
    return parser.parse_args()


def sources_fingerprint() -> dict[str, str]:
    """The project's own configs, which no bad input may change."""
    return fingerprint(ROOT / "configs")


def campaign(title: str, cases: Iterable[Case], watch: Watch) -> int:
    """Runs all cases and writes the table and the findings to the standard output.

    Returns:
        The exit status: 0 without findings, else 1.
    """
    begin, sources = time.monotonic(), sources_fingerprint()
    results = [watch.run(case) for case in cases]
    lines = [table(title, results, seconds=time.monotonic() - begin), *finding_lines(results)]
    if changed := difference(sources, sources_fingerprint()):
        lines.append(f"\nFINDING: files of configs/ were changed: {changed}")
    sys.stdout.write("\n".join(lines).encode(errors="backslashreplace").decode() + "\n")
    return 1 if changed or any(result.outcome == FINDING for result in results) else 0


def finding_lines(results: Iterable[Result]) -> list[str]:
    """The findings, those with the same cause together."""
    causes: dict[str, list[Result]] = {}
    for result in results:
        if result.outcome == FINDING:
            cause = re.sub(r"^.* at (?=paddleseg/)", "", result.message, flags=re.DOTALL).split(" ← ")[0]
            causes.setdefault(cause, []).append(result)
    return [
        f"\nFINDING {len(same)} × {same[0].case.kind}: {same[0].message}\n"
        + "\n".join(f"    {one.case.what[:300]}" for one in same[:3])
        for same in causes.values()
    ]


def table(title: str, results: Iterable[Result], *, seconds: float) -> str:
    """Mutation class × outcome, as a Markdown table."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        column = result.message if result.outcome == ACCEPTED else ""
        counts.setdefault(result.case.kind, Counter())[column or result.outcome] += 1
    seen = {column for row in counts.values() for column in row}
    columns = [column for column in (REFUSED, ACCEPTED) if column in seen]
    columns += [*sorted(seen - {ACCEPTED, REFUSED, FINDING}), FINDING]
    total: Counter[str] = sum(counts.values(), Counter())
    rows = [*sorted(counts.items()), ("all", total)]
    lines = [
        f"{title}: {total.total()} inputs in {seconds:.0f} s, {total[FINDING]} findings",
        f"| mutation | {' | '.join(columns)} | all |",
        f"|---{'|---:' * (len(columns) + 1)}|",
        *(
            f"| {kind} | {' | '.join(str(row[column]) for column in columns)} | {row.total()} |"
            for kind, row in rows
        ),
    ]
    return "\n".join(lines)
