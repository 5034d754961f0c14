"""tools/create_dataset_list.py on made-up trees: pairs by name; nothing shifts when a mask is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import create_dataset_list as tool
from tool_cases import contents, refusal, succeed, touch

from paddleseg.data.datasets.file_list import read_list


def test_pairs_by_name_at_any_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "images/train/b.jpg", "images/train/x/a.jpg", "images/train/10.JPG", "images/val/c.jpg")
    touch(tmp_path, "annotations/train/b.png", "annotations/train/x/a.png", "annotations/train/10.png")
    touch(tmp_path, "annotations/val/c.png", "images/train/.hidden.jpg", "images/train/.cache/a.jpg")
    succeed(tool.main, tmp_path)
    assert (tmp_path / "train.txt").read_text() == (
        "images/train/10.JPG annotations/train/10.png\n"
        "images/train/b.jpg annotations/train/b.png\n"
        "images/train/x/a.jpg annotations/train/x/a.png\n"
    )
    assert (tmp_path / "val.txt").read_text() == "images/val/c.jpg annotations/val/c.png\n"
    assert not (tmp_path / "test.txt").exists()
    assert f"{tmp_path}/train.txt: 3 pairs\n" in capsys.readouterr().out
    pairs = read_list(str(tmp_path / "val.txt"), str(tmp_path), separator=" ", labelled=True)
    assert [(one.image, one.label) for one in pairs] == [
        (f"{tmp_path}/images/val/c.jpg", f"{tmp_path}/annotations/val/c.png")
    ]


def test_cityscapes_needs_no_more_flags(tmp_path: Path) -> None:
    frame = "aachen/aachen_000000_000019"
    touch(tmp_path, f"leftImg8bit/train/{frame}_leftImg8bit.png")
    for kind in ("labelTrainIds", "labelIds", "instanceIds", "color"):
        touch(tmp_path, f"gtFine/train/{frame}_gtFine_{kind}.png")
    succeed(tool.main, tmp_path, "--type", "cityscapes")
    expected = f"leftImg8bit/train/{frame}_leftImg8bit.png gtFine/train/{frame}_gtFine_labelTrainIds.png\n"
    assert (tmp_path / "train.txt").read_text() == expected


def test_folders_postfix_and_several_formats(tmp_path: Path) -> None:
    touch(tmp_path, "photos/day/a.jpg", "photos/day/b.png", "masks/day/a_mask.png", "masks/day/b_mask.png")
    flags = ["--folder", "photos", "masks", "--second_folder", "day", "--format", "jpg,png", "png"]
    succeed(tool.main, tmp_path, *flags, "--postfix", "", "_mask")
    assert (tmp_path / "day.txt").read_text() == (
        "photos/day/a.jpg masks/day/a_mask.png\nphotos/day/b.png masks/day/b_mask.png\n"
    )


def test_one_folder_for_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "all/train/a.png", "all/train/a_mask.png", "all/train/b.png", "all/train/b_mask.png")
    flags = ["--folder", "all", "all", "--format", "png", "png"]
    succeed(tool.main, tmp_path, *flags, "--postfix", "", "_mask")
    assert (tmp_path / "train.txt").read_text() == (
        "all/train/a.png all/train/a_mask.png\nall/train/b.png all/train/b_mask.png\n"
    )
    assert "tell them apart with --postfix" in refusal(tool.main, capsys, tmp_path, *flags)


def test_a_part_without_labels_lists_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "images/test/a.jpg", "images/test/b.jpg")
    succeed(tool.main, tmp_path)
    assert (tmp_path / "test.txt").read_text() == "images/test/a.jpg\nimages/test/b.jpg\n"
    assert "2 images, no labels" in capsys.readouterr().out


def test_a_missing_mask_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal numbers on both sides: PaddleSeg pairs b with c here, and every later image with a wrong mask."""
    touch(tmp_path, "images/train/a.jpg", "images/train/b.jpg", "images/val/v.jpg")
    touch(tmp_path, "annotations/train/a.png", "annotations/train/c.png", "annotations/val/v.png")
    message = refusal(tool.main, capsys, tmp_path)
    assert "1 of 2 images have no label" in message
    assert "images/train/b.jpg" in message
    assert "1 of 2 labels have no image" in message
    assert "annotations/train/c.png" in message
    assert not list(tmp_path.glob("*.txt"))


def test_an_earlier_list_is_replaced_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "images/train/a.jpg", "annotations/train/a.png")
    succeed(tool.main, tmp_path)
    succeed(tool.main, tmp_path)
    touch(tmp_path, "images/train/b.jpg", "annotations/train/b.png")
    before = contents(tmp_path)
    assert "train.txt: is there already with other content; --overwrite" in refusal(
        tool.main, capsys, tmp_path
    )
    assert contents(tmp_path) == before
    succeed(tool.main, tmp_path, "--overwrite")
    assert (tmp_path / "train.txt").read_text().count("\n") == 2


def test_names_with_the_separator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "images/train/my photo.jpg", "annotations/train/my photo.png")
    assert "my photo.jpg': the name holds the separator ' '" in refusal(tool.main, capsys, tmp_path)
    succeed(tool.main, tmp_path, "--separator", ";")
    assert (tmp_path / "train.txt").read_text() == (
        "images/train/my photo.jpg;annotations/train/my photo.png\n"
    )


@pytest.mark.parametrize(
    ("files", "flags", "expected"),
    [
        ([], [], "images: no such folder"),
        (["images/a.jpg"], [], "holds no folder train, val or test"),
        (["images/train/a.png"], [], "no file ends in .jpg; it holds 1 .png: see --format"),
        (["images/train/a.jpg"], ["--second_folder", "training"], "images/training: no such folder"),
        (["images/train/a.jpg"], ["--second_folder", "../x"], "expected the name of a folder"),
        (["images/train/a.jpg"], ["--separator", ""], "expected at least one character"),
        (["images/train/a.jpg"], ["--separator", "\n"], "no end of line"),
        (["images/train/a.jpg", "images/train/a.JPG"], [], "have the same name"),
        (["images/train/ a.jpg"], ["--separator", ";"], None),
    ],
)
def test_bad_input(
    files: list[str],
    flags: list[str],
    expected: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    touch(tmp_path, *files)
    if expected is None:  # a space in the middle of a path is no trouble with another separator
        succeed(tool.main, tmp_path, *flags)
    else:
        assert expected in refusal(tool.main, capsys, tmp_path, *flags)
        assert not list(tmp_path.glob("*.txt"))


def test_a_link_to_a_folder_around_itself_ends(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.jpg", "annotations/train/deep/a.png")
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/deep").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/train/loop").symlink_to(tmp_path / "images")
    succeed(tool.main, tmp_path)
    assert (tmp_path / "train.txt").read_text() == "images/train/deep/a.jpg annotations/train/deep/a.png\n"
