"""What the campaigns about training share: a small project, its runs as real processes, what they leave."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
for _folder in (ROOT, TESTS, TESTS / "campaigns"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from launch import free_port  # noqa: E402
from small_task import config_tree, write_config, write_dataset  # noqa: E402

_MARK = "PADDLESEG_CAMPAIGN_RUN"
_SHARED_MEMORY = Path("/dev/shm")
_MODEL = {"type": "FaultySegmenter", "dropout_prob": 0.2}


@dataclass(frozen=True)
class Process:
    """A process of a run. ``kind`` is "launcher", "rank" or "worker"; ``rank`` counts for the latter two."""

    pid: int
    kind: str
    rank: int


def write_project(folder: Path, *, images: int = 22, **changes: Any) -> Path:
    """Writes data and a config of a run that has everything whose state could be lost.

    Args:
        folder: For all of it.
        images: Of the training set; 22 give epochs that global batches of 4 or 8 do not divide.
        changes: Top-level entries of the config.

    Returns:
        The config. Its model is a small one with BN and dropout whose faults ``plugin_faults.py`` describes.
    """
    data = write_dataset(folder / "data", count=images)
    lines = (data / "list.txt").read_text().splitlines()
    (data / "val.txt").write_text("\n".join(lines[:5]) + "\n")
    tree = config_tree(data, {**_MODEL})
    tree["val_dataset"]["val_path"] = str(data / "val.txt")
    tree["plugins"] = [str(Path(__file__).with_name("plugin_faults.py"))]
    return write_config(folder / "config.yml", tree | changes)


class TrainRun:
    """``train.py`` as real processes; a context manager that ends whatever is left.

    Args:
        folder: For the output, emptied of none: a run may go on there.
        config: Config file.
        flags: Further flags.
        processes: Ranks on each machine; 1 without a launcher, unless ``machines`` is more.
        machines: Launchers that find each other on the loopback device.
        limits: Called in the first process of each machine before it begins, for resource limits.
    """

    def __init__(
        self,
        folder: Path,
        config: Path,
        flags: Sequence[str] = (),
        *,
        processes: int = 1,
        machines: int = 1,
        limits: Callable[[], None] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.save_dir = folder, folder / "run"
        self.launched = processes * machines > 1
        self._mark = uuid.uuid4().hex
        self._shared_memory = _shared_memory()
        self.started = time.monotonic()
        script = [str(ROOT / "train.py"), "--config", str(config), "--save_dir", str(self.save_dir)]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{ROOT}:{TESTS}",
            _MARK: self._mark,
        }
        place = ["--nnodes", str(machines), "--master", f"127.0.0.1:{free_port()}"] if machines > 1 else []
        self.roots: list[subprocess.Popen[bytes]] = []
        for machine in range(machines):
            launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes)]
            launcher += ["--log_dir", str(folder / f"logs{machine}"), *place]
            launcher += ["--rank", str(machine)] if machines > 1 else []
            with (folder / f"output{machine}.txt").open("wb") as output:
                self.roots.append(
                    subprocess.Popen(
                        [sys.executable, *(launcher if self.launched else []), *script, *flags],
                        cwd=folder,
                        env=environment,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        preexec_fn=lambda: _prepare(limits),
                    )
                )

    def __enter__(self) -> TrainRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_all()

    @property
    def running(self) -> bool:
        return any(root.poll() is None for root in self.roots)

    def wait(self, timeout: float) -> list[int]:
        """Waits for the end. Returns the exit statuses; AssertionError past the limit."""
        ends = time.monotonic() + timeout
        try:
            return [root.wait(max(0.1, ends - time.monotonic())) for root in self.roots]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.output()}") from None

    def until(self, condition: Callable[[], bool], timeout: float = 90, pause: float = 0.01) -> bool:
        """Waits for a condition. False when the run has ended without it or the time is over."""
        ends = time.monotonic() + timeout
        while not condition():
            if not self.running or time.monotonic() > ends:
                return condition()
            time.sleep(pause)
        return True

    def kill_all(self) -> None:
        """Ends every process at once, without warning: what a power cut or a scheduler does."""
        while processes := self.alive():
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            for root in self.roots:
                root.poll()
        for root in self.roots:
            root.wait()

    def alive(self) -> list[Process]:
        """The processes of this run that still live."""
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                status = (folder / "status").read_text()
                if f"{_MARK}={self._mark}" in variables and "\nState:\tZ" not in status:
                    parent = int(status.split("\nPPid:")[1].split()[0])
                    found[int(folder.name)] = (parent, variables)
        return [self._process(pid, *facts) for pid, facts in found.items()]

    def _process(self, pid: int, parent: int, variables: list[str]) -> Process:
        roots = [root.pid for root in self.roots]
        place = next((text for text in variables if text.startswith("PADDLE_TRAINER_ID=")), "=0")
        rank = int(place.partition("=")[2])
        if not self.launched:
            return Process(pid, "rank" if pid in roots else "worker", 0)
        kind = "launcher" if pid in roots else "rank" if parent in roots else "worker"
        return Process(pid, kind, rank)

    def gone_within(self, limit: float) -> float | None:
        """Waits until no process is left. Returns the seconds, None where some stay longer than the limit."""
        begin = time.monotonic()
        while self.alive():
            if time.monotonic() - begin > limit:
                return None
            time.sleep(0.02)
        return time.monotonic() - begin

    def leaked_memory(self) -> list[str]:
        """Files in shared memory that came with this run and that no living process uses."""
        return sorted(name for name in _shared_memory() - self._shared_memory if not _is_used(name))

    def output(self) -> str:
        """All that was printed, launchers and ranks."""
        files = [*self.folder.glob("output*.txt"), *sorted(self.folder.glob("logs*/workerlog.*"))]
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')}" for file in files)

    def log(self, rank: int) -> str:
        """What a rank of the first machine has printed."""
        name = f"logs0/workerlog.{rank}" if self.launched else "output0.txt"
        file = self.folder / name
        return file.read_text(errors="replace") if file.exists() else ""

    def iteration(self) -> int:
        """The last iteration that was logged."""
        file = self.save_dir / "metrics.jsonl"
        text = file.read_text() if file.exists() else ""
        return max(map(int, re.findall(r'^\{"iter": (\d+)', text, re.MULTILINE)), default=0)

    def newest_checkpoint(self) -> int:
        """Iterations of the newest complete checkpoint."""
        names = [folder.name for folder in self.save_dir.glob("iter_*")]
        return max((int(name.removeprefix("iter_")) for name in names), default=0)


def choose(rng: random.Random, processes: Sequence[Process], kind: str) -> Process | None:
    """One process of a kind; None where there is none."""
    fitting = sorted((one for one in processes if one.kind == kind), key=lambda one: one.pid)
    return rng.choice(fitting) if fitting else None


def _prepare(limits: Callable[[], None] | None) -> None:
    os.setsid()
    # What runs in the background ignores Ctrl-C, and its children would inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if limits is not None:
        limits()


def _shared_memory() -> set[str]:
    return {entry.name for entry in _SHARED_MEMORY.iterdir()} if _SHARED_MEMORY.is_dir() else set()


def _is_used(name: str) -> bool:
    wanted = f"{_SHARED_MEMORY}/{name}"
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "maps").read_text():
                return True
    return False
