"""Worker processes: their results, their death and standstill, and that nothing of them stays."""

from __future__ import annotations

import contextlib
import errno
import gc
import multiprocessing
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from paddleseg.data import workers
from paddleseg.data.workers import InlineWorker, WorkerLostError, WorkerPool, start_workers
from paddleseg.errors import DataError

Announce = Callable[[int], None]


def act(task: object, announce: Announce) -> object:
    """Does what the task says, at step 1 of 0 and 1."""
    announce(0)
    announce(1)
    if isinstance(task, signal.Signals):
        os.kill(os.getpid(), task)
    if task == "exit":
        os._exit(3)
    if task == "hang":
        time.sleep(60)
    if task == "pid":
        return os.getpid()
    if task == "threads":
        cv2.resize(np.zeros((2000, 2000, 3), np.float32), (1500, 1500))
        return cv2.getNumThreads(), len(os.listdir("/proc/self/task"))
    if task == "collect":
        return gc.collect()
    if task == "large":
        return np.arange(3_000_000)
    if isinstance(task, tuple):  # slow, but it moves
        for step in range(int(task[0])):
            announce(step)
            time.sleep(task[1])
    return ("done", task)


@pytest.fixture
def pool() -> Iterator[WorkerPool[object, object]]:
    made = WorkerPool[object, object](act, 2, timeout=0.8)
    yield made
    made.close()


def descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def count_sockets() -> int:
    return sum(target.startswith("socket:") for target in descriptors().values())


def children() -> set[int]:
    """Live children and zombies of this process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it just ended
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """False also for a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_each_worker_gives_its_own_results(pool) -> None:
    for round_of_work in range(3):
        for worker in (0, 1):
            pool.submit(worker, f"{worker}.{round_of_work}")
        assert [pool.take(worker) for worker in (1, 0)] == [
            ("done", f"1.{round_of_work}"),
            ("done", f"0.{round_of_work}"),
        ]
    pool.submit(0, "pid")
    pool.submit(1, "pid")
    pids = {pool.take(0), pool.take(1)}
    assert len(pids) == 2
    assert pids <= {child.pid for child in multiprocessing.active_children()}


def test_no_processes() -> None:
    inline = start_workers(act, 0, timeout=1)
    assert isinstance(inline, InlineWorker)
    inline.submit(0, "pid")
    assert inline.take(0) == os.getpid()
    inline.close()


def test_a_worker_computes_in_one_thread(pool) -> None:
    """Besides the one that looks whether the parent is there."""
    pool.submit(0, "threads")
    assert pool.take(0) == (1, 2)


@pytest.mark.parametrize(
    ("task", "how"),
    [
        (signal.SIGKILL, "was killed by signal 9 (SIGKILL)"),
        (signal.SIGSEGV, "was killed by signal 11 (SIGSEGV)"),
        ("exit", "ended with exit status 3"),
    ],
)
def test_death_is_named_and_the_worker_replaced(pool, capfd, task: object, how: str) -> None:
    pool.submit(1, "pid")
    pid = pool.take(1)
    pool.submit(0, "other")
    pool.submit(1, task)
    with pytest.raises(WorkerLostError) as lost:
        pool.take(1)
    assert str(lost.value) == f"data worker 1 (pid {pid}) {how}"
    assert (lost.value.place, lost.value.hung) == (1, False)
    pool.restart(1)
    pool.submit(1, "again")
    assert (pool.take(0), pool.take(1)) == (("done", "other"), ("done", "again"))
    assert capfd.readouterr().err == ""


def test_death_without_a_task(pool) -> None:
    pool.submit(0, "pid")
    os.kill(pool.take(0), signal.SIGKILL)
    time.sleep(0.1)
    pool.submit(0, "for nobody")
    with pytest.raises(WorkerLostError, match="SIGKILL") as lost:
        pool.take(0)
    assert lost.value.place is None


def test_a_hung_worker_is_named_and_replaced(pool) -> None:
    pool.submit(0, "hang")
    started = time.monotonic()
    with pytest.raises(
        WorkerLostError, match=r"^data worker 0 \(pid \d+\) has not moved for 0\.8 s$"
    ) as lost:
        pool.take(0)
    assert 0.7 < time.monotonic() - started < 3
    assert (lost.value.place, lost.value.hung) == (1, True)
    pool.restart(0)
    pool.submit(0, "again")
    assert pool.take(0) == ("done", "again")


def test_a_worker_that_moves_is_not_hung(pool) -> None:
    pool.submit(0, (4, 0.5))  # 2 s in all, each step below the limit
    assert pool.take(0) == ("done", (4, 0.5))


def test_time_that_the_parent_spends_elsewhere_does_not_count(pool) -> None:
    pool.submit(0, (1, 1.2))
    time.sleep(1.0)
    assert pool.take(0) == ("done", (1, 1.2))


