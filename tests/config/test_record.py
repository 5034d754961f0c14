"""The run's record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paddleseg.config import record
from paddleseg.config.config import Config, read_config
from paddleseg.config.node import from_value
from paddleseg.config.record import write_run_record
from paddleseg.errors import OutputError

TREE = {"iters": 3, "lr": 1e-5, "name": "ü: '#", "list": [1, None, True], "deep": {"type": "A"}, "empty": {}}


def config() -> Config:
    return Config(from_value(TREE, "f:1"), "configs/f.yml")


def test_the_configuration_can_be_read_again(tmp_path: Path) -> None:
    write_run_record(config(), tmp_path / "a" / "run", 7, ["train.py", "--seed", "7"])
    written = read_config(tmp_path / "a" / "run" / "config.yml")
    assert written.tree == TREE
    assert list(written.tree) == list(TREE)


def test_the_environment(tmp_path: Path) -> None:
    write_run_record(config(), tmp_path, 7, ["train.py", "--x", "a b"], settings={"threads": 2})
    got = json.loads((tmp_path / "environment.json").read_text())
    assert (got["seed"], got["command"], got["settings"]) == (7, ["train.py", "--x", "a b"], {"threads": 2})
    assert got["packages"]["numpy"] == np.__version__
    assert got["python"] == ".".join(map(str, sys.version_info[:3]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yml", "environment.json"]


def test_git_revision_of_the_checkout(tmp_path: Path, root_dir: Path) -> None:
    if not (root_dir / ".git").exists():
        pytest.skip("needs a git checkout")
    head = subprocess.run(["git", "-C", root_dir, "rev-parse", "HEAD"], capture_output=True, text=True)
    write_run_record(config(), tmp_path, None, [])
    assert json.loads((tmp_path / "environment.json").read_text())["git"]["revision"] == head.stdout.strip()


def test_no_git_revision_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "paddleseg" / "config"
    monkeypatch.setattr(record, "__file__", str(package / "record.py"))
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    package.mkdir(parents=True)
    write_run_record(config(), tmp_path / "out", None, [])
    assert json.loads((tmp_path / "out" / "environment.json").read_text())["git"] is None


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputError, match="is a file; expected a folder"):
        write_run_record(config(), tmp_path / "run", None, [])
    assert (tmp_path / "run").read_text() == "mine"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_run_record(config(), tmp_path, None, [])
    assert list(tmp_path.iterdir()) == []


def test_other_programs_keep_the_record_of_the_training(tmp_path: Path) -> None:
    write_run_record(config(), tmp_path, 7, ["train.py"], start={"resumed_from": "a/iter_2", "iteration": 2})
    write_run_record(config(), tmp_path, None, ["val.py"], program="val")
    names = {"config.yml", "environment.json", "val_config.yml", "val_environment.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    first = json.loads((tmp_path / "environment.json").read_text())
    assert (first["seed"], first["resumed_from"], first["iteration"]) == (7, "a/iter_2", 2)
    assert json.loads((tmp_path / "val_environment.json").read_text())["command"] == ["val.py"]
