"""The processes that the benchmark starts: what they print, how they end, what memory they take."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.processes import ProcessError, ask_process, run_process

ROOT = Path(__file__).resolve().parents[2]
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
HOLD_64_MIB = "held = bytearray(b'1') * 2**26; print('ready', flush=True); import time; time.sleep({})"


def test_a_process_that_hangs_or_fails_is_ended_with_its_message() -> None:
    with pytest.raises(ProcessError, match="more than 1 seconds"):
        run_process([sys.executable, "-c", "import time; time.sleep(60)"], limit=1)
    with pytest.raises(ProcessError, match=r"(?s)status 3.*no such network"):
        run_process([sys.executable, "-c", "import sys; sys.stderr.write('no such network'); sys.exit(3)"])


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@needs_proc
def test_a_time_out_ends_what_has_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher's rank in a session of its own that does not heed SIGTERM."""
    monkeypatch.setattr("benchmark.processes._GRACE", 0.2)
    rank = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    launcher = (
        "import subprocess, sys, time\n"
        f"rank = subprocess.Popen([sys.executable, '-c', {rank!r}], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(rank.pid))\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(ProcessError, match="took more than"):
        run_process([sys.executable, "-c", launcher], limit=3)
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    ended = not is_alive(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert ended


@pytest.mark.parametrize("last", ["{'seconds': [1]}", "{", "done", "[1]", ""])
def test_figures_that_are_no_json_are_an_error_with_the_line(last: str) -> None:
    with pytest.raises(ProcessError, match="printed no figures") as caught:
        ask_process([sys.executable, "-c", f"print({last!r})"])
    assert repr(last) in str(caught.value)


@pytest.fixture
def worker_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the measured processes, which their own folder finds."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmark"))


@needs_proc
@pytest.mark.usefixtures("worker_modules")
def test_memory_counts_the_data_workers() -> None:
    from measuring import Memory

    memory = Memory()
    alone = memory.extra
    command = [sys.executable, "-c", HOLD_64_MIB.format(60)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for one in workers:
            assert one.stdout is not None
            one.stdout.readline()
        memory.add_workers()
    finally:
        for one in workers:
            one.kill()
            one.communicate()
    assert memory.extra >= alone + 128


@needs_proc
@pytest.mark.usefixtures("worker_modules")
def test_memory_of_ranks_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import own_scaling

    monkeypatch.setattr(own_scaling, "_LOOK", 0.02)
    ranks = (
        f"import subprocess, sys; rank = [sys.executable, '-c', {HOLD_64_MIB.format(1)!r}, sys.argv[1]]\n"
        "for one in [subprocess.Popen(rank, start_new_session=True) for _ in range(2)]: one.wait()\n"
    )
    found = own_scaling._run([sys.executable, "-c", ranks, str(own_scaling.TRAIN)], str(tmp_path))
    assert 2 * 64 <= found < 3 * 64  # two, and the launcher is none of them
