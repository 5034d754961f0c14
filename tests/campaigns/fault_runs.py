"""How the campaign of faults does one of them to a training run, and judges what came of it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kills import differences
from train_jobs import TrainRun, write_project

ITERATIONS, SAVE_INTERVAL, AT = 24, 4, 15
FLAGS = (
    f"--iters {ITERATIONS} --save_interval {SAVE_INTERVAL} --keep_checkpoint_max 0 --log_iters 1 --seed 3 "
    "--use_ema --device cpu"
).split()
TIME_LIMIT = 400.0
GONE_WITHIN = 60.0
_RESUME = ["--resume_model", "auto"]
# What each rank tells; a traceback ends with a line of the second kind.
_MESSAGE = re.compile(r"^(?:\[rank \d+\] )?error: |^[\w.]*Error: |\[(?:ERROR|WARNING)\]")
_FOLLOWS = re.compile("this process ends too", re.IGNORECASE)


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: What is done.
        act: Does it to a run that has begun; None where ``fault`` or ``prepare`` is all.
        fault: Content of ``fault.json``; see ``plugin_faults.py``.
        statuses: What the run may exit with.
        says: A pattern of what is told once; empty where the process cannot tell anything any more.
        processes: On each machine.
        machines: Launchers.
        flags: Further flags of the run.
        config: Changes of the config.
        prepare: Called with the project's folder before the run.
        resumes: Whether the run goes on afterwards and must come to the result of an undisturbed one.
        limit: Seconds from the fault to the end of the last process.
        disk: KiB of a file system of its own; None for the ordinary one.
    """

    name: str
    act: Callable[[TrainRun], None] | None = None
    fault: dict[str, Any] | None = None
    statuses: tuple[int, ...] = (2,)
    says: str = ""
    processes: int = 1
    machines: int = 1
    flags: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Path], None] | None = None
    resumes: bool = True
    limit: float = 15.0
    disk: int | None = None


@dataclass
class Outcome:
    """What came of a scenario, once.

    Attributes:
        seconds: From the fault to the end of the last process.
        statuses: Of the only process, or of the launchers.
        message: What was told.
        lost: Iterations that had been logged and were done again.
        problems: What was not as it should be.
    """

    seconds: float = 0.0
    statuses: list[int] = field(default_factory=list)
    message: str = ""
    lost: int = 0
    problems: list[str] = field(default_factory=list)


def run_scenario(scenario: Scenario, folder: Path) -> Outcome:
    """Does it once, in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    config = write_project(folder, **scenario.config)
    job = folder / "job"
    job.mkdir()
    if scenario.prepare is not None:
        scenario.prepare(folder)
    if scenario.fault is not None:
        (job / "fault.json").write_text(json.dumps(scenario.fault))
    outcome = Outcome()
    with _disk(job / "run", scenario.disk), _start(scenario, job, config) as run:
        _watch(scenario, run, outcome)
        if scenario.disk is not None:
            shutil.copytree(job / "run", folder / "rescued")
    if scenario.disk is not None:
        shutil.rmtree(job / "run", ignore_errors=True)
        (folder / "rescued").rename(job / "run")
    (job / "fault.json").unlink(missing_ok=True)
    if scenario.resumes:
        _go_on(scenario, folder, config, outcome)
    return outcome


def _start(scenario: Scenario, job: Path, config: Path, more: Sequence[str] = ()) -> TrainRun:
    flags = [*FLAGS, *scenario.flags.split(), *more]
    return TrainRun(job, config, flags, processes=scenario.processes, machines=scenario.machines)


def _watch(scenario: Scenario, run: TrainRun, outcome: Outcome) -> None:
    began, moment = time.time(), run.folder / "fault.time"
    if scenario.act is not None:
        ready = moment.exists if scenario.fault is not None else lambda: run.iteration() >= AT - 4
        assert run.until(ready), run.output()
        began = time.time()
        scenario.act(run)
    outcome.statuses = run.wait(TIME_LIMIT)
    if run.gone_within(GONE_WITHIN) is None:
        outcome.problems.append(f"left running: {run.alive()}")
    # Where a signal answers a fault, the time begins with the signal.
    outcome.seconds = time.time() - (
        float(moment.read_text()) if not scenario.act and moment.exists() else began
    )
    outcome.problems += [f"left in shared memory: {name}" for name in run.leaked_memory()]
    if not set(outcome.statuses) <= set(scenario.statuses):
        outcome.problems.append(f"exit status {outcome.statuses}")
    if outcome.seconds > scenario.limit:
        outcome.problems.append(f"ended after {outcome.seconds:.1f} s")
    _judge_messages(scenario, run, outcome)
    (run.folder.parent / "output.txt").write_text(run.output())


def _judge_messages(scenario: Scenario, run: TrainRun, outcome: Outcome) -> None:
    """The cause is told once, by the process that knows it; others may say that they end because of it."""
    pattern = "logs*/workerlog.*" if run.launched else "output*.txt"
    logs = "\n".join(file.read_text(errors="replace") for file in sorted(run.folder.glob(pattern)))
    messages = [line for line in logs.splitlines() if _MESSAGE.search(line)]
    told = [line for line in messages if not _FOLLOWS.search(line)]
    causes = [line for line in told if scenario.says and re.search(scenario.says, line)]
    if len(causes) != bool(scenario.says):
        outcome.problems.append(f"the cause is told {len(causes)} times: {messages}")
    if "Traceback" in logs and "a bug in the user's model" not in logs:
        outcome.problems.append(f"a traceback: {logs[logs.index('Traceback') :][-600:]}")
    launchers = re.findall(r"Container (rank \d+ status failed).*( code -?\d+)", run.output())
    outcome.message = next(iter([*causes, *map("".join, launchers), *messages]), "")


def _go_on(scenario: Scenario, folder: Path, config: Path, outcome: Outcome) -> None:
    """Runs to the end, and compares with an undisturbed run."""
    with _start(scenario, folder / "job", config, _RESUME) as run:
        reached = run.iteration()
        if set(run.wait(TIME_LIMIT)) != {0}:
            outcome.problems.append(f"after resuming: {run.output()[-1500:]}")
            return
        log = run.log(0)
    (begin,) = re.findall(r"going on after iteration (\d+)", log)
    outcome.lost = reached - int(begin)
    outcome.message = outcome.message or next(iter(re.findall(r"passed over: .*", log)), "")
    expected, got = _undisturbed(scenario, folder, config), folder / "job" / "run"
    # A signal leaves a checkpoint at an iteration of its own.
    problems = [text for text in differences(expected, got) if not text.startswith("files: ")]
    if not (got / f"iter_{ITERATIONS}").is_dir():
        problems.append("there is no last checkpoint")
    outcome.problems += [f"after resuming: {text}" for text in problems]


def _undisturbed(scenario: Scenario, folder: Path, config: Path) -> Path:
    """What such a run leaves on one machine; made once for all scenarios that share it."""
    processes = scenario.processes * scenario.machines
    what = zlib.crc32(f"{scenario.flags} {scenario.config}".encode())
    alone = folder.parent / f"undisturbed_{processes}_{what:x}"
    if not alone.is_dir():
        with _start(replace(scenario, processes=processes, machines=1), alone, config) as run:
            assert run.wait(TIME_LIMIT) == [0], run.output()
    return alone / "run"


@contextlib.contextmanager
def _disk(folder: Path, kibibytes: int | None) -> Iterator[None]:
    """A file system of its own; needs the right to mount."""
    if kibibytes is None:
        yield
        return
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
