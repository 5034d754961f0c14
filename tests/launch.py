"""Starts a script with `python -m paddle.distributed.launch`, on one machine or on several of loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
_MARK = "PADDLESEG_TEST_JOB"


class Job:
    """A running launch; use it as a context manager, which ends whatever is left.

    Args:
        folder: For the script and the logs.
        script: Text of a Python script (indentation is removed), or the path of one.
        processes: On each machine.
        machines: Launchers that find each other on the loopback device.
        args: Of the script.
        env: Added to the environment.
        imports: Folders from which the script imports, besides the package's and tests/.
    """

    def __init__(
        self,
        folder: Path,
        script: str | Path,
        *,
        processes: int = 2,
        machines: int = 1,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        imports: Sequence[Path] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(script, str):
            (folder / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
            script = folder / "script.py"
        self._folder, self._machines, self._processes = folder, machines, processes
        self._mark = uuid.uuid4().hex
        path = os.pathsep.join(map(str, [ROOT, ROOT / "tests", *imports, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **(env or {})}
        place = ["--nnodes", str(machines), "--master", f"127.0.0.1:{free_port()}"] if machines > 1 else []
        self._launchers = []
        for machine in range(machines):
            command = [sys.executable, "-m", "paddle.distributed.launch"]
            command += ["--nproc_per_node", str(processes), "--log_dir", str(folder / f"machine{machine}")]
            command += [*place, "--rank", str(machine)] if machines > 1 else []
            with (folder / f"launcher{machine}.txt").open("wb") as output:
                self._launchers.append(
                    subprocess.Popen(
                        [*command, str(script), *args],
                        cwd=folder,
                        env={**environment, _MARK: self._mark},
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for launcher in self._launchers:
            launcher.kill()
            launcher.wait()
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait(self, timeout: float = 60) -> list[int]:
        """Waits for the launchers' exit statuses; fails with all that was printed when it takes too long."""
        ends = time.monotonic() + timeout
        try:
            return [launcher.wait(max(0.1, ends - time.monotonic())) for launcher in self._launchers]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.everything()}") from None

    def signal_launcher(self, number: signal.Signals, *, machine: int = 0) -> None:
        """Sends a signal to a launcher."""
        self._launchers[machine].send_signal(number)

    def log(self, rank: int) -> str:
        """What one process has printed so far."""
        machine, place = divmod(rank, self._processes)
        return _read(self._folder / f"machine{machine}" / f"workerlog.{place}")

    def output(self, machine: int = 0) -> str:
        """What a launcher has printed so far, with what it repeats of its processes."""
        return _read(self._folder / f"launcher{machine}.txt")

    def everything(self) -> str:
        """All logs, for the message of a failed test."""
        outputs = [f"== launcher {m}\n{self.output(m)}" for m in range(self._machines)]
        logs = [f"== rank {r}\n{self.log(r)}" for r in range(self._machines * self._processes)]
        return "\n".join([*outputs, *logs])

    def until(self, text: str, *, rank: int = 0, timeout: float = 60) -> None:
        """Waits until one process has printed a text."""
        ends = time.monotonic() + timeout
        while text not in self.log(rank):
            running = [launcher for launcher in self._launchers if launcher.poll() is None]
            if not running or time.monotonic() > ends:
                raise AssertionError(f"'{text}' was not printed:\n{self.everything()}")
            time.sleep(0.05)

    def pid(self, rank: int) -> int:
        """The process of a rank."""
        for pid, environment in _processes():
            own = {f"{_MARK}={self._mark}", f"PADDLE_TRAINER_ID={rank}"}
            # A worker of the rank inherits its environment; the rank itself was started by a launcher.
            if own <= environment and _parent(pid) in [launcher.pid for launcher in self._launchers]:
                return pid
        raise AssertionError(f"rank {rank} does not run:\n{self.everything()}")

    def kill(self, rank: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to the process of a rank."""
        os.kill(self.pid(rank), number)

    def alive(self) -> list[int]:
        """Processes of this job that still run, launchers and data workers included."""
        return [pid for pid, environment in _processes() if f"{_MARK}={self._mark}" in environment]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _read(file: Path) -> str:
    return file.read_text("utf-8", errors="replace") if file.exists() else ""


def _processes() -> Iterator[tuple[int, set[str]]]:
    """Every process whose environment may be read, without those that have ended."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                text = (folder / "environ").read_bytes().decode(errors="replace")
                if text and "\nState:\tZ" not in (folder / "status").read_text():
                    yield int(folder.name), set(text.split("\0"))


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("PPid:"):
                return int(line.split()[1])
    return 0
