"""Names, number and coding of the classes, as blocks and files tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from class_cases import CITY, FOLDER, MODEL, load, make_folder

from paddleseg.build import build_dataset, dataset_facts
from paddleseg.errors import ConfigError, UsageError


@pytest.mark.parametrize(
    ("keys", "count", "origin"),
    [
        ({"class_names": ["a", "b", "c"]}, 3, "class_names"),
        ({"label_map": {"0": 0, "255": 1}}, 2, "label_map"),
        ({"color_map": [[0, 0, 0], [9, 9, 9], [1, 1, 1]]}, 3, "color_map"),
        ({"class_names": ["a", "b", "c"], "label_map": {0: 0, 255: 1}}, 3, "class_names"),
    ],
)
def test_blocks_tell_the_number_of_classes(
    tmp_path: Path, keys: dict[str, Any], count: int, origin: str
) -> None:
    config = load(tmp_path, {"model": MODEL, "train_dataset": {**FOLDER, **keys}})
    assert config.tree["train_dataset"]["num_classes"] == config.tree["model"]["num_classes"] == count
    assert config.source("train_dataset.num_classes") == f"filled in from train_dataset.{origin}"


def test_the_model_tells_the_data_sets(tmp_path: Path) -> None:
    tree = {"model": {**MODEL, "num_classes": 7}, "train_dataset": FOLDER, "val_dataset": FOLDER}
    config = load(tmp_path, tree)
    assert config.tree["train_dataset"]["num_classes"] == config.tree["val_dataset"]["num_classes"] == 7


def test_a_map_changes_the_classes_of_a_public_data_set(tmp_path: Path) -> None:
    tree = {"model": MODEL, "train_dataset": {**CITY, "label_map": {0: 0, 1: 0, 11: 1, "other": "ignore"}}}
    config = load(tmp_path, {**tree, "val_dataset": CITY})
    assert config.tree["model"]["num_classes"] == 2
    # Parts of one folder are read alike.
    assert config.tree["val_dataset"]["label_map"] == {"0": 0, "1": 0, "11": 1, "other": "ignore"}
    assert dataset_facts(config) == (None, None)
    names = {"train_dataset.class_names": ["ground", "person"]}
    assert dataset_facts(load(tmp_path, tree, overrides=names))[0] == ["ground", "person"]
    plain_names, colours = dataset_facts(load(tmp_path, {"train_dataset": CITY}))
    assert plain_names is not None
    assert colours is not None
    assert (plain_names[13], colours[13]) == ("car", [0, 0, 142])


def test_a_map_on_the_command_line_has_whole_numbers_as_keys(tmp_path: Path) -> None:
    config = load(tmp_path, {"train_dataset": FOLDER}, overrides=["train_dataset.label_map={0: 0, 255: 1}"])
    assert config.tree["train_dataset"]["label_map"] == {"0": 0, "255": 1}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"label_map": {"road": 0}},
            "train_dataset.label_map: expected ids of the files as keys, got 'road'",
        ),
        ({"color_map": [[0, 0]]}, "train_dataset.color_map: expected colours of three numbers"),
        (
            {"label_map": {0: 0, 1: 5}, "num_classes": 5},
            "train_dataset.label_map: names class 5, expected 0..4",
        ),
        (
            {"reduce_zero_label": True, "ignore_index": 1, "num_classes": 2},
            "train_dataset.ignore_index: 1 is a class",
        ),
        ({"label_map": 3}, "train_dataset.label_map: got 3; expected a mapping"),
    ],
)
def test_malformed_maps_are_found_with_all_else(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"train_dataset": {**FOLDER, **keys}, "batch_size": 0})
    assert message in str(caught.value)
    assert "batch_size" in str(caught.value)


def test_how_one_folder_is_shared_out_must_agree(tmp_path: Path) -> None:
    config = load(
        tmp_path, {"train_dataset": FOLDER, "val_dataset": {**FOLDER, "val_ratio": 0.3, "split_seed": 2}}
    )
    assert config.tree["train_dataset"]["val_ratio"] == 0.3
    assert config.tree["train_dataset"]["split_seed"] == 2
    config = load(
        tmp_path,
        {"train_dataset": {**FOLDER, "test_ratio": 0.1}, "val_dataset": FOLDER, "test_dataset": FOLDER},
    )
    assert config.tree["val_dataset"]["test_ratio"] == config.tree["test_dataset"]["test_ratio"] == 0.1
    with pytest.raises(
        ConfigError, match=r"val_dataset\.val_ratio: got 0\.3, but train_dataset\.val_ratio is 0\.2"
    ):
        load(
            tmp_path,
            {"train_dataset": {**FOLDER, "val_ratio": 0.2}, "val_dataset": {**FOLDER, "val_ratio": 0.3}},
        )
    other = {**FOLDER, "dataset_root": "e", "val_ratio": 0.3}
    load(tmp_path, {"train_dataset": {**FOLDER, "val_ratio": 0.2}, "val_dataset": other})


OF_A_FOLDER = {
    "mask_suffix": "_mask",
    "image_suffix": "_rgb",
    "class_names": ["a", "b"],
    "palette": [[0, 0, 0], [1, 2, 3]],
}


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        (OF_A_FOLDER, {}, OF_A_FOLDER),
        (OF_A_FOLDER, {"dataset_root": "./d/"}, OF_A_FOLDER),
        (OF_A_FOLDER, {"dataset_root": "e"}, {}),
        (OF_A_FOLDER, {"mask_suffix": ""}, {**OF_A_FOLDER, "mask_suffix": ""}),
        ({"image_dir": "i", "mask_dir": "m"}, {}, {"image_dir": "i", "mask_dir": "m"}),
        # Where one folder differs, the other is looked for beside it.
        ({"image_dir": "i", "mask_dir": "m"}, {"image_dir": "v"}, {"image_dir": "v"}),
        ({"label_map": {0: 0, 255: 1}}, {}, {"label_map": {"0": 0, "255": 1}}),
    ],
)
def test_one_block_of_a_folder_is_enough(
    tmp_path: Path, train: dict[str, Any], val: dict[str, Any], expected: dict[str, Any]
) -> None:
    count = {"num_classes": 2}
    blocks = {"train_dataset": {**FOLDER, **count, **train}, "val_dataset": {**FOLDER, **count, **val}}
    block = load(tmp_path, blocks).tree["val_dataset"]
    assert {key: value for key, value in block.items() if key not in {*FOLDER, *count, "mode"}} == expected


@pytest.mark.parametrize("block", [3, 1e-05, None, [], {}, {"type": []}, {**FOLDER, "dataset_root": [1]}])
def test_a_block_that_is_none_is_refused(tmp_path: Path, block: Any) -> None:
    for key, other in (("train_dataset", "val_dataset"), ("val_dataset", "train_dataset")):
        with pytest.raises(ConfigError, match=key):
            load(tmp_path, {key: block, other: FOLDER}, required=[key])


def write_names(root: Path, content: bytes) -> str:
    (root / "names.txt").write_bytes(content)
    return str(root / "names.txt")


def test_names_from_a_file(tmp_path: Path) -> None:
    path = write_names(tmp_path, "\ufeffsky\r\ngrüne wiese\r\n\r\n".encode())
    config = load(tmp_path, {"model": MODEL, "train_dataset": FOLDER, "val_dataset": FOLDER}, classes=path)
    for block in ("train_dataset", "val_dataset"):
        assert config.tree[block]["class_names"] == ["sky", "grüne wiese"]
        assert config.tree[block]["num_classes"] == 2
    assert config.tree["model"]["num_classes"] == 2
    assert config.source("train_dataset.class_names") == "--classes"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"\n\n", "is empty; expected the name of one class a line"),
        (b"a\n\nb\n", r"names\.txt:2: the line is empty"),
        (b"a\nb\n a \n", r"names\.txt:3: 'a' is there already"),
        (b"\xff\xfe", "cannot be read as UTF-8"),
    ],
)
def test_files_of_names_that_cannot_be_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = str(tmp_path / "names.txt") if content is None else write_names(tmp_path, content)
    with pytest.raises(UsageError, match=rf"^--classes .*{message}"):
        load(tmp_path, {"train_dataset": FOLDER}, classes=path)


def test_names_need_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the config has no data set whose classes could be named"):
        load(tmp_path, {"model": {**MODEL, "num_classes": 2}}, classes=write_names(tmp_path, b"a\nb\n"))


def test_a_wrong_number_of_names(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", {"train": [0, 1]})
    block = {**FOLDER, "dataset_root": str(data), "num_classes": 3}
    config = load(tmp_path, {"train_dataset": block}, classes=write_names(tmp_path, b"a\nb\n"))
    with pytest.raises(ConfigError, match=r"class_names: FolderDataset: class_names: expected 3 entries"):
        build_dataset(config, "train")
