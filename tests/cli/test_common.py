"""What a program sets before the framework is imported, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import argparse, json, os, sys
from paddleseg.cli.common import start
settings, device = start(argparse.Namespace(device="cpu", threads=json.loads(sys.argv[1])))
import cv2
names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
print(json.dumps([settings.threads, settings.threads_from, cv2.getNumThreads(), *map(os.environ.get, names)]))
"""
TWO_CORES = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])"
# Each machine has two of the four processes. The launcher has imported the framework, which sets one thread.
LAUNCHED = {
    "PADDLE_TRAINER_ID": "3",
    "PADDLE_TRAINERS_NUM": "4",
    "PADDLE_LOCAL_SIZE": "2",
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "flag", "expected"),
    [
        ({"KMP_BLOCKTIME": "1"}, 1, [1, "argument", 1, "1", None]),
        (LAUNCHED, None, [1, "cores", 1, "1", "PASSIVE"]),
    ],
)
def test_threads_of_framework_and_opencv(
    variables: dict[str, str], flag: int | None, expected: list[object], root_dir: Path
) -> None:
    ours = ("OMP_", "KMP_", "GOMP_", "PADDLE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Two cores at most, so that two processes have one each.
    command = [sys.executable, "-c", TWO_CORES + PROGRAM, json.dumps(flag)]
    done = subprocess.run(
        command, cwd=root_dir, env=environment | variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == expected
