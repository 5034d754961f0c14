"""tools/pack_dataset.py: its flags, messages and exit statuses; what it makes is tested with the package."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import pack_dataset as tool
from small_task import config_tree, write_config, write_dataset

from paddleseg.build import build_dataset, load_config
from paddleseg.data.pack import Pack

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "pack_dataset.py"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    tree = config_tree(write_dataset(folder / "data", count=4), {})
    del tree["model"]
    return write_config(folder / "mine.yml", tree)


def run(config: Path, output: Path, *more: str) -> int:
    return tool.main(["--config", str(config), "--output", str(output), "--mode", "train", *more])


def test_a_pack_is_made_once(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "p"
    assert run(config, target, "--workers", "2", "--shards", "2") == 0
    expected = f"{target}: packed 4 of 4 images; use it with train_dataset.pack={target}\n"
    assert capsys.readouterr().out == expected
    assert Pack.open(target).index.dataset["num_classes"] == 4
    assert run(config, target, "--workers", "0", "--shards", "2") == 0
    assert "is there already and up to date" in capsys.readouterr().out


def test_files_are_found_again_when_their_folder_comes_back(tmp_path: Path) -> None:
    """The names in a pack start at dataset_root, also where all files lie deeper."""
    write_dataset(tmp_path / "data" / "deep", count=2)
    tree = config_tree(tmp_path / "data", {})
    del tree["model"]
    lines = [f"deep/images/{index}.png deep/labels/{index}.png\n" for index in range(2)]
    (tmp_path / "data" / "list.txt").write_text("".join(lines))
    config = write_config(tmp_path / "mine.yml", tree)
    assert run(config, tmp_path / "p", "--workers", "0") == 0
    packed = load_config(config, [f"train_dataset.pack={tmp_path / 'p'}"], required=())
    expected = [str(tmp_path / "data/deep/images" / f"{index}.png") for index in range(2)]
    assert [pair.image for pair in build_dataset(packed, "train").files] == expected
    (tmp_path / "data").rename(tmp_path / "away")
    assert [pair.image for pair in build_dataset(packed, "train").files] == expected


def test_opts_and_mode_choose_what_is_packed(config: Path, tmp_path: Path) -> None:
    changes = ["--opts", *(f"{name}_dataset.num_classes=7" for name in ("train", "val"))]
    arguments = ["--config", str(config), "--output", str(tmp_path / "p"), "--mode", "val", *changes]
    assert tool.main(arguments) == 0
    facts = Pack.open(tmp_path / "p").index.dataset
    assert (facts["mode"], facts["num_classes"]) == ("val", 7)


def test_a_pack_in_the_config_is_not_what_is_packed(config: Path, tmp_path: Path) -> None:
    assert run(config, tmp_path / "p", "--opts", f"train_dataset.pack={tmp_path / 'p'}") == 0
    assert len(Pack.open(tmp_path / "p")) == 4


def test_verify_says_what_is_damaged(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "p"
    assert run(config, target, "--shards", "1") == 0
    assert tool.main(["--verify", "--output", str(target)]) == 0
    assert f"{target}: 4 of 4 images are as they were packed\n" in capsys.readouterr().out
    shard = target / "shard_00000.bin"
    content = bytearray(shard.read_bytes())
    content[0] ^= 255
    shard.write_bytes(content)
    assert tool.main(["--verify", "--output", str(target)]) == 2
    message = capsys.readouterr().err
    assert message == (
        f"error: {shard}: the image of images/0.png at byte 0 is damaged\n"
        "pack again with --overwrite, or copy the pack again\n"
    )
    shard.write_bytes(bytes(len(content)))
    assert tool.main(["--verify", "--output", str(target)]) == 2
    assert capsys.readouterr().err.count(" is damaged\n") == 4


def test_verify_counts_what_is_not_here(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, tmp_path / "p", "--shards", "4", "--only_shards", "3") == 0
    assert "packed 1 of 4 images" in capsys.readouterr().out
    assert tool.main(["--verify", "--output", str(tmp_path / "p")]) == 0
    assert "1 of 4 images are as they were packed; 3 images are in shards" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "p"], "--config and --mode: needed to make a pack"),
        (["--output", "p", "--config", "absent.yml", "--mode", "train"], "absent.yml"),
        (["--output", "absent", "--verify"], "this folder is no pack; tools/pack_dataset.py makes one"),
    ],
)
def test_what_cannot_be_done(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tool.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_config_without_the_data_set(
    config: Path, tmp_path: Path, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["--opts", "val_dataset.dataset_root=nowhere"]
    assert (
        tool.main(["--config", str(config), "--output", str(tmp_path / "p"), "--mode", split, *changes]) == 2
    )
    assert {"test": "test_dataset: missing", "val": "no folder 'nowhere'"}[split] in capsys.readouterr().err


@pytest.mark.slow
def test_stopped_in_the_middle_it_goes_on_later(tmp_path: Path) -> None:
    tree = config_tree(write_dataset(tmp_path / "data", count=300), {})
    del tree["model"]
    config = write_config(tmp_path / "mine.yml", tree)
    command = [sys.executable, PROGRAM, "--config", config, "--output", tmp_path / "p"]
    command += ["--mode", "train", "--workers", "1", "--shards", "300"]
    unfinished = tmp_path / ".p.unfinished"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(unfinished.glob("shard_*.json")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert messages.endswith("interrupted; run the same command again to go on\n")
    assert not (tmp_path / "p").exists()
    kept = len(list(unfinished.glob("shard_*.json")))
    assert 1 <= kept < 300
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"packed {300 - kept} of 300 images" in done.stdout
    assert not list(tmp_path.glob(".*"))
