"""Every flag of PaddleSeg's and CCNet_paddle's four programs: it works, or is refused with the reason."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from small_project import Project

from paddleseg.cli import main
from paddleseg.inference import InferenceOptions

# Read off the argument parsers of PaddleSeg (tools/) and CCNet_paddle, both lists joined.
PEERS = {
    "train": "amp_level batch_size config data_format device do_eval early_stop_intervals for_fd fp16 "
    "input_shape iters keep_checkpoint_max learning_rate log_iter log_iters num_workers opts output_op "
    "precision profiler_options repeats resume_model save_dir save_interval seed to_static_training use_ema "
    "use_multilabel use_vdl",
    "val": "auc_roc aug_eval config crop_size data_format device flip_horizontal flip_vertical is_slide "
    "model_path num_workers opts scales stride use_multilabel",
    "predict": "aug_pred config crop_size custom_color device device_id flip_horizontal flip_vertical "
    "image_path is_slide model_path save_dir scales stride use_multilabel",
    "export": "config for_fd input_shape model_path output_op save_dir with_softmax without_argmax",
}

REFUSED = [
    ("train", "--data_format NHWC", "remove the flag"),
    ("train", "--for_fd", "run export.py"),
    ("train", "--input_shape 1 3 8 8", "run export.py"),
    ("train", "--output_op softmax", "run export.py"),
    ("train", "--fp16 --precision bf16", "contradict each other; give one of them"),
    ("train", "--repeats 2", "remove the flag"),
    ("train", "--use_multilabel", "remove the flag"),
    ("val", "--data_format NHWC", "remove the flag"),
    ("val", "--use_multilabel", "remove the flag"),
    ("predict", "--use_multilabel", "remove the flag"),
    ("export", "--for_fd", "use deploy.yaml"),
    ("export", "--output_op argmax --without_argmax", "give one of them"),
    ("export", "--output_op softmax --with_softmax", "give one of them"),
]


def resolved(project: Project) -> dict[str, Any]:
    """The config as the run recorded it."""
    return dict(yaml.safe_load((project.save_dir / "config.yml").read_text()))


def environment(project: Project) -> dict[str, Any]:
    return dict(json.loads((project.save_dir / "environment.json").read_text()))


def rows(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.save_dir / "metrics.jsonl").read_text().splitlines()]


def images_an_iteration(project: Project) -> int:
    log = (project.save_dir / "train.log").read_text()
    return int(log.rpartition(" images an iteration")[0].rpartition("[RUN] ")[2])


def checkpoints(project: Project) -> set[str]:
    return {path.name for path in project.save_dir.glob("iter_*")}


# What each flag does to a run of four iterations, batch size 2, lr 0.01.
TRAIN: list[tuple[str, Callable[[Project], bool]]] = [
    ("--accumulate 3 --batch_size 1", lambda p: images_an_iteration(p) == 3),
    ("--accumulate auto --opts global_batch_size=6", lambda p: images_an_iteration(p) == 6),
    ("--amp_level O2", lambda p: resolved(p)["amp_level"] == "O2"),
    ("--batch_size 3", lambda p: resolved(p)["batch_size"] == 3),
    ("--config {config}", lambda p: checkpoints(p) == {"iter_4"}),
    ("--data_format NCHW", lambda p: checkpoints(p) == {"iter_4"}),
    ("--device cpu", lambda p: checkpoints(p) == {"iter_4"}),
    ("--do_eval", lambda p: (p.save_dir / "best_model" / "model.pdparams").is_file()),
    # A constant model: the first evaluation is the best, the next one without gain ends the run.
    (
        "--early_stop_intervals 1 --do_eval --save_interval 1 --opts lr_scheduler.learning_rate=0",
        lambda p: "iter_2" in checkpoints(p) and "iter_3" not in checkpoints(p),
    ),
    ("--force", lambda p: checkpoints(p) == {"iter_4"}),
    ("--iters 2", lambda p: checkpoints(p) == {"iter_2"}),
    ("--keep_checkpoint_max 2 --save_interval 1", lambda p: checkpoints(p) == {"iter_3", "iter_4"}),
    ("--learning_rate 0.5 --iters 1", lambda p: rows(p)[0]["Train/lr"] == 0.5),
    ("--log_iter 1", lambda p: [row["iter"] for row in rows(p)] == [1, 2, 3, 4]),
    ("--log_iters 2", lambda p: [row["iter"] for row in rows(p)] == [2, 4]),
    ("--no_data_check", lambda p: "looked at" not in (p.save_dir / "train.log").read_text()),
    ("--num_workers 1", lambda p: checkpoints(p) == {"iter_4"}),
    ("--opts iters=2 batch_size=1 --opts seed=3", lambda p: environment(p)["seed"] == 3),
    ("--output_op argmax", lambda p: checkpoints(p) == {"iter_4"}),
    ("--precision fp32", lambda p: checkpoints(p) == {"iter_4"}),
    (
        "--profiler_options batch_range=[1,3];sorted_key=max;tracer_option=OpDetail",
        lambda p: checkpoints(p) == {"iter_3"} and (p.save_dir / "profiler" / "summary.txt").is_file(),
    ),
    (
        "--profiler_options batch_range=[1,2];timer_only=True;exit_on_finished=no",
        lambda p: checkpoints(p) == {"iter_4"} and not (p.save_dir / "profiler").exists(),
    ),
    ("--resume_model auto", lambda p: environment(p)["resumed_from"] == "auto"),
    ("--repeats 1", lambda p: checkpoints(p) == {"iter_4"}),
    ("--save_dir {root}/elsewhere/deep", lambda p: (p.root / "elsewhere/deep/iter_4").is_dir()),
    ("--save_interval 3", lambda p: checkpoints(p) == {"iter_3", "iter_4"}),
    ("--seed 7", lambda p: environment(p)["seed"] == 7 and resolved(p)["seed"] == 7),
    ("--to_static_training --iters 1", lambda p: resolved(p)["to_static_training"] is True),
    ("--use_ema", lambda p: (p.save_dir / "iter_4" / "ema.pdparams").is_file()),
    ("--use_vdl", lambda p: any("vdlrecords" in file.name for file in p.save_dir.iterdir())),
]

SIZED = {"is_slide": True, "crop_size": [8, 6], "stride": [4, 3]}
INFERENCE: list[tuple[str, str, dict[str, Any]]] = [
    ("both", "--{augment}", {}),
    ("both", "--{augment} --scales 0.5 1 2", {"scales": [0.5, 1.0, 2.0]}),
    ("both", "--scales 0.5", {"scales": [0.5]}),
    ("both", "--flip_horizontal", {"flip_horizontal": True}),
    ("both", "--flip_vertical --{augment}", {"flip_vertical": True}),
    ("both", "--is_slide --crop_size 8 6 --stride 4 3", SIZED),
    ("both", "--crop_size 8 6 --stride 4 3", SIZED),
    ("both", "--scales 0.5 --opts test_config.scales=[2,3]", {"scales": [2, 3]}),
    ("both", "--flip_horizontal --opts test_config.flip_horizontal=False", {}),
    ("both", "--opts test_config.scales=0.75,1.0 test_config.{augment}=True", {"scales": [0.75, 1.0]}),
    # As in PaddleSeg, what the config says counts with its switch only.
    ("both", "--opts test_config.scales=0.75,1.0 test_config.flip_horizontal=True", {}),
    ("val", "--auc_roc True --num_workers 1 --data_format NCHW", {}),
    ("predict", "--device cpu --device_id 0 --custom_color 1 2 3", {}),
]
EXPORT = [
    ("", {"output_op": "argmax", "input_shape": [-1, 3, -1, -1]}),
    ("--without_argmax", {"output_op": "none"}),
    ("--without_argmax --with_softmax", {"output_op": "softmax"}),
    ("--with_softmax", {"output_op": "argmax"}),
    ("--output_op softmax", {"output_op": "softmax"}),
    ("--output_op none --without_argmax", {"output_op": "none"}),
    ("--input_shape 1 3 16 24", {"input_shape": [1, 3, 16, 24]}),
    ("--format legacy", {"model": "model.pdmodel", "params": "model.pdiparams"}),
    ('--opts val_dataset.transforms=[{"type":"Resize"},{"type":"Normalize"}]', {"output_op": "none"}),
]


def test_no_flag_of_the_peers_is_forgotten() -> None:
    def flags_in(*texts: str) -> set[str]:
        return {word.removeprefix("--") for text in texts for word in text.split() if word.startswith("--")}

    inference = [(program, flags) for program, flags, _ in INFERENCE]
    tried = {
        "train": flags_in(*(flags for flags, _ in TRAIN)),
        "val": flags_in(*(f.format(augment="aug_eval") for p, f in inference if p != "predict")),
        "predict": flags_in(*(f.format(augment="aug_pred") for p, f in inference if p != "val")),
        "export": flags_in(*(flags for flags, _ in EXPORT)),
    }
    given_always = {"config", "device", "save_dir", "model_path", "image_path"}
    for program, flags in PEERS.items():
        refused = flags_in(*(flags for name, flags, _ in REFUSED if name == program))
        assert set(flags.split()) <= tried[program] | refused | given_always, program


@pytest.mark.parametrize(("program", "flags", "instead"), REFUSED)
def test_refused_with_the_reason(project: Project, program: str, flags: str, instead: str) -> None:
    before = project.files()
    flag = flags.split()[0]
    project.run(program, *flags.split()).refused(flag, instead)
    assert project.files() == before


@pytest.mark.parametrize(("flags", "check"), TRAIN)
def test_training_flag_has_its_effect(project: Project, flags: str, check: Callable[[Project], bool]) -> None:
    flags = flags.replace("{config}", str(project.config)).replace("{root}", str(project.root))
    outcome = project.run("train", *flags.split())
    assert outcome.status == 0, outcome.err
    assert check(project), (checkpoints(project), outcome.out)


@pytest.mark.parametrize("flags", ["--fp16", "--precision fp16", "--precision bf16 --amp_level O2"])
def test_mixed_precision_is_refused_on_cpu_in_one_sentence(project: Project, flags: str) -> None:
    before = project.files()
    outcome = project.run("train", *flags.split())
    name = "bf16" if "bf16" in flags else "fp16"
    outcome.refused(
        f"error: precision {name} is not available on cpu: ", "use --precision fp32, or an NVIDIA"
    )
    assert outcome.err.count("\n") == 1
    assert project.files() == before


@pytest.mark.parametrize("which", ["iter_2", "iter_2 that a kill left aside", "auto"])
def test_resume_goes_on_where_the_checkpoint_was(project: Project, which: str) -> None:
    flags = ("--save_interval", 2, "--log_iters", 1)
    assert project.run("train", *flags).status == 0
    if which == "auto":
        shutil.rmtree(project.save_dir / "iter_4")
    elif "aside" in which:
        (project.save_dir / "iter_2").rename(project.save_dir / ".iter_2.replaced")
    expected = {row["iter"]: row["Train/loss"] for row in rows(project)}
    resumed = project.run(
        "train", "--resume_model", "auto" if which == "auto" else project.save_dir / "iter_2", *flags
    )
    assert resumed.status == 0, resumed.err
    assert f"[RESUME] {project.save_dir / 'iter_2'}: going on after iteration 2, seed 0" in resumed.out
    assert [(row["iter"], row["Train/loss"]) for row in rows(project)] == list(expected.items())


def test_force_goes_on_with_another_config(project: Project) -> None:
    assert project.run("train", "--iters", 2).status == 0
    flags = ("--resume_model", "auto", "--learning_rate", 0.5)
    project.run("train", *flags).refused(
        f"cannot resume from {project.save_dir / 'iter_2'}: this run differs",
        "\n  config.iters: 2 → 4\n  config.lr_scheduler.learning_rate: 0.01 → 0.5\nput these back",
    )
    outcome = project.run("train", *flags, "--force")
    assert outcome.status == 0, outcome.err
    assert "[RESUME] config.iters: 2 → 4 (changes the result)" in outcome.out
    assert checkpoints(project) == {"iter_2", "iter_4"}


def test_another_global_batch_is_said_and_accumulate_keeps_it(project: Project) -> None:
    project.replace("batch_size: 2", "batch_size: 2\nglobal_batch_size: 4")
    advice = "linear scaling would change the learning rate from 0.01 to 0.005 (--learning_rate 0.005)"
    outcome = project.run("train")
    assert outcome.status == 0, outcome.err
    assert advice in outcome.out
    outcome = project.run("train", "--accumulate", "auto")
    assert outcome.status == 0, outcome.err
    assert "linear scaling" not in outcome.out
    assert images_an_iteration(project) == 4


def test_opts_come_after_the_programs_flags(project: Project) -> None:
    assert project.run("train", "--iters", 3, "--seed", 1, "--opts", "iters=2", "seed=5").status == 0
    assert checkpoints(project) == {"iter_2"}
    assert environment(project)["seed"] == 5


@pytest.mark.parametrize(
    ("program", "flags", "expected"),
    [
        (program, flags, expected)
        for name, flags, expected in INFERENCE
        for program in (("val", "predict") if name == "both" else (name,))
    ],
)
def test_inference_flags_reach_the_inference(
    project: Project, monkeypatch: pytest.MonkeyPatch, program: str, flags: str, expected: dict[str, Any]
) -> None:
    from paddleseg.engine import options

    seen: list[InferenceOptions] = []
    made_by = options.inference_options

    def spy(*args: Any, **named: Any) -> InferenceOptions:
        seen.append(made_by(*args, **named))
        return seen[-1]

    monkeypatch.setattr(options, "inference_options", spy)
    flags = flags.format(augment={"val": "aug_eval", "predict": "aug_pred"}[program])
    outcome = project.run(program, *flags.split())
    assert outcome.status == 0, outcome.err
    assert seen == [InferenceOptions(**expected)]


def test_auc_roc_as_both_peers_spell_it(project: Project) -> None:
    measured = []
    for flags in ((), ("--auc_roc",), ("--auc_roc", "True"), ("--auc_roc", "False")):
        assert project.run("val", *flags).status == 0
        metrics = json.loads((project.save_dir / "metrics.json").read_text())
        measured.append(any("auc" in name.lower() and metrics[name] is not None for name in metrics))
    assert measured == [False, True, True, False]


def test_custom_color_paints_the_prediction(project: Project) -> None:
    colors = [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert project.run("predict", "--custom_color", *colors).status == 0
    with Image.open(project.save_dir / "pseudo_color_prediction" / "val0.png") as picture:
        palette = picture.getpalette()
    assert palette is not None
    assert palette[:9] == colors


@pytest.mark.parametrize(("flags", "expected"), EXPORT)
def test_export_flags_are_written_into_deploy_yaml(
    project: Project, flags: str, expected: dict[str, Any]
) -> None:
    outcome = project.run("export", *flags.split())
    assert outcome.status == 0, outcome.err
    deploy = yaml.safe_load((project.save_dir / "deploy.yaml").read_text())["Deploy"]
    assert {key: deploy[key] for key in expected} == expected


def test_export_prints_each_comparison(project: Project) -> None:
    outcome = project.run("export", "--format", "all")
    assert outcome.status == 0, outcome.err
    checks = [line.partition("[CHECK] ")[2] for line in outcome.out.splitlines() if "[CHECK]" in line]
    images = ["random image 128×192", "random image 97×161", "picture 1 15×20", "picture 2 15×20"]
    expected = [f"{name}, {image}" for name in ("paddle", "legacy", "onnx") for image in images]
    assert [line.partition(":")[0] for line in checks] == expected
    figures = re.compile(r".*: largest difference of logits \d\S* \(largest \d\S*\), equal labels 100\.0000%")
    assert all(figures.fullmatch(line) for line in checks), checks
    assert "Paddle2ONNX" not in outcome.out + outcome.err
    deploy = yaml.safe_load((project.save_dir / "deploy.yaml").read_text())["Deploy"]
    assert (deploy["legacy_model"], deploy["onnx"]) == ("legacy/model.pdmodel", "model.onnx")


def test_a_model_path_may_be_a_folder(project: Project) -> None:
    assert project.run("train", "--do_eval").status == 0
    assert project.run("val", "--model_path", project.save_dir / "best_model").status == 0
    assert project.run("val", "--model_path", project.save_dir).status == 0


def test_help_is_complete_and_needs_no_framework(root_dir: Path) -> None:
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        importlib.import_module(f'paddleseg.cli.{name}').main(['-h'])\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n"
        "    print('END')\n"
        "assert 'paddle' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *PEERS], cwd=root_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    helps = dict(zip(PEERS, done.stdout.split("END"), strict=False))
    for name, flags in PEERS.items():
        missing = [flag for flag in flags.split() if f"--{flag}" not in helps[name]]
        assert not missing, (name, missing)


def test_one_command_for_the_four_programs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *project.arguments("train"), "--iters", "1"]) == 0
    assert checkpoints(project) == {"iter_1"}
    assert main(["-h"]) == 0
    assert "train,val,predict,export" in capsys.readouterr().out
    assert main(["trian"]) == 2
    assert main([]) == 2
