"""tools/check_dataset.py: its flags, messages, exit statuses and page; the package has tests of the check."""

from __future__ import annotations

import base64
import html
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data_pipeline"))

import check_dataset as tool
from check_cases import mask, open_tree, scene, write, write_tree
from dataset_sheet import make_cards
from small_task import config_tree, write_config, write_dataset

from paddleseg.data.check.checker import Split, check_datasets

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "check_dataset.py"
NASTY = 'a<img src="http:x">&\x1b[31m\né'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "data")


def run(root: Path, output: Path, *flags: object) -> int:
    return tool.main(
        ["--dataset_root", str(root), "--output", str(output), "--workers", "0", *map(str, flags)]
    )


def test_a_clean_folder(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "report"
    assert run(tree, output, "--num_classes", 3) == 0
    out = capsys.readouterr().out
    assert f"{tree}: nothing found\n" in out
    assert {path.name for path in output.iterdir()} == {"report.html", "report.json"}
    report = json.loads((output / "report.json").read_text())
    assert report["counts"] == {"error": 0, "warning": 0, "note": 0}
    assert list(report["splits"]) == ["train", "val"]
    assert report["splits"]["train"]["images"]["median"] == [64, 48]


def test_something_must_be_fixed(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "masks/train/0.png").unlink()
    assert run(tree, tmp_path / "r", "--num_classes", 3, "--modes", "train", "--json") == 1
    captured = capsys.readouterr()
    assert [one["code"] for one in json.loads(captured.out)["findings"]] == ["image_without_label"]
    assert "report.html shows it" in captured.err


def test_the_number_of_classes_comes_from_the_labels(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "masks/train/1.png").write_bytes(b"")  # for the check to name
    assert run(tree, tmp_path / "r") == 1
    captured = capsys.readouterr()
    assert "num_classes is not given: 3, by the labels of train" in captured.err
    assert "labels that cannot be read: 1" in captured.out
    assert "labels with values" not in captured.out


def test_a_stray_value_makes_no_classes(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tree / "masks/train/1.png", np.where(mask() == 1, 204, mask()).astype(np.uint8))
    assert run(tree, tmp_path / "r") == 1
    captured = capsys.readouterr()
    assert "num_classes is not given: 3, by the labels of train without 204" in captured.err
    assert "labels with values 204, expected 0..2" in captured.out
    assert "masks/train/1.png: holds 204 on 1008 pixels" in captured.out  # 21 columns of 48
    assert "num_classes: 205, or label_map: {0: 0, 1: 1, 2: 2, 204: 3} with num_classes: 4" in captured.out


def test_a_part_that_cannot_be_read_is_not_passed_over(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "masks/val").rename(tree / "masks/other")
    assert run(tree, tmp_path / "r", "--num_classes", 3) == 2
    assert "masks/val: no such folder" in capsys.readouterr().err


def test_absent_parts_of_a_public_data_set_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "city"
    write(root / "leftImg8bit/train/a/a_leftImg8bit.png", scene(0))
    write(root / "gtFine/train/a/a_gtFine_labelTrainIds.png", mask())
    assert run(root, tmp_path / "r", "--type", "Cityscapes") == 0
    assert "val is left out: " in capsys.readouterr().err


def test_no_file_is_read_where_no_report_can_be_written(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)  # root may write everywhere
    monkeypatch.setattr(tool, "check_datasets", lambda *_, **__: pytest.fail("has read files"))
    assert run(tree, tmp_path / "a/b", "--num_classes", 3) == 2
    assert f"--output {tmp_path / 'a/b'}: {tmp_path} cannot be written to" in capsys.readouterr().err


def test_a_folder_of_binary_masks(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in tree.glob("masks/*/*.png"):
        write(path, np.where(mask() > 0, 255, 0).astype(np.uint8))
    assert run(tree, tmp_path / "r") == 1
    assert "label_map: {0: 0, 255: 1} with num_classes: 2" in capsys.readouterr().out


def test_a_config_without_the_number_of_classes(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "masks/val/1.png").write_bytes(b"")
    blocks = [
        f"{mode}_dataset: {{type: FolderDataset, dataset_root: {tree}, transforms: []}}\n"
        for mode in ("train", "val")
    ]
    (tmp_path / "a.yml").write_text("".join(blocks))
    arguments = ["--config", str(tmp_path / "a.yml"), "--output", str(tmp_path / "r"), "--workers", "0"]
    assert tool.main(arguments) == 1
    captured = capsys.readouterr()
    assert "num_classes is not given: 3" in captured.err
    assert "error: val: labels that cannot be read: 1" in captured.out


def test_lists_of_pairs(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"images/train/{index}.png|masks/train/{index}.png" for index in range(5)]  # the last is missing
    (tree / "train.txt").write_text("\n".join(lines))
    flags = ["--train_path", tree / "train.txt", "--separator", "|", "--num_classes", 3]
    assert run(tree, tmp_path / "r", *flags) == 1
    out = capsys.readouterr().out
    assert "train: 4 pairs" in out
    assert "listed files that do not exist: 2" in out
    assert run(tree, tmp_path / "r", *flags, "--val_path", "absent.txt") == 2
    assert "absent.txt: no such list file" in capsys.readouterr().err


def test_what_a_config_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train and val are the same list here: every image of val was trained on. A pack is not looked at."""
    root = write_dataset(tmp_path / "data", count=3)
    tree = config_tree(root, {})
    del tree["model"]
    tree["train_dataset"]["pack"] = "there/is/none"
    config = write_config(tmp_path / "mine.yml", tree)
    arguments = ["--config", str(config), "--output", str(tmp_path / "r"), "--workers", "2"]
    assert tool.main(arguments) == 1
    out = capsys.readouterr().out
    assert "images of val that are equal, pixel by pixel, to images of train: 3" in out
    assert "crop 48×32: 100% of the images are as large, 0% of a crop is padding" in out
    # Class 3 of 4 never occurs: a warning, and no reason for another status.
    assert tool.main([*arguments, "--modes", "train", "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert "train: 3 pairs, 2 of them looked at" in out
    assert "classes that never occur: 1" in out
    assert (
        tool.main(
            [
                *arguments,
                "--modes",
                "val",
                "--opts",
                "val_dataset.num_classes=3",
                "train_dataset.num_classes=3",
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --config, or --dataset_root"),
        (["--config", "a.yml", "--dataset_root", "."], "give --config, or --dataset_root"),
        (["--config", "absent.yml"], "absent.yml"),
        (["--config", "a.yml", "--num_classes", "3"], "--num_classes: goes with --dataset_root"),
        (["--dataset_root", "absent"], "--dataset_root absent: no such folder"),
        (["--dataset_root", ".", "--opts", "a=1"], "--opts: changes a config"),
        (["--dataset_root", ".", "--output", "file"], "--output file: file is a file"),
        (["--dataset_root", ".", "--output", "file/below"], "file is a file; name a folder"),
        (["--dataset_root", ".", "--type", "FolderDatset"], "did you mean 'FolderDataset'"),
        (
            ["--dataset_root", ".", "--type", "Cityscapes", "--separator", "|"],
            "Cityscapes does not take it",
        ),
        (["--dataset_root", ".", "--num_classes", "3"], "."),
        (["--dataset_root", ".", "--val_path", "no.txt", "--num_classes", "2"], "no.txt: no such list file"),
    ],
)
def test_what_cannot_be_done(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert tool.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("error: ") == 1
    assert message in error
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_config_without_data_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yml").write_text("iters: 3\n")
    assert tool.main(["--config", "a.yml"]) == 2
    assert "a.yml: names no data set" in capsys.readouterr().err
    assert tool.main(["--config", "a.yml", "--modes", "val"]) == 2
    assert "val_dataset: missing" in capsys.readouterr().err


def test_the_page_is_whole_and_escapes_names(tree: Path, tmp_path: Path) -> None:
    write(tree / "images/train/zzz.png", scene(50)).rename(
        tree / "images/train" / f"{NASTY}.png".replace("/", "")
    )
    name = next(path.stem for path in (tree / "images/train").iterdir() if path.stem.startswith("a<"))
    write(tree / "masks/train/zzz.png", mask() + 5).rename(tree / "masks/train" / f"{name}.png")
    assert run(tree, tmp_path / "r", "--num_classes", 3) == 1
    page = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    assert '<img src="http' not in page
    assert "\x1b" not in page
    assert html.escape('a<img src="http:x">&\\x1b[31m\\né') in page
    assert "default-src 'none'" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 7  # all five of train and two of val
    assert all(one.startswith("data:image/jpeg;base64,") for one in sources)
    for one in sources:
        data = np.frombuffer(base64.b64decode(one.partition(",")[2]), np.uint8)
        # Two panels of 320×240, each with a line of four white pixels.
        assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (240, 648, 3)
    first = page.index("<figcaption>")
    assert "wrong_values" in page[first : first + 100]  # findings come first
    assert json.loads((tmp_path / "r/report.json").read_text())["findings"][0]["code"] == "wrong_values"


def test_cards_show_what_is_wrong(tree: Path) -> None:
    """Right panel: the class's colour over the image, magenta where a value is no class."""
    write(tree / "images/train/2.png", np.full((48, 64, 3), 100, np.uint8))
    write(tree / "masks/train/2.png", np.where(mask() == 2, 9, mask()).astype(np.uint8))
    (tree / "images/train/1.png").write_bytes(b"")
    dataset = open_tree(tree, palette=[[200, 0, 0], [0, 200, 0], [0, 0, 200]])
    report = check_datasets({"train": Split(dataset)}, source="x")
    cards = make_cards(report, {"train": dataset}, 3)
    assert [card.finding and card.finding.code for card in cards] == [
        "unreadable_image",
        "wrong_values",
        None,
    ]
    broken, wrong = (
        cv2.imdecode(np.frombuffer(card.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) for card in cards[:2]
    )
    assert broken[5, 5].tolist() == [200, 200, 200]
    assert np.abs(wrong[120, 100].astype(int) - 100).max() < 6
    # 0.4 · 100 + 0.6 · 200 = 160 in the class's channel, 40 in the others.
    assert np.abs(wrong[120, 324 + 30].astype(int) - [160, 40, 40]).max() < 8
    assert np.abs(wrong[120, 324 + 160].astype(int) - [40, 160, 40]).max() < 8
    assert np.abs(wrong[120, 324 + 290].astype(int) - [255, 0, 255]).max() < 8
    assert make_cards(report, {"train": dataset}, 0) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle(tmp_path: Path, number: signal.Signals) -> None:
    root = write_tree(tmp_path / "data", train=1200)
    command = [sys.executable, PROGRAM, "--dataset_root", root, "--num_classes", "3"]
    command += ["--output", tmp_path / "r", "--workers", "1"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text():  # the process that reads
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
    assert (process.returncode, messages) == (130, "interrupted\n")
    assert not (tmp_path / "r").exists()
