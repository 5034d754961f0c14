"""The commands of test_tipc/README.md as they are, with everything real but the place."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tipc_workspace import ROOT

FOLDERS = ("configs", "deploy", "paddleseg", "slim", "tools", ".venv")
PROGRAMS = ("train.py", "val.py", "export.py")
ENGINES = ("paddle", "onnxruntime", "openvino")
RESULTS = "test_tipc/output/ccnet/python_infer_*_results"

pytestmark = pytest.mark.slow


def documented_commands() -> list[str]:
    """The commands of the English part, one a line."""
    text = (ROOT / "test_tipc/README.md").read_text("utf-8").partition("## 中文")[0]
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def bash(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, timeout=800)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the two commands ran; its output is nobody else's."""
    root = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("output", "data")
    shutil.copytree(ROOT / "test_tipc", root / "test_tipc", ignore=ignored)
    for name in (*FOLDERS, *PROGRAMS):
        if (ROOT / name).exists():
            (root / name).symlink_to(ROOT / name)
    prepare, run, *_ = documented_commands()
    # A closed port in place of the Internet.
    done = bash(root, f"{prepare} --url http://127.0.0.1:9/cityscapes.tar")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Making the demo data set instead" in done.stdout
    done = bash(root, run)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return root


def test_every_step_of_the_lite_chain_runs(checkout: Path) -> None:
    header, *lines = (checkout / "test_tipc/output/ccnet/results_python.log").read_text().splitlines()
    assert "lite_train_lite_infer" in header
    assert all(line.startswith("Run successfully with command - ") for line in lines)
    programs = ["train.py", "val.py", "export.py", *["deploy/python/infer.py"] * 3]
    assert [line.split()[6] for line in lines] == programs
    folders = sorted(checkout.glob(RESULTS))
    assert len(folders) == 3
    for folder in folders:
        assert len(list((folder / "label").rglob("*.png"))) == 5


def compare(checkout: Path, metric_file: str, *flags: str) -> int:
    command = [".venv/bin/python", "test_tipc/compare_results.py", "--metric_file", metric_file, *flags]
    return subprocess.run([*command, "--predict_dir", RESULTS], cwd=checkout, timeout=60).returncode


def test_predictions_agree_with_the_stored_ones(checkout: Path) -> None:
    stored, save = (line for line in documented_commands() if "compare_results.py" in line)
    assert bash(checkout, stored.replace("python ", ".venv/bin/python ", 1)).returncode == 0
    mine = save.replace("FOLDER_OF_PREDICTIONS", str(next(iter(sorted(checkout.glob(RESULTS))))))
    assert bash(checkout, mine.replace("python ", ".venv/bin/python ", 1)).returncode == 0
    # Engines differ in rounding alone.
    assert compare(checkout, "mine_fp32.json", "--atol", "0.001") == 0


def test_predictions_of_other_weights_do_not(checkout: Path, tmp_path: Path) -> None:
    """Class ids moved by one, as a wrong head would do."""
    text = (ROOT / "test_tipc/results/ccnet_lite_cpu_fp32.json").read_text()
    rows = re.sub(r'"([\d ]+)"(,?)\n', lambda row: _one_more(row[1], row[2]), text)
    changed = tmp_path / "changed_fp32.json"
    changed.write_text(rows)
    assert compare(checkout, str(changed)) == 1


def _one_more(row: str, comma: str) -> str:
    return '"' + " ".join(str(int(number) + 1) for number in row.split()) + f'"{comma}\n'


def test_the_trained_model_is_quantised_and_runs_in_int8(checkout: Path) -> None:
    output = checkout / "test_tipc/output/ccnet"
    weights = next(output.glob("norm_gpus_*/best_model/model.pdparams"))
    shutil.copy(weights, output / "model.pdparams")
    parameters = checkout / "test_tipc/configs/ccnet/train_infer_python.txt"
    # The chain's own weights are of the small network.
    small = "cpu_opts:model.backbone.type=ResNet18_vd "
    parameters.write_text(parameters.read_text().replace("cpu_opts:", small, 1))
    (output / "results_python.log").unlink()
    run = documented_commands()[1].replace("lite_train_lite_infer", "klquant_whole_infer")
    done = bash(checkout, run)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    _, *lines = (output / "results_python.log").read_text().splitlines()
    programs = ["export.py", "slim/quant/ptq.py", *["deploy/python/infer.py"] * 2]
    assert [line.split()[6] for line in lines] == programs
    assert len(list(output.glob("*_int8_*/label/**/*.png"))) == 10


def test_missing_weights_fail_the_step_clearly(checkout: Path) -> None:
    (checkout / "test_tipc/output/ccnet/model.pdparams").unlink(missing_ok=True)
    done = bash(checkout, documented_commands()[1].replace("lite_train_lite_infer", "whole_infer"))
    assert done.returncode == 1
    assert "model.pdparams: no such file or folder" in done.stdout
    assert "Run failed with command - " in done.stdout.splitlines()[-2]
