"""What a run records, and what works with a model that is nothing but a layer."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from small_project import Project

from paddleseg.build import load_config
from paddleseg.cli import train
from paddleseg.errors import UsageError

PROGRAMS = ("train", "val", "predict", "export")
INFERENCE = PROGRAMS[1:]
# No num_classes, in_channels or count_outputs to ask for.
BARE_NET = """
from paddle import nn
from paddleseg.registry import MODELS

@MODELS.register
class BareNet(nn.Layer):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2D({channels}, num_classes, 1)

    def forward(self, x):
        return [self.head(x)]
"""


@pytest.fixture
def bare(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, with a model that is a layer and no more."""
    monkeypatch.delitem(sys.modules, "bare_net", raising=False)
    (project.root / "bare_net.py").write_text(BARE_NET.format(channels=3))
    project.replace("plugins: [tiny_net]", "plugins: [bare_net]")
    project.replace("type: TinyNet", "type: BareNet")
    return project


def weights_for(project: Project, classes: int, channels: int = 3) -> Path:
    state = {
        "head.weight": np.zeros((classes, channels, 1, 1), np.float32),
        "head.bias": np.zeros(classes, np.float32),
    }
    path = project.root / f"classes{classes}.pdparams"
    path.write_bytes(pickle.dumps(state, protocol=4))
    return path


def record(project: Project, name: str = "environment.json") -> dict[str, object]:
    return dict(json.loads((project.save_dir / name).read_text()))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_model_that_is_only_a_layer(bare: Project, program: str) -> None:
    outcome = bare.run(program)
    assert outcome.status == 0, outcome.err
    if program == "export":
        deploy = yaml.safe_load((bare.save_dir / "deploy.yaml").read_text())["Deploy"]
        assert (deploy["num_classes"], deploy["input_shape"]) == (3, [-1, 3, -1, -1])


def test_channels_of_a_layer_come_from_the_data_set(bare: Project) -> None:
    (bare.root / "bare_net.py").write_text(BARE_NET.format(channels=1))
    text = bare.config.read_text()
    text = text.replace("num_classes: 3\n", "num_classes: 3\n  img_channels: 1\n")
    normalize = "- type: Normalize\n      mean: [0.5]\n      std: [0.5]"
    bare.config.write_text(text.replace("- type: Normalize", normalize))
    weights = weights_for(bare, 3, channels=1)
    for program in ("predict", "export"):
        outcome = bare.run(program, "--model_path", weights)
        assert outcome.status == 0, outcome.err + outcome.out
    deploy = yaml.safe_load((bare.save_dir / "deploy.yaml").read_text())["Deploy"]
    assert deploy["input_shape"] == [-1, 1, -1, -1]


@pytest.mark.parametrize("name", ["TinyNet", "BareNet"])
def test_pretrained_for_other_classes(bare: Project, name: str) -> None:
    bare.replace("plugins: [bare_net]", "plugins: [bare_net, tiny_net]")
    bare.replace("type: BareNet", f"type: {name}\n  pretrained: {weights_for(bare, 5)}")
    before = bare.files()
    common = ["--config", bare.config, "--save_dir", bare.save_dir]
    at = f"{bare.config}:32 model.pretrained: "
    for program in PROGRAMS:
        images = ["--image_path", bare.images] if program == "predict" else []
        outcome = bare.run_bare(program, *common, *images)
        outcome.refused(at, "these weights are for 5 classes, the model has 3", "give --allow_mismatch")
        assert bare.files() == before
    outcome = bare.run("train", "--allow_mismatch", "--iters", 1)
    assert outcome.status == 0, outcome.err
    assert "because the file has 5 classes and the model 3" in outcome.out
    outcome = bare.run_bare("val", *common, "--allow_mismatch")
    assert outcome.status == 0, outcome.err


