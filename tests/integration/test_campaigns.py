"""Short versions of the campaigns of bad input; ``docs/reliability.md`` has the long ones' results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECONDS = 300


def run(root_dir: Path, tmp_path: Path, name: str, count: int) -> str:
    """Runs a campaign as a process of its own: it limits its memory and sets alarms."""
    done = subprocess.run(
        [sys.executable, str(root_dir / f"tests/campaigns/{name}.py"), "--count", str(count)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    ("name", "count"), [("bad_configs", 150), ("bad_images", 60), ("bad_checkpoints", 25)]
)
def test_every_bad_input_ends_in_a_message(root_dir: Path, tmp_path: Path, name: str, count: int) -> None:
    table = run(root_dir, tmp_path, name, count)
    assert f": {count} inputs in " in table
    refused = re.search(r"\| all \| (\d+) \|", table)
    assert refused is not None, table
    assert int(refused[1]) > count // 3, "hardly any input is bad"


@pytest.mark.distributed
def test_bad_input_on_real_command_lines(root_dir: Path, tmp_path: Path) -> None:
    assert ": 3 inputs in " in run(root_dir, tmp_path, "command_lines", 3)


BAD_CODE = """
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from harness import FINDING, MEBIBYTE, REFUSED, ACCEPTED, Case, Watch, table

from paddleseg.errors import PaddleSegError

def refuse(message="x is 3; expected 1"):
    raise PaddleSegError(message)

def crash():
    {}["x"]

def write():
    Path("watched/new.txt").write_text("x")
    refuse()

def change():
    Path("watched/given.txt").write_text("other")

Path("watched").mkdir()
Path("watched/given.txt").write_text("mine")
watch = Watch(seconds=1, growth=64 * MEBIBYTE, folder=Path("watched"))
expected = [
    (lambda: None, ACCEPTED),
    (refuse, REFUSED),
    (lambda: refuse(""), FINDING),
    (lambda: refuse("Traceback (most recent call last)"), FINDING),
    (lambda: refuse("x" * 10**6), FINDING),
    (crash, FINDING),
    (lambda: time.sleep(30), FINDING),
    (lambda: len(bytearray(200 * MEBIBYTE)) and None, FINDING),
    (write, FINDING),
    (change, FINDING),
]
for number, (function, outcome) in enumerate(expected):
    result = watch.run(Case("kind", str(number), function))
    assert result.outcome == outcome, (number, result)
kinds = [("a", refuse), ("b", crash), ("a", refuse)]
results = [watch.run(Case(kind, "", function)) for kind, function in kinds]
assert table("Title", results, seconds=1.2).splitlines() == [
    "Title: 3 inputs in 1 s, 1 findings",
    "| mutation | refused | FINDING | all |",
    "|---|---:|---:|---:|",
    "| a | 2 | 0 | 2 |",
    "| b | 0 | 1 | 1 |",
    "| all | 2 | 1 | 3 |",
]
"""


def test_the_watch_sees_every_way_to_go_wrong(root_dir: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BAD_CODE, str(root_dir / "tests/campaigns")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
