"""Files that a configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddleseg.config.config import Config
from paddleseg.config.files import expand_home, missing_files
from paddleseg.config.node import from_value


def problems(tree: dict[str, Any], *parts: str) -> list[str]:
    return [str(one) for one in missing_files(Config(from_value(tree, "f:1"), "f"), parts)]


def test_weights(tmp_path: Path) -> None:
    (tmp_path / "w.pdparams").touch()
    advice = "correct the path, or set it to null to start without"
    good = {"pretrained": str(tmp_path / "w.pdparams"), "backbone": {"pretrained": "https://a/b"}}
    assert problems({"model": good}, "model") == []
    assert problems({"model": {"pretrained": None, "backbone": {}}}, "model") == []
    assert problems({"model": {"pretrained": "no/1", "backbone": {"pretrained": "no/2"}}}, "model") == [
        f"f:1 model.pretrained: no file or folder 'no/1'; {advice}",
        f"f:1 model.backbone.pretrained: no file or folder 'no/2'; {advice}",
    ]


def test_data(tmp_path: Path) -> None:
    (tmp_path / "val.txt").touch()
    root = {"dataset_root": str(tmp_path), "mode": "val"}
    tree = {
        "train_dataset": {"dataset_root": "no/folder", "mode": "train", "train_path": "no.txt"},
        "val_dataset": {**root, "val_path": "val.txt", "train_path": "not looked at"},
        "test_dataset": {**root, "val_path": str(tmp_path / "other.txt")},
    }
    assert problems(tree, "val_dataset") == []
    rootless = {"val_dataset": {"mode": "val", "val_path": str(tmp_path / "val.txt")}}
    assert problems(rootless, "val_dataset") == []
    assert problems(tree, "train_dataset") == [
        "f:1 train_dataset.dataset_root: no folder 'no/folder'; correct the path"
    ]
    (missing,) = problems(tree, "test_dataset")
    assert missing.startswith("f:1 test_dataset.val_path: no list file")


def test_a_pack_stands_in_for_the_folder_and_the_list(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    block = {"pack": str(tmp_path / "p"), "dataset_root": "no", "mode": "val", "val_path": "no.txt"}
    assert problems({"val_dataset": block}, "val_dataset") == []
    missing = problems({"val_dataset": {**block, "pack": "none"}}, "val_dataset")
    assert missing == [
        "f:1 val_dataset.pack: no folder 'none'; make it with tools/pack_dataset.py, or remove the key"
    ]
    block["dataset_root"] = str(tmp_path)
    (missing_list,) = problems({"val_dataset": block}, "val_dataset")
    assert missing_list.startswith("f:1 val_dataset.val_path: no list file 'no.txt'")


def test_only_the_parts_asked_for() -> None:
    tree = {"model": {"pretrained": "no"}, "train_dataset": {"dataset_root": "no"}}
    assert problems(tree) == []
    assert problems(tree, "val_dataset") == []
    assert len(problems(tree, "model", "train_dataset")) == 2


def test_home_folder_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tree = {
        "model": {"pretrained": "~/w", "backbone": {"pretrained": "https://a/~b"}},
        "val_dataset": {"dataset_root": "~/d", "val_path": "~/d/v.txt", "type": "~/type"},
        "train_dataset": {"dataset_root": None, "pack": "~/p"},
    }
    config = Config(from_value(tree, "f:1"), "f")
    expand_home(config)
    assert config.tree == {
        "model": {"pretrained": f"{tmp_path}/w", "backbone": {"pretrained": "https://a/~b"}},
        "val_dataset": {"dataset_root": f"{tmp_path}/d", "val_path": f"{tmp_path}/d/v.txt", "type": "~/type"},
        "train_dataset": {"dataset_root": None, "pack": f"{tmp_path}/p"},
    }
    assert config.source("model.pretrained") == "f:1"
