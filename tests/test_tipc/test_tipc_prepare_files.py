"""test_tipc/prepare_files.py: links, downloads, archives, the demo data set."""

from __future__ import annotations

import errno
import http.server
import io
import socket
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tipc_workspace import ROOT

sys.path.insert(0, str(ROOT / "test_tipc"))

import prepare_files

from paddleseg.data.datasets.cityscapes import find_pairs
from paddleseg.errors import DataError, OutputError, WeightsError

NOWHERE = "http://127.0.0.1:9/x.tar"  # nothing listens on the port "discard"


def make_cityscapes(root: Path, train: int = 6, val: int = 3) -> Path:
    picture = cv2.imencode(".png", np.zeros((4, 8), np.uint8))[1].tobytes()
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            stem = f"{split}/town/town_{index:06d}_000019"
            for name in (f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelTrainIds.png"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(picture)
    return root


def make_archive(file: Path, folder: Path, mode: str = "w") -> Path:
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, arcname="cityscapes_20imgs")
    return file


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    return make_cityscapes(tmp_path / "original")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a loopback server."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()
    server.server_close()


def prepare(target: Path, *flags: str, url: str = NOWHERE) -> int:
    return prepare_files.main(["data", "--target", str(target), "--url", url, "--timeout", "2", *flags])


def names(root: Path, split: str) -> list[str]:
    return [Path(pair.image).name for pair in find_pairs(str(root), split)]


def test_links_make_a_data_set(cityscapes: Path, tmp_path: Path) -> None:
    target = tmp_path / "data/prepared"
    assert prepare(target, "--source", str(cityscapes)) == 0
    assert names(target, "train") == names(cityscapes, "train")
    lines = (target / "val.list").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        image, label = (target / name for name in line.split(" "))
        assert image.is_symlink()
        assert image.resolve().read_bytes() == label.resolve().read_bytes() != b""


def test_limits_spread_over_the_split(cityscapes: Path, tmp_path: Path) -> None:
    target = tmp_path / "data"
    assert prepare(target, "--source", str(cityscapes), "--train", "3", "--val", "99") == 0
    assert names(target, "train") == [f"town_{i:06d}_000019_leftImg8bit.png" for i in (0, 2, 4)]
    assert len(names(target, "val")) == 3
    assert prepare(target, "--source", str(cityscapes)) == 0  # another mode replaces the links
    assert len(names(target, "train")) == 6


def test_a_data_set_beside_the_target_is_linked_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_files, "_ROOT", tmp_path)
    make_cityscapes(tmp_path / "data/cityscapes", train=9)  # takes second place
    own = make_cityscapes(tmp_path / "test_tipc/data/cityscapes")
    before = sorted(own.rglob("*"))
    target = own.with_name("prepared")
    assert prepare(target, "--train", "1", "--val", "2") == 0
    assert sorted(own.rglob("*")) == before
    for split, count in (("train", 1), ("val", 2)):
        lines = (target / f"{split}.list").read_text().splitlines()
        assert len(lines) == len(names(target, split)) == count
        assert all((target / name).resolve().is_relative_to(own) for line in lines for name in line.split())


def test_other_content_is_not_replaced(cityscapes: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"prepare\.sh did not make"):
        prepare_files.link_data(cityscapes, target, limits={"train": None, "val": None})
    assert (target / "thesis.tex").exists()


def test_a_folder_that_is_no_cityscapes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert prepare(tmp_path / "target", "--source", str(tmp_path)) == 2
    assert "expected a Cityscapes folder, with leftImg8bit and gtFine" in capfd.readouterr().err
    assert not (tmp_path / "target").exists()


