"""Names of classes from a file, and their number from labels or from the run that weights are of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_project import Project

PROGRAMS = ("train", "val", "predict", "export")


def resolved(project: Project, prefix: str = "") -> dict[str, dict[str, object]]:
    return dict(yaml.safe_load((project.save_dir / f"{prefix}config.yml").read_text()))


def without_number(project: Project) -> None:
    for _ in range(2):
        project.replace("  num_classes: 3\n", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_names_from_a_file(project: Project, program: str) -> None:
    without_number(project)
    (project.root / "names.txt").write_text("road\nsky\ntall tree\n")
    outcome = project.run(program, "--classes", project.root / "names.txt")
    assert outcome.status == 0, outcome.err
    config = resolved(project, "" if program == "train" else f"{program}_")
    for block in ("train_dataset", "val_dataset"):
        assert config[block]["class_names"] == ["road", "sky", "tall tree"]
        assert config[block]["num_classes"] == 3
    assert config["model"]["num_classes"] == 3
    if program == "val":
        assert "tall tree" in outcome.out


def test_another_number_of_names_is_refused(project: Project) -> None:
    (project.root / "names.txt").write_text("road\nsky\n")
    project.run("train", "--classes", project.root / "names.txt").refused("class_names", "expected 3 entries")
    project.run("train", "--classes", project.root / "no.txt").refused("--classes", "no.txt: no such file")


def test_the_number_is_found_in_the_labels_and_recorded(project: Project) -> None:
    without_number(project)
    outcome = project.run("train", "--iters", "1")
    assert outcome.status == 0, outcome.err
    assert "num_classes: 3, as the largest id in the labels of train_dataset is 2" in outcome.out
    config = resolved(project)
    assert [config[block]["num_classes"] for block in ("model", "train_dataset", "val_dataset")] == [3, 3, 3]
    assert project.run("train", "--iters", "1", "--resume_model", "auto").status == 0


@pytest.mark.parametrize("program", PROGRAMS[1:])
def test_weights_of_a_run_bring_its_number(project: Project, program: str) -> None:
    """Although the labels of now would tell another."""
    without_number(project)
    assert project.run("train", "--iters", "1").status == 0
    run = project.root / "run"
    project.save_dir.rename(run)
    project.write("data/labels/train0.png", np.full((15, 20), 9, np.uint8))
    outcome = project.run(program, "--model_path", run / "iter_1" / "model.pdparams")
    assert outcome.status == 0, outcome.err
    assert f"num_classes: 3, as in the run of {run}/iter_1/model.pdparams" in outcome.out
    assert resolved(project, f"{program}_")["model"]["num_classes"] == 3


def test_neither_number_nor_data(project: Project) -> None:
    without_number(project)
    shutil.rmtree(Path(project.root) / "data" / "labels")
    project.run("export").refused("6 of 12 files do not exist", "labels/train0.png")
    assert not project.save_dir.exists()


def test_a_binary_mask_is_refused_before_anything_is_trained(project: Project) -> None:
    without_number(project)
    for i in range(6):
        project.write(f"data/labels/train{i}.png", np.resize(np.uint8([0, 255]), (15, 20)))
    project.run("train").refused("num_classes: not given", "Set label_map: {0: 0, 255: 1}")
    project.replace("  dataset_root", "  num_classes: 2\n  dataset_root")
    project.run("train").refused("hold 0 and 255 only", "Set label_map: {0: 0, 255: 1}")
    fix = "train_dataset.label_map={0: 0, 255: 1}"
    assert project.run("train", "--iters", "1", "--opts", fix).status == 0