def test_model_path_for_other_classes(bare: Project) -> None:
    for program in INFERENCE:
        flags = ["--model_path", weights_for(bare, 5)]
        bare.run(program, *flags).refused("these weights are for 5 classes, the model has 3")
        assert bare.run(program, *flags, "--allow_mismatch").status == 0


def test_every_program_leaves_its_record(project: Project) -> None:
    assert project.run("train", "--iters", 2, "--seed", 7).status == 0
    kept = {name: (project.save_dir / name).read_bytes() for name in ("config.yml", "environment.json")}
    for program in INFERENCE:
        assert project.run(program, "--opts", "seed=9").status == 0
        written = load_config(project.save_dir / f"{program}_config.yml")
        assert (written.tree["seed"], written.tree["model"]["num_classes"]) == (9, 3)
        environment = record(project, f"{program}_environment.json")
        assert environment["command"][0] == f"{program}.py"  # type: ignore[index]
        assert {"packages", "git", "settings", "seed"} <= set(environment)
    assert {name: (project.save_dir / name).read_bytes() for name in kept} == kept


def test_a_resumed_run_records_the_seed_that_counts(project: Project) -> None:
    assert project.run("train", "--seed", 7, "--save_interval", 2).status == 0
    first = record(project)
    assert (first["seed"], first["resumed_from"], first["iteration"]) == (7, None, 0)
    assert first["processes"] == 1
    checkpoint = project.save_dir / "iter_2"
    outcome = project.run("train", "--resume_model", checkpoint)
    assert outcome.status == 0, outcome.err
    again = record(project)
    assert (again["seed"], again["resumed_from"], again["iteration"]) == (7, str(checkpoint), 2)


def test_another_seed_than_the_checkpoints_is_refused(project: Project) -> None:
    assert project.run("train", "--seed", 7, "--save_interval", 2).status == 0
    project.run("train", "--seed", 8, "--resume_model", "auto").refused("config.seed: 7 → 8")


def test_resuming_a_finished_run_says_so(project: Project) -> None:
    assert project.run("train", "--iters", 2).status == 0
    kept = {name: (project.save_dir / name).read_bytes() for name in ("environment.json", "metrics.jsonl")}
    outcome = project.run("train", "--iters", 2, "--resume_model", "auto")
    assert outcome.status == 0, outcome.err
    assert "nothing left to do: 2 iterations are done already and iters is 2" in outcome.out
    assert {name: (project.save_dir / name).read_bytes() for name in kept} == kept


def test_the_config_of_a_run_loads_again_and_repeats_it(project: Project) -> None:
    flags = ("--accumulate", 3, "--batch_size", 1, "--use_ema", "--seed", 7, "--log_iters", 1)
    assert project.run("train", *flags, "--opts", "on_non_finite=skip", "worker_timeout=60").status == 0
    config = load_config(project.save_dir / "config.yml")
    settings = config.settings
    assert (settings.accumulate, settings.use_ema, settings.on_non_finite) == (3, True, "skip")
    assert settings.worker_timeout == 60
    losses = []
    for folder in (project.save_dir, project.root / "again"):
        rows = (folder / "metrics.jsonl").read_text().splitlines() if folder.exists() else []
        if not rows:
            common = ("--save_dir", folder, "--log_iters", 1)
            outcome = project.run_bare("train", "--config", project.save_dir / "config.yml", *common)
            assert outcome.status == 0, outcome.err
            rows = (folder / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(row)["Train/loss"] for row in rows])
    assert len(losses[0]) == 4
    assert losses[0] == losses[1]


def test_where_the_time_went_is_in_the_log(project: Project) -> None:
    outcome = project.run("train", "--log_iters", 2)
    lines = [line.partition("[TIME] ")[2] for line in outcome.out.splitlines() if "[TIME] " in line]
    number = r"\d+\.\d{4}"
    names = ("reader", "forward", "loss", "backward", "communication", "optimizer")
    pattern = r"iter: (\d), seconds: " + ", ".join(f"{name} {number}" for name in names)
    matches = [re.fullmatch(pattern, line) for line in lines]
    assert [match and match[1] for match in matches] == ["2", "4"]


