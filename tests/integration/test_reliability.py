"""Short versions of the campaigns about training runs; ``docs/reliability.md`` has the long ones' results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


def run_campaign(root_dir: Path, folder: Path, name: str, *flags: str) -> str:
    """Runs a campaign, which ends with status 0 where it found nothing wrong. Returns its table."""
    process = subprocess.run(
        [sys.executable, str(root_dir / f"tests/campaigns/{name}.py"), "--folder", str(folder), *flags],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize("setting", ["1", "2"], ids=["one process, two workers", "two processes"])
def test_a_run_that_is_killed_and_resumed_ends_as_if_nothing_had_happened(
    root_dir: Path, tmp_path: Path, setting: str
) -> None:
    flags = ["--count", "2", "--settings", setting, "--iterations", "18"]
    assert "2 kills" in run_campaign(root_dir, tmp_path, "kills", *flags)


@pytest.mark.parametrize("fault", ["rank 1 of 2 raises", "saving takes 36 s"])
def test_a_fault_ends_a_run_of_two_processes_only_where_it_must(
    root_dir: Path, tmp_path: Path, fault: str
) -> None:
    table = run_campaign(root_dir, tmp_path, "faults", "--times", "1", "--no-resume", "--only", fault)
    assert f"| {fault}" in table
