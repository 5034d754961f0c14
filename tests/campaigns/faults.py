"""Campaign: what may happen to a training run, done on purpose, and what came of it.

    python tests/campaigns/faults.py --times 3 --folder /tmp/faults

Processes that fail, die, hang or run out of memory, on one machine and on two (launchers on the loopback
device); signals; bad files; damaged checkpoints; a full disk and a slow one. Each run must end in time, with
an exit status and one message that says why, without a process or shared memory that stays; and where it can
go on, it must come to the result of a run to which nothing happened. A full disk needs the right to mount.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fault_runs import AT, Outcome, Scenario, run_scenario
from train_jobs import TrainRun

# What Paddle's launcher makes of a failure: the status of a rank, or the signal (6, 9, 15) that ended one.
LAUNCHED = (1, 2, 241, 247, 250)
STOPS = "finishing the iteration, then saving"
TWO: dict[str, Any] = {"processes": 2, "statuses": LAUNCHED}
MACHINES: dict[str, Any] = {"machines": 2, "statuses": LAUNCHED, "limit": 60.0}
WORKERS: dict[str, Any] = {"flags": "--num_workers 2", "config": {"worker_timeout": 5}}
SKIP: dict[str, Any] = {
    "flags": "--num_workers 2",
    "config": {"worker_timeout": 5, "on_bad_sample": "skip"},
    "statuses": (0,),
    "limit": 90.0,
}


def fault(name: str, rank: int = 0, **more: Any) -> dict[str, Any]:
    """Content of ``fault.json``."""
    return {"fault": name, "rank": rank, "call": AT, **more}


def send(number: int, kind: str, rank: int = 0) -> Callable[[TrainRun], None]:
    """A signal to one process."""

    def act(run: TrainRun) -> None:
        victim = next(one for one in run.alive() if (one.kind, one.rank) == (kind, rank))
        os.kill(victim.pid, number)

    return act


def ask_to_end(number: int, *, times: int = 1, pause: float = 0.0) -> Callable[[TrainRun], None]:
    """A signal to the launcher, or to the group of the only process, as a terminal sends it."""

    def act(run: TrainRun) -> None:
        for count in range(times):
            time.sleep(pause if count else 0)
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.roots[0].pid, number) if run.launched else os.killpg(run.roots[0].pid, number)

    return act


def kill_second_machine(run: TrainRun) -> None:
    """Its launcher and its rank, at once."""
    launcher = run.roots[1].pid
    for one in run.alive():
        if one.pid == launcher or (one.kind == "rank" and one.rank == 1):
            os.kill(one.pid, signal.SIGKILL)


def corrupt_image(folder: Path) -> None:
    """One of the training images is cut short."""
    image = folder / "data/images/7.png"
    image.write_bytes(image.read_bytes()[:200])


def damage_newest(name: str, change: Callable[[bytes], bytes]) -> Callable[[TrainRun], None]:
    """Kills the run, then changes a file of its newest checkpoint."""

    def act(run: TrainRun) -> None:
        run.kill_all()
        file = run.save_dir / f"iter_{run.newest_checkpoint()}" / name
        file.write_bytes(change(file.read_bytes()))

    return act


def flip(data: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _process_faults() -> list[Scenario]:
    bug = "a bug in the user's model"
    found = []
    for rank in (0, 1):
        found += [
            Scenario(f"rank {rank} of 2 raises", fault=fault("raise", rank), says=bug, **TWO),
            Scenario(f"rank {rank} of 2 gets SIGKILL", fault=fault("kill", rank), **TWO),
            Scenario(f"2 machines: rank {rank} raises", fault=fault("raise", rank), says=bug, **MACHINES),
            Scenario(f"2 machines: rank {rank} gets SIGKILL", fault=fault("kill", rank), **MACHINES),
        ]
    for memory in ("NumPy's", "Paddle's"):
        what = f"rank 1 of 2: no more memory ({memory})"
        found.append(Scenario(what, fault=fault(f"{memory} memory", 1), says="out of memory", **TWO))
    lost_power = MACHINES | {"statuses": (*LAUNCHED, -signal.SIGKILL)}
    return [
        *found,
        Scenario("2 machines: the second loses its power", act=kill_second_machine, **lost_power),
        Scenario("rank 1 of 2 is stopped for 100 s", fault=fault("pause", 1, seconds=100), limit=200,
                 processes=2, statuses=(0,), resumes=False),
    ]  # fmt: skip


def _data_faults() -> list[Scenario]:
    killed = {"act": send(signal.SIGKILL, "worker"), "says": "was killed by signal 9"}
    stopped = send(signal.SIGSTOP, "worker")
    image = r"images/7\.png"
    return [
        Scenario("an image is cut short", prepare=corrupt_image, says=image, resumes=False, limit=60,
                 **WORKERS),
        Scenario("an image is cut short, 2 processes", prepare=corrupt_image, says=image, resumes=False,
                 limit=60, **WORKERS | TWO),
        Scenario("an image is cut short, on_bad_sample: skip", prepare=corrupt_image, resumes=False, **SKIP),
        Scenario("a data worker gets SIGKILL", **killed | WORKERS),
        Scenario("a data worker gets SIGKILL, 2 processes", **killed | WORKERS | TWO),
        Scenario("a data worker gets SIGKILL, on_bad_sample: skip", **killed | SKIP),
        Scenario("a data worker hangs", act=stopped, says="has not moved for 5 s", limit=25, **WORKERS),
        Scenario("a data worker hangs, on_bad_sample: skip", act=stopped, resumes=False, **SKIP),
        Scenario("the loss is NaN", fault=fault("nan"), says="loss is not finite"),
        Scenario("the loss is NaN in rank 1 of 2", fault=fault("nan", 1), says="loss is not finite", **TWO),
        Scenario("the loss is NaN, on_non_finite: skip", fault=fault("nan"), says="iteration 15 is left out",
                 config={"on_non_finite": "skip"}, statuses=(0,), limit=60, resumes=False),
        Scenario("the loss is NaN in rank 1 of 2, on_non_finite: skip", fault=fault("nan", 1),
                 config={"on_non_finite": "skip"}, says="iteration 15 is left out: the loss is not",
                 statuses=(0,), limit=60, resumes=False, processes=2),
    ]  # fmt: skip


def _disk_faults() -> list[Scenario]:
    damage = {"statuses": (-signal.SIGKILL,)}
    return [
        Scenario("newest checkpoint cut short, then auto",
                 act=damage_newest("model.pdparams", lambda data: data[:-100]), **damage),
        Scenario("newest checkpoint with a changed bit, then auto",
                 act=damage_newest("model.pdopt", flip), **damage),
        Scenario("newest checkpoint with an empty manifest, then auto",
                 act=damage_newest("manifest.json", lambda _: b""), **damage),
        Scenario("the disk is full", disk=100, says="No space left", limit=60),
        Scenario("the disk is full, 2 processes", disk=100, says="No space left", limit=60, **TWO),
        Scenario("saving takes 36 s, 2 processes", fault={"fault": "slow save", "seconds": 36}, statuses=(0,),
                 flags="--save_interval 24", limit=90, processes=2, resumes=False),
    ]  # fmt: skip


def _signals() -> list[Scenario]:
    found = []
    for name, status in (("SIGTERM", 143), ("SIGINT", 130)):
        number = signal.Signals[name]
        act = ask_to_end(number)
        found += [
            Scenario(f"{name}", act=act, statuses=(status,), says=STOPS),
            Scenario(
                f"{name} to the launcher of 2", act=act, statuses=(number, status), says=STOPS, processes=2
            ),
        ]
    hangs = {"fault": fault("hang"), "says": STOPS}
    twice = ask_to_end(signal.SIGINT, times=2, pause=1.0)
    return [
        *found,
        Scenario("Ctrl-C twice while a step hangs", act=twice, statuses=(130,), **hangs),
        Scenario("SIGTERM twice while rank 1 of 2 hangs", fault=fault("hang", 1), processes=2, says=STOPS,
                 act=ask_to_end(signal.SIGTERM, times=2, pause=6.0), statuses=(15, 143), limit=60),
    ]  # fmt: skip


GROUPS = {"processes": _process_faults, "data": _data_faults, "disk": _disk_faults, "signals": _signals}
HEAD = (
    "| fault | times | ended after (s) | exit status | message | iterations lost | findings |\n"
    "|---|---:|---:|---|---|---:|---|"
)


def _row(scenario: Scenario, outcomes: Sequence[Outcome]) -> str:
    seconds = f"{min(one.seconds for one in outcomes):.1f}–{max(one.seconds for one in outcomes):.1f}"
    statuses = sorted({status for one in outcomes for status in one.statuses})
    lost = f"at most {max(one.lost for one in outcomes)}"
    findings = sum(bool(one.problems) for one in outcomes) or "none"
    message = outcomes[0].message.replace("|", "/")
    return (
        f"| {scenario.name} | {len(outcomes)} | {seconds} | {', '.join(map(str, statuses))} | {message} | "
        f"{lost} | {findings} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how often each fault")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="which faults")
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--no-resume", action="store_true", help="see only how the runs end")
    parser.add_argument("--folder", type=Path, required=True, help="for runs")
    args = parser.parse_args(argv)
    rows, findings = [HEAD], []
    for scenario in (one for group in args.groups for one in GROUPS[group]() if args.only in one.name):
        scenario = replace(scenario, resumes=scenario.resumes and not args.no_resume)
        outcomes = [run_scenario(scenario, args.folder.resolve() / str(n)) for n in range(args.times)]
        rows.append(_row(scenario, outcomes))
        new = [f"FINDING {scenario.name}: {text}" for one in outcomes for text in one.problems]
        sys.stderr.write("\n".join([f"{time.strftime('%H:%M:%S')} {rows[-1]}", *new, ""]))
        findings += new
    sys.stdout.write("\n".join([*rows, *findings]) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
