"""Making packs: in parallel, interrupted, on a full disk, beside what is there already."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from packs import assert_same_samples, contents, open_files, pack
from PIL import Image

from paddleseg.data.datasets import SegmentationDataset
from paddleseg.data.pack import Pack, verify_pack
from paddleseg.data.pack_index import shard_index_file
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.data.transforms.sample import Sample
from paddleseg.errors import DataError, OutputError, UsageError


def test_workers_make_the_same_bytes(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(7)
    first = contents(pack(root, tmp_path / "a", shards=3))
    assert sorted(first) == sorted(
        ["index.json", *(f"shard_{n:05d}.{end}" for n in range(3) for end in ("bin", "json"))]
    )
    assert contents(pack(root, tmp_path / "b", shards=3, workers=2)) == first
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "b", "pairs"]


def test_there_are_no_more_shards_than_samples(make_pairs, tmp_path: Path) -> None:
    assert Pack.open(pack(make_pairs(3), tmp_path / "p")).index.shards == 3


def test_class_ids_above_a_byte_take_four(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2)
    ids = np.array([[300, 0], [1, 65535]], np.uint16)
    Image.fromarray(ids).save(root / "labels/001.png")
    Image.new("RGB", (2, 2)).save(root / "images/001.png")
    target = pack(root, tmp_path / "p", dataset={"num_classes": 301, "ignore_index": 65535})
    label = Pack.open(target).sample(1)[1]
    assert label is not None
    assert label.dtype == np.int32
    assert label.tolist() == ids.tolist()


def test_a_pack_that_is_there_is_left_alone(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2)
    target = pack(root, tmp_path / "p")
    times = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    assert build_pack(open_files(root), target, PackOptions()) == 0
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == times
    assert build_pack(open_files(root), target, PackOptions(overwrite=True)) == 2
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} != times


def test_another_pack_is_replaced_only_when_asked(make_pairs, tmp_path: Path) -> None:
    target = pack(make_pairs(2), tmp_path / "p")
    before, other = contents(target), make_pairs(3, name="other")
    with pytest.raises(UsageError, match=r"holds another pack: .* has 3 samples, it had 2; --overwrite"):
        pack(other, target)
    with pytest.raises(UsageError, match=r"it has 2 shards, not 1; --overwrite"):
        pack(tmp_path / "pairs", target, shards=1)
    assert contents(target) == before
    pack(other, target, overwrite=True)
    assert len(Pack.open(target)) == 3
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_pack_is_replaced_only_when_asked(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2)
    target = pack(root, tmp_path / "p")
    (target / "index.json").write_text("{")
    with pytest.raises(UsageError, match=r"damaged: .*--overwrite replaces it"):
        pack(root, target)
    pack(root, target, overwrite=True)
    assert list(verify_pack(target)) == [None, None]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_pack_is_never_touched(make_pairs, tmp_path: Path, overwrite: bool) -> None:
    root = make_pairs(1)
    (tmp_path / "mine").mkdir()
    for target in (tmp_path / "mine" / "thesis.txt", tmp_path / "mine"):
        if not target.exists():
            target.write_text("mine")
        with pytest.raises(UsageError, match="is there, and is no pack; choose another --output"):
            pack(root, target, overwrite=overwrite)
    assert contents(tmp_path / "mine") == {"thesis.txt": b"mine"}


def test_an_empty_folder_or_a_link_to_one_is_filled(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(1)
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    pack(root, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_same_samples(open_files(root), with_pack(root, tmp_path / "disk"))


def with_pack(root: Path, target: Path) -> SegmentationDataset:
    return open_files(root, pack=Pack.open(target))


def test_the_root_of_a_disk_is_refused(make_pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "disk")
    with pytest.raises(UsageError, match="disk: is the root of a disk; choose a folder on it"):
        pack(make_pairs(1), tmp_path / "disk")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs"]


def test_shards_are_added_to_a_part_of_a_pack(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(5)
    whole = contents(pack(root, tmp_path / "whole", shards=4))
    target = pack(root, tmp_path / "p", shards=4, only_shards=[2])
    assert sorted(contents(target)) == ["index.json", "shard_00002.bin", "shard_00002.json"]
    assert build_pack(open_files(root), target, PackOptions(shards=4, only_shards=[2, 0])) == 2
    assert build_pack(open_files(root), target, PackOptions(shards=4)) == 2
    assert contents(target) == whole


def test_overwriting_some_shards_leaves_the_others_of_the_same_files(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(5)
    whole = contents(pack(root, tmp_path / "whole", shards=4))
    target = pack(root, tmp_path / "p", shards=4, only_shards=[0, 2], overwrite=True)
    size = (target / "shard_00002.bin").stat().st_size
    (target / "shard_00002.bin").write_bytes(bytes(size))  # as large as it should be
    build = PackOptions(shards=4, only_shards=[1, 2, 3], overwrite=True)
    assert build_pack(open_files(root), target, build) == 3
    assert contents(target) == whole
    pack(make_pairs(6, name="other"), target, shards=4, only_shards=[3], overwrite=True)
    assert sorted(contents(target)) == ["index.json", "shard_00003.bin", "shard_00003.json"]


def test_too_many_shards_are_refused(make_pairs, tmp_path: Path) -> None:
    assert Pack.open(pack(make_pairs(1), tmp_path / "p", shards=512)).index.shards == 1
    with pytest.raises(UsageError, match=r"^--shards: got 513, expected at most 512: a process opens all"):
        pack(tmp_path / "pairs", tmp_path / "q", shards=513)


@pytest.mark.parametrize("workers", [0, 2])
def test_progress_counts_what_is_written(make_pairs, tmp_path: Path, workers: int) -> None:
    written: list[bool] = []

    def progress(indices: Iterable[int]) -> Iterator[int]:
        for index in indices:
            yield index
            written.append((tmp_path / ".p.unfinished" / shard_index_file(index)).exists())

    options = PackOptions(shards=6, workers=workers)
    assert build_pack(open_files(make_pairs(6)), tmp_path / "p", options, progress=progress) == 6
    assert written == [True] * 6


def test_shards_that_are_not_there_cannot_be_asked_for(make_pairs, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--only_shards: got 4; there are 4 shards, numbered from 0"):
        pack(make_pairs(5), tmp_path / "p", shards=4, only_shards=[1, 4])


def test_shards_may_lie_on_other_disks(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(4)
    target = pack(root, tmp_path / "p", shards=2)
    (tmp_path / "disk").mkdir()
    (target / "shard_00001.bin").rename(tmp_path / "disk" / "shard_00001.bin")
    (target / "shard_00001.bin").symlink_to(tmp_path / "disk" / "shard_00001.bin")
    assert build_pack(open_files(root), target, PackOptions(shards=2)) == 0
    assert list(verify_pack(target)) == [None] * 4


def stop_at(count: int, error: type[BaseException]):
    def progress(indices: Iterable[int]) -> Iterator[int]:
        for number, index in enumerate(indices):
            if number == count:
                raise error
            yield index

    return progress


def test_an_interrupted_build_goes_on_from_its_shards(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(6)
    expected = contents(pack(root, tmp_path / "whole", shards=3))
    with pytest.raises(KeyboardInterrupt):
        build_pack(
            open_files(root), tmp_path / "p", PackOptions(shards=3), progress=stop_at(3, KeyboardInterrupt)
        )
    assert not (tmp_path / "p").exists()
    done: list[int] = []

    def note(indices: Iterable[int]) -> Iterable[int]:
        done.extend(indices)
        return done

    assert build_pack(open_files(root), tmp_path / "p", PackOptions(shards=3), progress=note) == 4
    assert done == [1, 4, 2, 5]  # shard 0, of the samples 0 and 3, was whole
    assert contents(tmp_path / "p") == expected


def test_what_an_interrupted_build_left_of_other_files_is_not_taken(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(4)
    with pytest.raises(KeyboardInterrupt):
        build_pack(
            open_files(root), tmp_path / "p", PackOptions(shards=2), progress=stop_at(3, KeyboardInterrupt)
        )
    Image.new("RGB", (16, 12)).save(root / "images/000.png")
    assert build_pack(open_files(root), tmp_path / "p", PackOptions(shards=2)) == 4
    assert_same_samples(open_files(root), with_pack(root, tmp_path / "p"))


def test_a_bad_file_is_named_and_an_earlier_pack_stays(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(3)
    before = contents(pack(root, tmp_path / "p"))
    (root / "images/001.png").write_bytes(b"no picture")
    for workers in (0, 2):
        with pytest.raises(DataError, match=r"images/001\.png: cannot be decoded"):
            pack(root, tmp_path / "p", overwrite=True, workers=workers)
    assert contents(tmp_path / "p") == before


def test_pixels_that_are_no_bytes_are_refused(make_pairs, tmp_path: Path) -> None:
    dataset = open_files(make_pairs(1))
    halves = Sample(np.full((2, 2, 3), 0.5, np.float32), np.zeros((2, 2), np.int32), image_path="a.png")
    dataset.transforms = lambda sample, rng: halves  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"a\.png: a pack holds whole numbers of 0\.\.255"):
        build_pack(dataset, tmp_path / "p", PackOptions())


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """As on a full disk, no file can grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_earlier_pack(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(4, size=(100, 100))
    before = contents(pack(root, tmp_path / "p", shards=4))
    with (
        small_disk(50_000),
        pytest.raises(OutputError, match=r"00000\.bin: .* too large; the finished shards"),
    ):
        pack(root, tmp_path / "p", shards=1, overwrite=True)
    assert contents(tmp_path / "p") == before
    assert list(verify_pack(tmp_path / "p")) == [None] * 4
    pack(root, tmp_path / "p", shards=1, overwrite=True)
    assert list(verify_pack(tmp_path / "p")) == [None] * 4


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from packs import open_files
from paddleseg.data.packing import PackOptions, build_pack

def progress(indices):
    for number, index in enumerate(indices):
        if number == 5:
            print("there", flush=True)
            signal.pause()
        yield index

build_pack(open_files(Path(sys.argv[1])), Path(sys.argv[2]), PackOptions(shards=3, overwrite=True),
           progress=progress)
"""


@contextmanager
def in_the_middle(root: Path, target: Path) -> Iterator[None]:
    """Another process is in the second of three shards, and is killed at the end."""
    command = [sys.executable, "-c", KILLED, root, target, Path(__file__).parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            yield
        finally:
            process.kill()


def test_a_killed_build_leaves_the_earlier_pack_and_can_be_repeated(make_pairs, tmp_path: Path) -> None:
    root, target = make_pairs(9), tmp_path / "p"
    before = contents(pack(make_pairs(2, name="earlier"), target))
    locked = pytest.raises(UsageError, match="another process is making this pack; wait for it")
    with in_the_middle(root, target), locked:
        pack(root, target, shards=3, overwrite=True)
    assert contents(target) == before
    left = sorted(path.name for path in (tmp_path / ".p.unfinished").iterdir())
    assert len([name for name in left if name.endswith(".part")]) == 1
    assert build_pack(open_files(root), target, PackOptions(shards=3, overwrite=True)) == 6
    assert contents(target) == contents(pack(root, tmp_path / "whole", shards=3))
    assert not list(tmp_path.glob(".*"))


def test_a_pack_that_stepped_aside_comes_back(make_pairs, tmp_path: Path) -> None:
    """As when a process is killed between the two renames that put a new pack in the place of an old one."""
    root = make_pairs(2)
    target = pack(root, tmp_path / "p")
    os.rename(target, tmp_path / ".p.replaced")
    assert build_pack(open_files(root), target, PackOptions()) == 0
    assert len(Pack.open(target)) == 2