def test_a_step_that_is_not_finite_ends_in_one_message(project: Project) -> None:
    plugin, forward = project.root / "tiny_net.py", "return [self.head(x)]"
    assert forward in plugin.read_text()
    count = "self.calls = getattr(self, 'calls', 0) + 1\n        "
    third = "return [self.head(x) * (float('nan') if self.calls == 3 else 1.0)]"
    plugin.write_text(plugin.read_text().replace(forward, count + third))
    outcome = project.run("train", "--save_interval", 2)
    checkpoint = project.save_dir / "iter_2"
    outcome.refused("iteration 3: the loss is not finite (loss: nan", f"last good checkpoint: {checkpoint}\n")
    report = re.search(r"report in (\S+);", outcome.err)
    assert report is not None
    content = json.loads(Path(report[1]).read_text())
    assert len(content["files"]) == 2
    assert (content["iteration"], content["last_checkpoint"]) == (3, str(checkpoint))
    assert load_config(project.save_dir / "non_finite" / "config.yml").settings.batch_size == 2


def test_steps_and_samples_that_were_left_out_are_reported(project: Project) -> None:
    (project.images / "train3.png").write_bytes(b"no picture")
    outcome = project.run("train", "--opts", "on_bad_sample=skip", "iters=3")
    assert outcome.status == 0, outcome.err
    assert outcome.out.count("skipped: ") == 1
    assert str(project.images / "train3.png") in outcome.out
    assert "bad samples left out since the start of the run: 1" in outcome.out
    assert json.loads((project.save_dir / "iter_3" / "state.json").read_text())["skipped_samples"] == 1


@pytest.mark.parametrize("flags", [(), ("--use_vdl", "--do_eval", "--log_iters", 1)])
def test_wrong_number_of_coefficients_leaves_nothing(bare: Project, flags: tuple[object, ...]) -> None:
    before = bare.files()
    bare.run("train", *flags, "--opts", "loss.coef=[1,0.4]").refused(
        "loss: 2 losses for 1 outputs of the model"
    )
    assert bare.files() == before


def test_home_in_paths(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project.root))
    text = project.config.read_text().replace(f"{project.root}/", "~/")
    assert "dataset_root: ~/data" in text
    assert "train_path: ~/data/train.txt" in text
    project.config.write_text(f"{text}  pretrained: ~/weights.pdparams\n")
    outcome = project.run("train", "--do_eval")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("program", ["predict", "export"])
def test_programs_that_work_in_one_process(
    project: Project, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    before = project.files()
    project.run(program).refused(
        "started as one of 2 processes",
        f"{program}.py works in one; start it without paddle.distributed.launch",
        origin="[rank 0] ",
    )
    assert project.files() == before


@pytest.mark.parametrize("program", ["train", "val"])
def test_a_place_without_its_launcher(
    project: Project, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.delenv("PADDLE_MASTER", raising=False)
    before = project.files()
    project.run(program).refused("PADDLE_MASTER=''", "paddle.distributed.launch", origin="[rank 0] ")
    assert project.files() == before
    monkeypatch.setenv("PADDLE_TRAINER_ID", "2")
    project.run(program).refused("PADDLE_TRAINER_ID=2: expected less than PADDLE_TRAINERS_NUM=2")
    assert project.files() == before


def test_only_the_main_process_looks_for_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(UsageError, match="no such folder"):
        train._check_resume_folder("/on/another/machine/iter_2")
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    train._check_resume_folder("/on/another/machine/iter_2")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_log_names_the_device(project: Project, program: str) -> None:
    outcome = project.run(program)
    device = paddle.device.get_device()
    assert device == "cpu"
    assert f"[RUN] device: {device}" in outcome.out
    assert "Place(" not in outcome.out
