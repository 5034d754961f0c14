"""Campaign: training runs that are killed at random moments and resumed, against one that was left alone.

    python tests/campaigns/kills.py --count 15 --folder /tmp/kills

For 0 and 2 data workers and for 1 and 2 processes, with EMA, accumulation, dropout, evaluation and VisualDL:
one run is left alone; others are killed with SIGKILL several times over, at start-up, in training and
evaluation, and while a checkpoint is written, and started again with ``--resume_model auto``. What they
leave must be the same: losses, figures, pictures, checkpoints, best model, bit for bit. After each kill every
process must be gone within seconds, and no shared memory may stay.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from train_jobs import TrainRun, choose, write_project
from visualdl.proto.record_pb2 import Record

from paddleseg.models.weight_files import read_state

KILLS_IN_A_RUN = 6
GONE_WITHIN = 30.0  # seconds for the rest of a run to end
TIME_LIMIT = 400.0
SAVE_INTERVAL = 3
_TIMES = ("Time/", "Train/batch_cost", "Train/reader_cost")


@dataclass(frozen=True)
class Setting:
    """How the runs of one row are started."""

    processes: int
    workers: int
    iterations: int
    log_iters: int = 2

    def __str__(self) -> str:
        return f"{self.processes} × {self.workers} workers"

    @property
    def flags(self) -> list[str]:
        return (
            f"--iters {self.iterations} --log_iters {self.log_iters} --save_interval {SAVE_INTERVAL} "
            f"--num_workers {self.workers} --keep_checkpoint_max 3 --seed 5 "
            "--accumulate 2 --use_ema --do_eval --use_vdl --device cpu --resume_model auto"
        ).split()


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it.

    Attributes:
        victim: Which process got the signal; "all" for every one at once.
        moment: "start-up", "training" (or evaluation), "saving".
        reached: Iteration that was logged last.
        kept: Iterations of the newest checkpoint.
        seconds: Until every process was gone; None where some stayed.
        faults: What was wrong after it.
    """

    victim: str
    moment: str
    reached: int
    kept: int
    seconds: float | None
    faults: tuple[str, ...] = ()


@dataclass
class Row:
    """All of one setting."""

    setting: Setting
    kills: list[Kill] = field(default_factory=list)
    runs: int = 0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        victims, moments = (
            ", ".join(f"{count} {name}" for name, count in sorted(Counter(values).items()))
            for values in ([kill.victim for kill in self.kills], [kill.moment for kill in self.kills])
        )
        lost = [max(0, kill.reached - kill.kept) for kill in self.kills]
        seconds = [kill.seconds for kill in self.kills if kill.seconds is not None]
        return (
            f"| {self.setting.processes} | {self.setting.workers} | {len(self.kills)} | {victims} | "
            f"{moments} | {self.runs} | {np.mean(lost):.1f} (at most {max(lost)}) | {max(seconds):.1f} | "
            f"{len(self.findings) or 'none'} |"
        )


HEAD = (
    "| processes | workers | kills | of which | at | runs resumed to the end | iterations lost a kill | "
    "slowest end (s) | differences, orphans, leaks |\n|---:|---:|---:|---|---|---:|---|---:|---|"
)


def campaign(setting: Setting, folder: Path, *, kills: int, rng: random.Random) -> Row:
    """One row: a run that is left alone, and runs that are killed ``kills`` times in all."""
    row = Row(setting)
    shutil.rmtree(folder, ignore_errors=True)
    config = write_project(folder)
    with TrainRun(folder / "alone", config, setting.flags, processes=setting.processes) as alone:
        statuses = alone.wait(TIME_LIMIT)
        assert statuses == [0], alone.output()
    while len(row.kills) < kills:
        row.runs += 1
        left = min(KILLS_IN_A_RUN, kills - len(row.kills))
        run = folder / f"killed{row.runs}"
        kills_of_run = list(_kill_and_resume(setting, run, config, count=left, rng=rng))
        row.kills += kills_of_run
        row.findings += [fault for kill in kills_of_run for fault in kill.faults]
        row.findings += [f"{run.name}: {text}" for text in differences(alone.save_dir, run / "run")]
        _tell(f"{setting}: {run.name} done after {len(kills_of_run)} kills; findings: {row.findings}")
    return row


def _kill_and_resume(
    setting: Setting, folder: Path, config: Path, *, count: int, rng: random.Random
) -> Iterator[Kill]:
    """One run, killed up to ``count`` times and resumed each time, to its end."""
    for _ in range(count):
        with TrainRun(folder, config, setting.flags, processes=setting.processes) as run:
            kill = _kill_once(run, setting.iterations, rng)
            if kill is None:  # it was done before its moment came
                assert run.wait(TIME_LIMIT) == [0], run.output()
                return
            _tell(f"{setting}: {kill}")
            (folder / f"output_{time.time():.0f}.txt").write_text(run.output())
            yield kill
    with TrainRun(folder, config, setting.flags, processes=setting.processes) as run:
        assert run.wait(TIME_LIMIT) == [0], run.output()