def test_a_worker_stopped_in_the_middle_of_its_answer_counts_as_hung(pool) -> None:
    pool.submit(0, "pid")
    pid = pool.take(0)
    pool.submit(0, "large")
    assert select.select([pool._workers[0].socket], [], [], 20)[0]  # the first of 24 MB
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerLostError, match="has not moved") as lost:
        pool.take(0)
    assert (lost.value.place, lost.value.hung) == (None, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_are_for_the_parent(pool, number: signal.Signals) -> None:
    pool.submit(0, "pid")
    os.kill(pool.take(0), number)
    pool.submit(0, "still here")
    assert pool.take(0) == ("done", "still here")


def test_a_handler_of_the_parent_does_not_run_in_a_worker(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    before = signal.signal(signal.SIGTERM, lambda *_: trace.write_text("ran"))
    try:
        pool = WorkerPool[object, object](act, 1, timeout=5)
        pool.submit(0, signal.SIGTERM)
        pool.take(0)
        pool.close()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not trace.exists()


class Resource:
    """In a cycle, as a network on a GPU may be; remembers which processes freed it."""

    def __init__(self, log: Path) -> None:
        self.log, self.me = log, self

    def __del__(self) -> None:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")


def test_what_the_parent_held_is_not_freed_by_a_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    gc.disable()
    try:
        Resource(log)
        pool = WorkerPool[object, object](act, 1, timeout=20)
    finally:
        gc.enable()
    pool.submit(0, "collect")
    pool.take(0)
    gc.collect()
    assert log.read_text() == f"{os.getpid()}\n"
    pool.close()


@pytest.mark.parametrize("how", ["close", "forget"])
def test_nothing_is_left(how: str) -> None:
    fds, processes, threads = descriptors(), children(), threading.active_count()
    for state in ("idle", "busy", "answering", "dead", "stopped"):
        pool = WorkerPool[object, object](act, 2, timeout=5)
        pool.submit(0, "pid")
        pid = pool.take(0)
        if state == "dead":
            os.kill(pid, signal.SIGKILL)
        elif state == "stopped":
            os.kill(pid, signal.SIGSTOP)
        elif state != "idle":
            pool.submit(0, "hang" if state == "busy" else "large")
            time.sleep(0.1)
        if how == "close":
            pool.close()
            pool.close()  # twice is no more
        del pool
        gc.collect()
        assert (descriptors(), children(), threading.active_count()) == (fds, processes, threads), state


def test_a_forked_copy_of_the_pool_ends_nobody(pool) -> None:
    child = os.fork()
    if not child:
        pool.close()
        os._exit(0)
    os.waitpid(child, 0)
    for worker in (0, 1):
        pool.submit(worker, "here")
        assert pool.take(worker) == ("done", "here")


PARENT = """
import os, signal, sys, time
from paddleseg.data.workers import WorkerPool
def work(task, announce):
    announce(0)
    if task == "spin":
        while True: pass
    if task == "sleep": time.sleep(60)
    return os.getpid()
pool = WorkerPool(work, 3, timeout=100)
for worker in range(3): pool.submit(worker, "pid")
print(*[pool.take(worker) for worker in range(3)], flush=True)
pool.submit(0, "spin"); pool.submit(1, "sleep")
{ending}
"""


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("sys.exit(5)", 5),
        ("raise SystemExit(pool.take(2))", None),  # killed below, while it waits
    ],
)
def test_workers_do_not_outlive_their_parent(root_dir: Path, ending: str, status: int | None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(ending=ending)],
        cwd=root_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stderr is not None
    pids = [int(text) for text in parent.stdout.readline().split()]
    if status is None:
        parent.kill()
    parent.wait(20)
    assert parent.returncode == (-9 if status is None else status)
    assert len(pids) == 3
    assert wait_until(lambda: not any(map(is_alive, pids)), 3)
    assert parent.stderr.read() == ""  # nothing is said at the end
    parent.stdout.close()
    parent.stderr.close()


CRASH = """
import ctypes
import paddle
from paddleseg.data.workers import WorkerLostError, WorkerPool
pool = WorkerPool(lambda task, announce: ctypes.string_at(0), 1, timeout=20)
pool.submit(0, None)
try:
    pool.take(0)
except WorkerLostError as error:
    print(error)
"""


@pytest.mark.distributed
def test_a_crash_in_native_code_is_reported_by_the_parent_alone(root_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CRASH],
        cwd=root_dir,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"data worker 0 \(pid \d+\) was killed by signal 11 \(SIGSEGV\)", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr  # that of Paddle


def test_a_system_that_cannot_fork(monkeypatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(DataError, match=r"cannot fork processes; use --num_workers 0"):
        WorkerPool(act, 1, timeout=1)


def test_no_more_processes_can_be_started(monkeypatch) -> None:
    sockets, processes = count_sockets(), children()
    forks = iter([os.fork])

    def fork() -> int:
        for real in forks:
            return real()
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(workers.os, "fork", fork)
    with pytest.raises(DataError, match=r"start data worker 1: Resource temp.*; lower --num_workers"):
        WorkerPool(act, 3, timeout=1)
    gc.collect()
    # Python's own pipes for the process that was not to be stay open.
    assert (count_sockets(), children()) == (sockets, processes)


def test_any_order_of_faults(pool) -> None:
    chance = random.Random(5)
    for _ in range(60):
        worker = chance.randrange(2)
        task = chance.choice(["fine", "large", signal.SIGKILL, "exit", "pid"])
        pool.submit(worker, task)
        try:
            result = pool.take(worker)
            assert task in ("fine", "large", "pid")
            assert task != "fine" or result == ("done", "fine")
        except WorkerLostError:
            assert task in (signal.SIGKILL, "exit")
            pool.restart(worker)
