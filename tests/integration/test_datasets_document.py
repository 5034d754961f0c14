"""docs/datasets.md: its blocks are read as it says, its command runs, its tables are complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from documents import ROOT, blocks, commands
from PIL import Image

import paddleseg.data.datasets  # noqa: F401 - registers
from paddleseg.build import build_dataset, load_config
from paddleseg.cli import train
from paddleseg.data.datasets.folder_files import IMAGE_FOLDERS, MASK_FOLDERS
from paddleseg.errors import DataError
from paddleseg.registry import DATASETS

ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text("utf-8") for name in ("datasets.md", "datasets_CN.md"))
GREY = [[0, 1, 7, 11, 30, 255]]
COLOURS = [[[0, 0, 0], [128, 0, 0], [255, 255, 255], [0, 128, 0], [192, 0, 0]]]
# What each block of the document makes of those pixels; None where one of them is refused.
READ = [None, [[0, 0, 255, 1, 255, 255]], None, [[0, 1, 255, 255, 255]], None]


def test_both_languages_say_the_same() -> None:
    for language in ("yaml", "bash"):
        assert blocks(ENGLISH, language) == blocks(CHINESE, language)
    for pattern in (r"^\| `(\w+)` .*`(configs/\S+)` \|$", r"`(\w+: [^`]+)`", r"^#+ "):
        assert sorted(re.findall(pattern, ENGLISH, re.M)) == sorted(re.findall(pattern, CHINESE, re.M))


def test_the_table_names_every_data_set_and_a_config_of_it() -> None:
    rows = re.findall(r"^\| `(\w+)` .*\| (\w+) \| `(\S+)` \|$", ENGLISH, re.M)
    ours = {name for name in DATASETS if DATASETS.get(name).__module__.startswith("paddleseg.")}
    assert {name for name, _, _ in rows} == ours
    for name, classes, config in rows:
        assert load_config(ROOT / config, required=()).tree["train_dataset"]["type"] == name
        assert classes in ("yours", str(DATASETS.get(name).NUM_CLASSES))


def test_the_names_of_folders_are_complete() -> None:
    text = re.split(r"\W+", ENGLISH.lower())
    assert set(IMAGE_FOLDERS + MASK_FOLDERS) <= set(text)


def write_folder(root: Path, pixels: list[object]) -> Path:
    label = np.array(pixels, np.uint8)
    for kind, array in (("images", np.zeros((*label.shape[:2], 3), np.uint8)), ("masks", label)):
        (root / kind).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(array).save(root / kind / f"{number}.png")
    return root


@pytest.mark.parametrize(("text", "expected"), zip(blocks(ENGLISH, "yaml"), READ, strict=True))
def test_the_blocks_read_labels_as_they_say(
    tmp_path: Path, text: str, expected: list[list[int]] | None
) -> None:
    block = yaml.safe_load(text)["train_dataset"]
    assert block.pop("dataset_root") == "data/my_data"
    pixels: list[object] = list(COLOURS if "color_map" in block else GREY)
    root = write_folder(tmp_path / "data", pixels)
    (tmp_path / "config.yml").write_text(text + "  transforms: []\n")
    config = load_config(tmp_path / "config.yml", {"train_dataset.dataset_root": str(root)}, required=())
    dataset = build_dataset(config, "train")
    if expected is None:
        with pytest.raises(DataError):
            dataset.load(0)
    else:
        assert dataset.load(0).label.tolist() == expected


def test_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = commands(ENGLISH)
    root = write_folder(tmp_path / "data", [[0, 1] * 8] * 16)
    (tmp_path / "names.txt").write_text("background\ncrack\n")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    opts = [f"{block}.dataset_root={root}" for block in ("train_dataset", "val_dataset")]
    crop = "train_dataset.transforms=[{type: Normalize}]"
    status = train.main([*shlex.split(command)[2:], "--device", "cpu", "--opts", "iters=1", *opts, crop])
    assert status == 0
    resolved = yaml.safe_load((tmp_path / "output/mine/config.yml").read_text())
    assert resolved["val_dataset"]["class_names"] == ["background", "crack"]