def _kill_once(run: TrainRun, iterations: int, rng: random.Random) -> Kill | None:
    """None where the run has ended, or has nothing left to do."""
    moment = rng.choices(("start-up", "training", "saving"), (2, 5, 4))[0]
    if not _await_moment(run, moment, iterations, rng) or run.iteration() == iterations:
        return None
    processes = run.alive()
    moment = "saving" if _is_saving(run) else moment if moment == "start-up" else "training"
    victim = rng.choice(["all", "rank", "rank", "worker"])
    process = choose(rng, processes, victim)
    if process is None:
        victim, process = "all", None
    try:
        for one in processes if process is None else [process]:
            os.kill(one.pid, signal.SIGKILL)
    except ProcessLookupError:
        if process is not None or not run.running:
            return None
        run.kill_all()
    seconds = run.gone_within(GONE_WITHIN)
    faults = () if seconds is not None else (f"{run.folder.name}: {victim} killed, left: {run.alive()}",)
    if leaked := run.leaked_memory():
        faults += (f"{run.folder.name}: left in shared memory: {leaked}",)
    if 0 in [root.poll() for root in run.roots]:
        faults += (f"{run.folder.name}: {victim} killed, and the exit status is 0",)
    return Kill(victim, moment, run.iteration(), run.newest_checkpoint(), seconds, faults)


def _await_moment(run: TrainRun, moment: str, iterations: int, rng: random.Random) -> bool:
    """False when the run has ended before."""
    if moment == "start-up":
        time.sleep(rng.uniform(0, 8))
        return run.running
    before = run.iteration()
    after = before + rng.randint(0, (iterations - before) // 3)
    if not run.until(lambda: run.iteration() > after):
        return False
    time.sleep(rng.uniform(0, 0.2))
    if moment == "saving":
        if not run.until(lambda: _is_saving(run), pause=0.0005):
            return False
        time.sleep(rng.uniform(0, 0.01))
    return run.running


def _is_saving(run: TrainRun) -> bool:
    return any(entry.name.startswith(".") for entry in run.save_dir.glob(".*.*"))


def differences(expected: Path, got: Path) -> list[str]:
    """What a run left that another one did not; times and names of runs do not count."""
    pairs = [
        ("metrics.jsonl", _metrics(expected), _metrics(got)),
        ("VisualDL's log", _records(expected), _records(got)),
        ("files", _files(expected), _files(got)),
    ]
    for file in sorted(expected.rglob("*.pd*")):
        name = str(file.relative_to(expected))
        if (got / name).is_file():
            pairs.append((name, _flat(read_state(file)), _flat(read_state(got / name))))
    for file in sorted(expected.rglob("state.json")):
        name = str(file.relative_to(expected))
        if (got / name).is_file():
            pairs.append((name, _counters(file), _counters(got / name)))
    return [f"{name}: {_first_difference(a, b)}" for name, a, b in pairs if a != b]


def _first_difference(expected: Mapping[Any, Any], got: Mapping[Any, Any]) -> str:
    keys = [key for key in [*expected, *got] if expected.get(key) != got.get(key)]
    key = keys[0]
    return f"{len(keys)} entries, {key}: {str(expected.get(key))[:200]} became {str(got.get(key))[:200]}"


def _metrics(folder: Path) -> dict[Any, Any]:
    """Every number by its row and name, times left out; a row that is there twice is seen."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        (number, name): value
        for number, row in enumerate(rows)
        for name, value in row.items()
        if not name.startswith(_TIMES)
    }


def _records(folder: Path) -> dict[Any, Any]:
    """The records, in order, of the file that VisualDL shows: the last one. Each with all but its time."""
    found: dict[Any, Any] = {}
    for file in sorted(folder.glob("vdlrecords.*.log"))[-1:]:
        data, start = file.read_bytes(), 0
        while start < len(data):
            (length,) = struct.unpack_from("<Q", data, start)
            (value,) = Record.FromString(data[start + 8 : start + 8 + length]).values
            start += 8 + length
            # VisualDL describes itself once more whenever the file is opened.
            if not value.tag.startswith(_TIMES) and value.tag != "meta_data_tag":
                value.timestamp = 0
                found[len(found)] = value.SerializeToString()
    return found


def _files(folder: Path) -> dict[Any, Any]:
    """All but the logs: those of a run that was killed before its first checkpoint are set aside and stay."""
    names = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
    return {name: True for name in names if not re.match(r"vdlrecords\.|metrics\.jsonl\.\d", name)}


def _flat(state: Mapping[str, Any], before: str = "") -> dict[Any, Any]:
    flat: dict[Any, Any] = {}
    for name, value in state.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}/")
        else:
            array = np.asarray(value)
            flat[before + name] = (array.dtype.str, array.shape, array.tobytes())
    return flat


def _counters(file: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = json.loads(file.read_text())
    return {name: value for name, value in content.items() if name != "run"}


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


SETTINGS = [Setting(1, 0, 60), Setting(1, 2, 60), Setting(2, 0, 36), Setting(2, 2, 36)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=15, help="kills of each setting")
    parser.add_argument("--seed", type=int, default=0, help="another seed kills at other moments")
    parser.add_argument("--settings", type=int, nargs="+", default=range(len(SETTINGS)), help="which, from 0")
    parser.add_argument(
        "--iterations", type=int, default=None, help="of each run; default: as fits the setting"
    )
    parser.add_argument("--folder", type=Path, required=True, help="for runs; about 100 MB")
    args = parser.parse_args(argv)
    rows = []
    for number in args.settings:
        setting = SETTINGS[number]
        setting = replace(setting, iterations=args.iterations or setting.iterations)
        rng = random.Random(f"{args.seed} {number}")
        rows.append(campaign(setting, args.folder.resolve() / str(number), kills=args.count, rng=rng))
    sys.stdout.write("\n".join([HEAD, *map(str, rows)]) + "\n")
    findings = [f"FINDING {row.setting}: {text}" for row in rows for text in row.findings]
    sys.stdout.write("\n".join([*findings, f"{sum(len(row.kills) for row in rows)} kills"]) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