def test_a_missing_label_leaves_nothing_half_made(cityscapes: Path, tmp_path: Path) -> None:
    next((cityscapes / "gtFine/val").rglob("*.png")).unlink()
    assert prepare(tmp_path / "target", "--source", str(cityscapes)) == 2
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_download_is_extracted_once(
    served: tuple[str, Path], cityscapes: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_files, "_ROOT", tmp_path)  # which has no data/cityscapes
    address, folder = served
    file = make_archive(folder / "cityscapes_20imgs.tar", cityscapes, mode)
    target = tmp_path / "test_tipc/data/prepared"
    assert prepare(target, "--train", "2", url=f"{address}/{file.name}") == 0
    assert len(names(target, "train")) == 2
    file.unlink()
    assert prepare(target, url=f"{address}/{file.name}") == 0
    assert names(target, "train") == names(cityscapes, "train")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "member",
    [
        entry("../outside.txt"),
        entry("a/../../outside.txt"),
        entry("/outside.txt"),
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("hard", tarfile.LNKTYPE, "good.txt"),
        entry("device", tarfile.CHRTYPE),
        entry("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member.name,
)
def test_an_unsafe_archive_is_refused_as_a_whole(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(entry("good.txt"), io.BytesIO())
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DataError, match="refused"):
        prepare_files.extract(archive, tmp_path / "out/inner")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar"]


def test_an_archive_larger_than_cityscapes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_archive(tmp_path / "a.tar", make_cityscapes(tmp_path / "data"))
    monkeypatch.setattr(prepare_files, "_MAX_ENTRIES", 5)
    with pytest.raises(DataError, match="are not Cityscapes"):
        prepare_files.extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_cut_archive_leaves_nothing(tmp_path: Path, mode: str, share: float) -> None:
    rng = np.random.default_rng(0)
    content = tmp_path / "content"
    content.mkdir()
    for index in range(4):
        (content / f"{index}.bin").write_bytes(rng.bytes(40_000))
    whole = make_archive(tmp_path / "whole.tar", content, mode).read_bytes()
    archive = tmp_path / "cut.tar"
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match="not a complete tar archive"):
        prepare_files.extract(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content", "cut.tar", "whole.tar"]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_changed_byte_leaves_nothing(tmp_path: Path, mode: str) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "a.bin").write_bytes(np.random.default_rng(0).bytes(40_000))
    whole = make_archive(tmp_path / "whole.tar", content, mode).read_bytes()
    archive = tmp_path / "changed.tar"
    for place in range(len(whole) // 3, len(whole), len(whole) // 4):  # in the file's data
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match="not a complete tar archive"):
            prepare_files.extract(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.tar", make_cityscapes(tmp_path / "data"))

    def extract(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extract", extract)
    with pytest.raises(OutputError, match="No space left on device"):
        prepare_files.extract(archive, tmp_path / "out")


def test_a_damaged_download_is_fetched_anew(
    served: tuple[str, Path], cityscapes: Path, tmp_path: Path
) -> None:
    address, folder = served
    (folder / "a.tar").write_bytes(b"<html>sign in to the network</html>")
    with pytest.raises(DataError):
        prepare_files.download_and_extract(f"{address}/a.tar", tmp_path / "cache", timeout=2)
    make_archive(folder / "a.tar", cityscapes)
    found = prepare_files.download_and_extract(f"{address}/a.tar", tmp_path / "cache", timeout=2)
    assert len(names(found, "train")) == 6


def test_an_archive_of_something_else(served: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = served
    (tmp_path / "other").mkdir()
    make_archive(folder / "a.tar", tmp_path / "other")
    with pytest.raises(DataError, match="holds no folder with leftImg8bit and gtFine"):
        prepare_files.download_and_extract(f"{address}/a.tar", tmp_path / "cache", timeout=2)


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.tar"
        start = time.monotonic()
        with pytest.raises(WeightsError, match="cannot download"):
            prepare_files.fetch_in_time(url, tmp_path, timeout=0.5)
        assert time.monotonic() - start < 3


def test_a_look_up_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_files, "_ask", lambda url, timeout: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"no answer within 0\.3 seconds"):
        prepare_files.fetch_in_time(NOWHERE, tmp_path, timeout=0.3)
    assert time.monotonic() - start < 2


def test_the_program_gives_up_after_20_seconds() -> None:
    """The figure of the specification."""
    assert prepare_files._SECONDS_WITHOUT_ANSWER == 20


@pytest.mark.slow
def test_without_data_the_demo_data_set_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    monkeypatch.setattr(prepare_files, "_ROOT", tmp_path)
    target = tmp_path / "data/prepared"
    assert prepare(target, "--train", "4") == 0
    said = "".join(capfd.readouterr())
    assert "cannot download http://127.0.0.1:9/x.tar: Connection refused" in said
    assert "Making the demo data set instead" in said
    assert len(names(target, "train")) == 4
    assert len(names(target, "val")) == 5


def test_weights_are_downloaded_whole_and_once(served: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = served
    (folder / "model.pdparams").write_bytes(b"weights")
    target = tmp_path / "output/model.pdparams"
    arguments = ["weights", "--target", str(target), "--url", f"{address}/model.pdparams"]
    assert prepare_files.main(arguments) == 0
    assert target.read_bytes() == b"weights"
    target.write_bytes(b"my own")
    assert prepare_files.main(arguments) == 0
    assert target.read_bytes() == b"my own"


@pytest.mark.parametrize("url", [NOWHERE, "null", "ftp://x/y"])
def test_missing_weights_say_how_to_get_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], url: str
) -> None:
    target = tmp_path / "model.pdparams"
    assert prepare_files.main(["weights", "--target", str(target), "--url", url]) == 2
    message = capfd.readouterr().err
    assert f"{target}: no trained weights there" in message
    assert "Copy yours there" in message
    assert not target.exists()
