"""Every config of a public data set trains, on made-up files in the true layout and with a small network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from documents import ROOT

from paddleseg.build import build_dataset, load_config
from paddleseg.cli import train, val

CONFIGS = {
    "ADE20K": "ccnet/ccnet_resnet101_os8_ade20k_512x512_80k",
    "CamVid": "ccnet/ccnet_resnet101_os8_camvid_480x360_20k",
    "CocoStuff": "ccnet/ccnet_resnet101_os8_coco_stuff_520x520_80k",
    "LIP": "ccnet/ccnet_resnet101_os8_lip_473x473_80k",
    "PascalContext": "ccnet/ccnet_resnet101_os8_pascal_context_520x520_40k",
    "PascalVOC": "ccnet/ccnet_resnet101_os8_voc12aug_512x512_40k",
    "FolderDataset": "quick_start/ccnet_resnet18_folder",
}
SMALL_NETWORK = [
    "model.backbone.type=ResNet18_vd",
    "model.backbone.pretrained=null",
    "batch_size=2",
    "iters=1",
]
SMALL_CROP = "train_dataset.transforms=[{type: RandomPaddingCrop, crop_size: [16, 12]}, {type: Normalize}]"


def trees() -> ModuleType:
    """The trees of the conformance suite."""
    spec = importlib.util.spec_from_file_location(
        "dataset_trees", ROOT / "tests/conformance/test_datasets_conformance.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_tree(name: str, root: Path) -> str:
    module: Any = trees()
    params = module.TREES[name](root)
    if name == "PascalVOC":  # mode trainaug
        folder = root / "VOC2012"
        (folder / "ImageSets/Segmentation/aug.txt").write_text("2007_000004\n")
        module.write(folder / "SegmentationClassAug/2007_000004.png", module.pixels(4, 21))
    if name == "FolderDataset":
        for path in (root / "masks").rglob("*.png"):
            module.write(path, module.pixels(1, 2))
    return str(params["dataset_root"])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_trains_and_evaluates(name: str, tmp_path: Path) -> None:
    config = str(ROOT / f"configs/{CONFIGS[name]}.yml")
    root = make_tree(name, tmp_path / "data")
    roots = [f"{block}.dataset_root={root}" for block in ("train_dataset", "val_dataset")]
    opts = [
        "--device",
        "cpu",
        "--opts",
        *SMALL_NETWORK,
        *roots,
        SMALL_CROP,
        "val_dataset.transforms=[{type: Normalize}]",
    ]
    assert train.main(["--config", config, "--save_dir", str(tmp_path / "run"), *opts]) == 0
    resolved = yaml.safe_load((tmp_path / "run/config.yml").read_text())
    assert resolved["train_dataset"]["type"] == name
    assert resolved["model"]["num_classes"] > 1
    weights = str(tmp_path / "run/iter_1/model.pdparams")
    assert (
        val.main(["--config", str(tmp_path / "run/config.yml"), "--device", "cpu", "--model_path", weights])
        == 0
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_transforms_of_a_config_fit_its_data(name: str, tmp_path: Path) -> None:
    root = make_tree(name, tmp_path / "data")
    roots = {f"{block}.dataset_root": root for block in ("train_dataset", "val_dataset")}
    config = load_config(ROOT / f"configs/{CONFIGS[name]}.yml", roots)
    train_set, val_set = build_dataset(config, "train"), build_dataset(config, "val")
    crop = next(one for one in config.tree["train_dataset"]["transforms"] if "crop_size" in one)["crop_size"]
    assert train_set[0].size == tuple(reversed(crop))
    assert val_set[0].label.shape == (12, 16)
    assert len(train_set) == (3 if name == "PascalVOC" else 2)


def test_no_config_is_forgotten() -> None:
    names = {
        path.relative_to(ROOT / "configs").with_suffix("").as_posix()
        for path in (ROOT / "configs").rglob("*.yml")
    }
    elsewhere = {one for one in names if "cityscapes" in one or "demo" in one or one.startswith("_base_/")}
    assert names - elsewhere - set(CONFIGS.values()) == {
        "ccnet/ccnet_resnet18_os8_camvid_193x193_1k",  # type Dataset
        "ccnet/ccnet_resnet18_os8_camvid_240x180",
    }
