"""A group of one, and groups of real processes: what they exchange, and how they end together."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
from launch import Job

from paddleseg.distributed import master
from paddleseg.engine.group import Group

EXCHANGES = """
import json, time
import numpy as np
from paddleseg.engine.group import Group
from test_group import connections_to_the_store

with Group.start() as group:
    rank, found = group.rank, {}
    found["sum"] = group.sum(np.array([2**60 + rank, rank])).tolist()
    found["float sum"] = group.sum(np.array([[0.5], [rank]])).tolist()
    found["any"] = [group.any(False, rank == 1), group.any(True, False), group.any(False)]
    found["gather"] = group.gather({"rank": rank, "text": "ü" * rank})
    value = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3).T,
        "list": [1, "x", None, np.array(7, dtype=np.uint32), {"empty": np.zeros((0, 3))}],
        "pair": (1.5, np.array([True, False])),
    }
    got = group.broadcast(value if rank == 0 else None)
    found["broadcast"] = [got["half"].tolist(), *got["list"][:3], got["list"][3].item()]
    found["broadcast"] += [got["list"][4]["empty"].shape, got["pair"][0], got["pair"][1].tolist()]
    found["types"] = [str(got["half"].dtype), str(got["list"][3].dtype), str(got["pair"][1].dtype)]
    early = time.monotonic()
    time.sleep(1.0 if rank == 1 else 0.0)
    group.wait("the slow one")
    found["waited"] = time.monotonic() - early
    for _ in range(3):
        group.wait("many waits")
    found["sent at once"] = connections_to_the_store()
    found["heard before"] = group.heard("stop")
    group.wait("all have looked")
    if rank == 1:
        group.tell("stop")
    ends = time.monotonic() + 20
    while not group.heard("stop") and time.monotonic() < ends:
        time.sleep(0.05)
    found["heard"] = group.heard("stop")
