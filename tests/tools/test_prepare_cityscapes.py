"""The Cityscapes preparation tool, on small zip files in the true layout."""

from __future__ import annotations

import stat
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import prepare_cityscapes as tool

from paddleseg.data.datasets.cityscapes import LABEL_ID_TO_TRAIN_ID, Cityscapes

FRAMES = {
    "train": ["aachen_000000_000019", "aachen_000001_000019"],
    "val": ["frankfurt_000000_000294"],
    "test": ["berlin_000000_000019"],
}
COUNTS = {"train": 2, "val": 1, "test": 1}
IDS = np.array([[0, 7, 8, 11], [12, 26, 33, 4]], np.uint8)
# By hand from the official table: unlabelled, road, sidewalk, building / wall, car, bicycle, static.
TRAIN_IDS = np.array([[255, 0, 1, 2], [3, 13, 18, 255]], np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def image_name(split: str, frame: str) -> str:
    return f"leftImg8bit/{split}/{frame.split('_')[0]}/{frame}_leftImg8bit.png"


def label_name(split: str, frame: str, kind: str = "labelIds.png") -> str:
    return f"gtFine/{split}/{frame.split('_')[0]}/{frame}_gtFine_{kind}"


def official() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The entries of the image archive and of the label archive."""
    images, truths = {"README": b"read me", "license.txt": b"terms"}, {"README": b"read me"}
    for split, frames in FRAMES.items():
        for frame in frames:
            images[image_name(split, frame)] = png(np.full((2, 4, 3), 90, np.uint8))
            truths[label_name(split, frame)] = png(IDS)
            truths[label_name(split, frame, "polygons.json")] = b"{}"
    return images, truths


def pack(folder: Path, images: dict[str, bytes], truths: dict[str, bytes]) -> list[str]:
    paths = []
    entries = {"leftImg8bit_trainvaltest.zip": images, "gtFine_trainvaltest.zip": truths}
    for name, content in entries.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for entry, data in content.items():
                archive.writestr(entry, data)
        paths.append(str(folder / name))
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(autouse=True)
def _small_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in COUNTS.items():
        monkeypatch.setitem(tool.OFFICIAL_COUNTS, split, count)


@pytest.fixture
def zips(tmp_path: Path) -> list[str]:
    return pack(tmp_path, *official())


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs the tool, which must end with status 2, and returns its one message."""
    assert tool.main(arguments) == 2
    message = capsys.readouterr().err
    errors = [line for line in message.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in message
    return errors[0]


def test_from_zip_files_to_a_ready_data_set(zips: list[str], tmp_path: Path) -> None:
    output = tmp_path / "cityscapes"
    assert tool.main([*reversed(zips), "--output", str(output)]) == 0
    for split in ("train", "val"):
        for frame in FRAMES[split]:
            written = cv2.imread(
                str(output / label_name(split, frame, "labelTrainIds.png")), cv2.IMREAD_UNCHANGED
            )
            assert np.array_equal(written, TRAIN_IDS)
    assert (output / "train.txt").read_text() == (
        "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png "
        "gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png\n"
        "leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png "
        "gtFine/train/aachen/aachen_000001_000019_gtFine_labelTrainIds.png\n"
    )
    assert (output / "val.txt").read_text().count("\n") == 1
    assert (
        output / "test.txt"
    ).read_text() == "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png\n"
    made = contents(output)
    assert label_name("val", FRAMES["val"][0], "polygons.json") in made
    assert "README" not in made
    assert not [name for name in made if name.endswith(".part")]
    assert len(Cityscapes(transforms=[], dataset_root=str(output), mode="train")) == 2


def test_the_table_is_the_official_one() -> None:
    official_labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    for entry in official_labels:
        if entry.id >= 0:
            assert LABEL_ID_TO_TRAIN_ID[entry.id] == (255 if entry.trainId in (255, -1) else entry.trainId)


def test_an_extracted_folder_is_completed_in_place(tmp_path: Path) -> None:
    for name, data in {**official()[0], **official()[1]}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    before = contents(tmp_path)
    assert tool.main([str(tmp_path)]) == 0
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert sorted(after.keys() - before.keys()) == [
        *(
            label_name(split, frame, "labelTrainIds.png")
            for split in ("train", "val")
            for frame in FRAMES[split]
        ),
        "test.txt",
        "train.txt",
        "val.txt",
    ]


def test_running_again_writes_only_what_is_missing(zips: list[str], tmp_path: Path) -> None:
    output = tmp_path / "cityscapes"
    assert tool.main([*zips, "--output", str(output)]) == 0
    complete = contents(output)
    kept = output / image_name("train", FRAMES["train"][0])
    stamp = kept.stat().st_mtime_ns
    (output / label_name("train", FRAMES["train"][1], "labelTrainIds.png")).unlink()
    (output / image_name("val", FRAMES["val"][0])).write_bytes(b"cut off")
    assert tool.main([*zips, "--output", str(output)]) == 0
    assert contents(output) == complete
    assert kept.stat().st_mtime_ns == stamp


def test_an_interrupt_leaves_only_whole_files(
    zips: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {**official()[0], **official()[1]}
    output = tmp_path / "cityscapes"

    def stop_at_the_third(items: list, title: str) -> Iterable[Any]:
        yield from items[:2]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tool, "_progress", stop_at_the_third)
        assert tool.main([*zips, "--output", str(output)]) == 130
    assert contents(output)
    assert contents(output).items() <= whole.items()
    assert tool.main([*zips, "--output", str(output)]) == 0


def test_counts_are_checked_before_anything_is_written(
    zips: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(tool.OFFICIAL_COUNTS, "train", 2975)
    output = tmp_path / "cityscapes"
    message = refused([*zips, "--output", str(output)], capsys)
    assert "expected train 2,975, val 1, test 1 images, got train 2, val 1, test 1" in message
    assert not output.exists()
    assert tool.main([*zips, "--output", str(output), "--allow_partial"]) == 0


@pytest.mark.parametrize(
    "name", ["../evil.png", "/tmp/evil.png", "gtFine/../../evil", "gtFine\\..\\..\\evil", "C:/evil.png"]
)
def test_paths_outside_the_target_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, truths = official()
    zips = pack(tmp_path, images, {**truths, name: b"evil"})
    output = tmp_path / "deep" / "cityscapes"
    assert "outside the target folder" in refused([*zips, "--output", str(output)], capsys)
    assert not output.exists()


def test_symbolic_links_are_refused(
    zips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = zipfile.ZipInfo("gtFine/train/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zips[1], "a") as archive:
        archive.writestr(link, "/etc")
    output = tmp_path / "cityscapes"
    assert "is a symbolic link" in refused([*zips, "--output", str(output)], capsys)
    assert not output.exists()


def test_links_in_the_output_are_not_followed(
    zips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, elsewhere = tmp_path / "cityscapes", tmp_path / "elsewhere"
    output.mkdir()
    elsewhere.mkdir()
    (output / "gtFine").symlink_to(elsewhere)
    assert "leaves the output folder" in refused([*zips, "--output", str(output)], capsys)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "message"),
    [("_MAX_ENTRIES", "entries"), ("_MAX_ENTRY_BYTES", "unpacks to"), ("_MAX_TOTAL_BYTES", "unpacks to")],
)
def test_bombs_are_refused(
    zips: list[str],
    tmp_path: Path,
    limit: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tool, limit, 2)
    assert message in refused([*zips, "--output", str(tmp_path / "cityscapes")], capsys)
    assert not (tmp_path / "cityscapes").exists()


def test_a_disk_too_small_is_noticed_first(
    zips: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool.shutil, "disk_usage", lambda _: tool.shutil._ntuple_diskusage(9, 9, 0))
    assert "choose another disk" in refused([*zips, "--output", str(tmp_path / "cityscapes")], capsys)
    assert contents(tmp_path / "cityscapes") == {}


def test_damaged_archives(zips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "cityscapes"
    whole = Path(zips[0]).read_bytes()
    Path(zips[0]).write_bytes(whole[: len(whole) // 2])
    assert "not a complete zip file" in refused([*zips, "--output", str(output)], capsys)
    at = whole.index(b"\x89PNG") + 20
    Path(zips[0]).write_bytes(whole[:at] + b"????" + whole[at + 4 :])
    message = refused([*zips, "--output", str(output)], capsys)
    assert "aachen_000000_000019_leftImg8bit.png is damaged" in message
    assert contents(output) == {}


def test_unpaired_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, truths = official()
    lost = label_name("val", FRAMES["val"][0])
    zips = pack(tmp_path, images, {name: data for name, data in truths.items() if name != lost})
    arguments = ["--output", str(tmp_path / "cityscapes"), "--allow_partial"]
    assert f"no label file {lost} (1 in all)" in refused([*zips, *arguments], capsys)
    lost = image_name("train", FRAMES["train"][0])
    zips = pack(tmp_path, {name: data for name, data in images.items() if name != lost}, truths)
    assert "no image for gtFine/train/aachen/aachen_000000_000019" in refused([*zips, *arguments], capsys)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(IDS)[:-6], "not a complete PNG picture"),
        (png(np.zeros((3, 4), np.uint8)), "(4, 3) pixels, its image has (4, 2)"),
        (png(np.full((2, 4), 40, np.uint8)), "label id 40, expected 0 to 33"),
        (png(np.zeros((2, 4, 3), np.uint8)), "single-channel"),
    ],
)
def test_broken_labels_are_named(
    tmp_path: Path, data: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images, truths = official()
    broken = label_name("train", FRAMES["train"][1])
    zips = pack(tmp_path, images, {**truths, broken: data})
    error = refused([*zips, "--output", str(tmp_path / "cityscapes")], capsys)
    assert message in error
    assert Path(broken).name in error
    assert not (tmp_path / "cityscapes" / "train.txt").exists()


def test_arguments_that_do_not_fit(
    zips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine")
    assert "no such file or folder" in refused([str(tmp_path / "absent.zip")], capsys)
    assert "expected both leftImg8bit_trainvaltest.zip" in refused([zips[0], "--output", str(folder)], capsys)
    assert "--output: name the folder" in refused(zips, capsys)
    assert "is a file" in refused([*zips, "--output", str(file)], capsys)
    assert "without --output" in refused([str(folder), "--output", str(tmp_path / "x")], capsys)
    assert "expected train 2" in refused([str(folder)], capsys)
    assert "no Cityscapes image" in refused([str(folder), "--allow_partial"], capsys)
    assert "holds no file of Cityscapes" in refused(_strangers(tmp_path), capsys)
    assert contents(folder) == {}
    assert file.read_text() == "mine"


def _strangers(folder: Path) -> list[str]:
    """Arguments that name two zip files of something else."""
    return [*pack(folder, {"holiday.jpg": b"?"}, {"README": b"?"}), "--output", str(folder / "folder")]
