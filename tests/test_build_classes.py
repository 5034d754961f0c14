"""The number of classes where the labels, a pack or a training run have to tell it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from class_cases import FOLDER, MODEL, load, make_folder

from paddleseg.build import build_dataset
from paddleseg.build_classes import count_in_labels, recorded_class_count
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.errors import ConfigError, DataError


def test_the_labels_tell_the_number_of_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_folder(tmp_path / "data", {"train": [0, 1, 4, 255], "val": [0, 2]})
    block = {**FOLDER, "dataset_root": str(data)}
    tree = {"model": MODEL, "train_dataset": block, "val_dataset": block}
    with pytest.raises(ConfigError, match=r"num_classes: missing, and no data set tells it"):
        load(tmp_path, tree)
    with caplog.at_level("INFO", "paddleseg"):
        config = load(
            tmp_path, tree, count_classes=lambda found: (count_in_labels(found, threads=2), "the labels")
        )
    assert config.tree["model"]["num_classes"] == config.tree["val_dataset"]["num_classes"] == 5
    assert config.source("train_dataset.num_classes") == "the labels"
    assert "num_classes: 5, as the largest id in the labels of train_dataset is 4" in caplog.text
    assert "no label of train_dataset holds 2, 3; label_map can close the gap" in caplog.text
    assert build_dataset(config, "train").num_classes == 5


def test_ids_from_1_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_folder(tmp_path / "data", {"train": [1, 2]})
    config = load(tmp_path, {"train_dataset": {**FOLDER, "dataset_root": str(data)}})
    assert count_in_labels(config) == 3
    assert (
        "no label of train_dataset holds 0; where 0 is no class, set reduce_zero_label: True" in caplog.text
    )
    told = {**FOLDER, "dataset_root": str(data), "reduce_zero_label": True}
    assert count_in_labels(load(tmp_path, {"train_dataset": told})) == 2


def test_other_mistakes_are_told_before_labels_are_read(tmp_path: Path) -> None:
    tree = {"model": {**MODEL, "recurrence": -1}, "train_dataset": FOLDER}
    with pytest.raises(ConfigError, match="recurrence"):
        load(tmp_path, tree, count_classes=lambda _: pytest.fail("has read labels"))
    known = {"model": MODEL, "train_dataset": {**FOLDER, "num_classes": 3}}
    load(tmp_path, known, count_classes=lambda _: pytest.fail("has read labels"))


def test_a_pack_tells_the_number_of_classes(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", {"train": [0, 1]})
    block = {**FOLDER, "dataset_root": str(data)}
    full = load(tmp_path, {"train_dataset": {**block, "num_classes": 9}})
    build_pack(build_dataset(full, "train"), tmp_path / "pack", PackOptions(shards=1))
    shutil.rmtree(data)
    config = load(tmp_path, {"train_dataset": {**block, "pack": str(tmp_path / "pack")}})
    assert count_in_labels(config) == 9


def test_no_training_set_to_look_into(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"num_classes: not given, and there is no train_dataset"):
        count_in_labels(load(tmp_path, {"val_dataset": FOLDER}))


def test_a_run_tells_the_number_of_classes(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("model:\n  num_classes: 6\n")
    weights = tmp_path / "best_model" / "model.pdparams"
    weights.parent.mkdir()
    weights.touch()
    assert recorded_class_count(str(weights)) == 6
    assert recorded_class_count(str(weights.parent)) == 6
    assert recorded_class_count(str(tmp_path)) == 6
    assert recorded_class_count(None) is None
    assert recorded_class_count("https://example.com/model.pdparams") is None
    (tmp_path / "config.yml").write_text("model: [")
    assert recorded_class_count(str(weights)) is None


def test_masks_whose_foreground_would_be_ignored_are_refused(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", {"train": [0, 255], "val": [0, 255]})
    block = {**FOLDER, "dataset_root": str(data), "num_classes": 2}
    tree = {"train_dataset": block, "val_dataset": block}
    for split in ("train", "val"):
        with pytest.raises(DataError, match=r"Set label_map: {0: 0, 255: 1}"):
            build_dataset(load(tmp_path, tree), split)
    fixed = load(tmp_path, tree, overrides=["train_dataset.label_map={0: 0, 255: 1}"])
    assert build_dataset(fixed, "val").load(0).label[0].tolist() == [0, 1]