print("FOUND", json.dumps(found), flush=True)
"""


def connections_to_the_store() -> list[bool]:
    """For each connection of this process to rank 0's store, whether packets leave without delay."""
    found = []
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as one:
                internet = one.family in (socket.AF_INET, socket.AF_INET6)
                if internet and one.getpeername()[1] == master()[1]:
                    found.append(bool(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    return found


# Arguments: which rank fails, how, and what the others do meanwhile.
FAILURES = """
import os, sys, time
from paddleseg import distributed, log
from paddleseg.engine.group import Group
from paddleseg.engine.heartbeat import PeerError

who, how, meanwhile = sys.argv[1:]
log.setup(rank=distributed.rank())
try:
    with Group.start() as group:
        group.wait("start")
        print("READY", flush=True)
        if group.rank == int(who):
            time.sleep(0.5)
            if how == "raise":
                raise OSError("disk full")
            if how == "exchange":
                with group.exchange():
                    raise OSError("(External) CUDA error(719)\\n  [Hint: look]")
            time.sleep(600)
        while meanwhile == "exchange":
            group.any(False)
        group.wait("end")
except PeerError as error:
    print("PEER", error, flush=True)
    sys.exit(2)
"""


CUDA_ERROR = re.escape("(External) CUDA error(719) [Hint: look]")


def test_lack_of_memory_stays_what_it_is() -> None:
    """The programs have advice for it."""
    with pytest.raises(MemoryError), Group(0, 2).exchange():
        paddle.zeros([10**14])


def test_a_group_of_one_is_trivial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)
    with Group.start() as group:
        assert (group.rank, group.size, group.is_main) == (0, 1, True)
        group.wait("nobody")
        counts = np.array([1, 2])
        total = group.sum(counts)
        np.testing.assert_array_equal(total, [1, 2])
        assert total is not counts
        assert group.any(True, False) == (True, False)
        assert group.gather("x") == ["x"]
        assert group.broadcast({"a": 1}) == {"a": 1}
        group.tell("stop")
        assert not group.heard("stop")
        group.fail("nobody hears it")


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("machines", [1, 2])
def test_two_processes_exchange(tmp_path: Path, machines: int) -> None:
    imports = [Path(__file__).parent]
    with Job(tmp_path, EXCHANGES, processes=2 // machines, machines=machines, imports=imports) as job:
        assert job.wait() == [0] * machines, job.everything()
        assert job.alive() == []
    for rank in (0, 1):
        line = next(line for line in job.log(rank).splitlines() if line.startswith("FOUND "))
        found = json.loads(line.removeprefix("FOUND "))
        assert found["sum"] == [2**61 + 1, 1], "more digits than float64 holds"
        assert found["float sum"] == [[1.0], [1.0]]
        assert found["any"] == [[False, True], [True, False], [False]]
        assert found["gather"] == [{"rank": 0, "text": ""}, {"rank": 1, "text": "ü"}]
        half = [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
        assert found["broadcast"] == [half, 1, "x", None, 7, [0, 3], 1.5, [True, False]]
        assert found["types"] == ["float16", "uint32", "bool"]
        assert 0.9 < found["waited"] < 10
        assert set(found["sent at once"]) == {True}
        assert not found["heard before"]
        assert found["heard"]


@pytest.mark.slow
@pytest.mark.distributed
def test_waiting_has_no_limit(tmp_path: Path) -> None:
    """A collective of Paddle on CPU would die after 30 seconds."""
    script = """
        import time
        import numpy as np
        from paddleseg.engine.group import Group

        with Group.start() as group:
            time.sleep(36 if group.rank == 0 else 0)
            print("SUM", group.sum(np.array([group.rank + 1])), flush=True)
    """
    with Job(tmp_path, script) as job:
        started = time.monotonic()
        assert job.wait(90) == [0], job.everything()
        assert time.monotonic() - started > 36
    assert "SUM [3]" in job.log(0)
    assert "SUM [3]" in job.log(1)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(("how", "who", "meanwhile"), [("raise", 1, "wait"), ("kill", 0, "exchange")])
def test_a_dead_process_ends_the_others(tmp_path: Path, how: str, who: int, meanwhile: str) -> None:
    with Job(tmp_path, FAILURES, args=[str(who), how, meanwhile]) as job:
        job.until("READY", rank=who)
        if how == "kill":
            job.kill(who)
        started = time.monotonic()
        assert job.wait(30) != [0]
        assert time.monotonic() - started < 12, job.everything()
        assert job.alive() == []
    said = job.log(who).count("OSError: disk full")
    assert said == (how == "raise")
    assert f"Container rank {who} status failed" in job.output(), "the launcher names the rank that failed"
    assert "OSError: disk full" not in job.log(1 - who)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(
    ("how", "who", "meanwhile", "said", "limit"),
    [
        ("raise", 1, "wait", "rank 1 has failed: disk full", 15),
        ("kill", 0, "wait", "rank 0 has ended", 15),
        ("kill", 1, "exchange", "another process has ended, or an exchange with it failed: .+", 15),
        ("exchange", 1, "wait", rf"rank 1 has failed: .* failed: {CUDA_ERROR}", 15),
        # Only the missing heartbeat tells this one.
        ("kill", 1, "wait", "rank 1 has fallen silent", 40),
    ],
    ids=["raise", "kill rank 0", "kill in an exchange", "exchange fails", "kill"],
)
def test_a_dead_process_ends_the_other_machine(
    tmp_path: Path, how: str, who: int, meanwhile: str, said: str, limit: float
) -> None:
    with Job(tmp_path, FAILURES, processes=1, machines=2, args=[str(who), how, meanwhile]) as job:
        job.until("READY", rank=who)
        if how == "kill":
            job.kill(who)
        started = time.monotonic()
        codes = job.wait(60)
        assert all(codes), codes
        assert time.monotonic() - started < limit, job.everything()
        assert job.alive() == []
    words = [line for line in job.log(1 - who).splitlines() if line.startswith("PEER")]
    assert len(words) == 1, job.everything()
    assert re.fullmatch(f"PEER this process ends too: {said}", words[0])
    if how == "exchange":
        assert re.search(f"^PEER this process ends too: another .* failed: {CUDA_ERROR}$", job.log(who), re.M)
