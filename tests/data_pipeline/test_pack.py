"""Reading a pack: what it holds, what it touches, what it refuses."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packs import assert_same_samples, open_files, pack
from PIL import Image

from paddleseg.data.datasets import Pair
from paddleseg.data.pack import Pack, checksum, verify_pack
from paddleseg.data.pack_index import PAGE, next_page, shard_file, shard_index_file
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.errors import DataError


def test_pixels_and_class_ids_are_those_of_the_files(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(5)
    packed = open_files(root, pack=Pack.open(pack(root, tmp_path / "p", shards=2)))
    assert_same_samples(packed, open_files(root))
    image = np.asarray(Image.open(root / "images/003.png"))  # another decoder than the toolkit's
    assert np.array_equal(packed.load(3).image, image)


def test_views_are_bytes_that_cannot_be_written(make_pairs, tmp_path: Path) -> None:
    opened = Pack.open(pack(make_pairs(1), tmp_path / "p"))
    image, label = opened.sample(0)
    assert label is not None
    assert (image.dtype, label.dtype) == (np.uint8, np.uint8)
    for view in (image, label):
        assert not view.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1


def test_samples_of_unequal_size_start_at_pages(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2, size=(40, 50))
    Image.new("RGB", (33, 21), (1, 2, 3)).save(root / "images/001.png")
    Image.new("L", (33, 21), 2).save(root / "labels/001.png")
    opened = Pack.open(pack(root, tmp_path / "p", shards=1))
    # 40·50·3 = 6000 bytes take two pages, 2000 one: the second sample starts at the fourth page.
    assert opened.sample(1)[0].ctypes.data - opened.sample(0)[0].ctypes.data == 3 * PAGE
    assert opened.sample(1)[0].shape == (21, 33, 3)
    assert (opened.sample(1)[0] == (1, 2, 3)).all()


def test_a_test_set_has_no_labels(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2)
    dataset = open_files(root)
    dataset.files = [Pair(pair.image, None) for pair in dataset.files]
    build_pack(dataset, tmp_path / "p", PackOptions())
    assert Pack.open(tmp_path / "p").sample(1)[1] is None


def read_with_other_pages_locked(image: np.ndarray, first: int, last: int, rows: slice) -> int | None:
    """Exit status of a process that may read the pages ``first`` to ``last`` of an image alone."""
    libc = ctypes.CDLL(None, use_errno=True)

    def lock(start: int, end: int) -> None:
        assert libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), 0) == 0

    def read() -> None:
        faulthandler.disable()
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        start = image.ctypes.data
        lock(start, start + first * PAGE)
        lock(start + (last + 1) * PAGE, start + next_page(image.nbytes))
        os._exit(0 if image[rows, 100:200].copy().shape == (rows.stop - rows.start, 100, 3) else 1)

    process = multiprocessing.get_context("fork").Process(target=read)
    process.start()
    process.join()
    return process.exitcode


def test_reading_a_region_touches_no_more_than_its_pages(make_pairs, tmp_path: Path) -> None:
    image, _ = Pack.open(pack(make_pairs(2, size=(2048, 512)), tmp_path / "p", shards=1)).sample(1)
    # Rows of 1536 bytes: the bytes 1000·1536 + 300 to 1009·1536 + 599 are on the pages 375 to 378 of 768.
    assert read_with_other_pages_locked(image, 375, 378, slice(1000, 1010)) == 0
    assert read_with_other_pages_locked(image, 376, 378, slice(1000, 1010)) == -signal.SIGSEGV
    assert read_with_other_pages_locked(image, 375, 377, slice(1000, 1010)) == -signal.SIGSEGV


def test_an_open_pack_stays_what_it_was_when_another_takes_its_place(make_pairs, tmp_path: Path) -> None:
    root = make_pairs(2)
    opened = Pack.open(pack(root, tmp_path / "p"))
    before = [opened.sample(index)[0].copy() for index in range(2)]
    for index in range(2):
        Image.new("RGB", (30, 40)).save(root / f"images/{index:03d}.png")
        Image.new("L", (30, 40)).save(root / f"labels/{index:03d}.png")
    pack(root, tmp_path / "p", overwrite=True)
    assert all(np.array_equal(opened.sample(index)[0], before[index]) for index in range(2))
    assert Pack.open(tmp_path / "p").sample(0)[0].shape == (40, 30, 3)


def test_forked_processes_read_the_same(make_pairs, tmp_path: Path) -> None:
    opened = Pack.open(pack(make_pairs(4), tmp_path / "p"))
    expected = [checksum(opened.sample(index)[0]) for index in range(4)]
    ours, theirs = multiprocessing.Pipe()

    def read() -> None:
        theirs.send([checksum(opened.sample(index)[0]) for index in range(4)])

    processes = [multiprocessing.get_context("fork").Process(target=read) for _ in range(2)]
    for process in processes:
        process.start()
    found = [ours.recv() for _ in processes]
    for process in processes:
        process.join()
    assert found == [expected, expected]


def test_only_the_shards_that_are_asked_for_need_to_be_there(make_pairs, tmp_path: Path) -> None:
    target = pack(make_pairs(5), tmp_path / "p", shards=2)
    (target / shard_file(1)).unlink()
    (target / shard_index_file(1)).unlink()
    opened = Pack.open(target, shards=[0])
    assert [opened.sample(index)[0].shape for index in (0, 2, 4)] == [(12, 16, 3)] * 3
    with pytest.raises(DataError, match=r"shard_00001\.bin: sample 3 is in this shard, not opened here"):
        opened.sample(3)
    with pytest.raises(DataError, match=r"shard_00001\.json: no such file: shard 1 of 2 is missing"):
        Pack.open(target)


def test_a_shard_that_was_cut_off_is_refused_at_opening(make_pairs, tmp_path: Path) -> None:
    target = pack(make_pairs(3), tmp_path / "p", shards=1)
    # Of each sample 576 and 192 bytes, each on a page: 3 · 2 · 4096.
    os.truncate(target / shard_file(0), 20000)
    with pytest.raises(DataError, match=r"shard_00000\.bin: 20000 bytes, expected 24576: cut off\?"):
        Pack.open(target)


def test_a_shard_without_pixels_is_refused(make_pairs, tmp_path: Path) -> None:
    target = pack(make_pairs(1), tmp_path / "p")
    (target / shard_file(0)).unlink()
    with pytest.raises(DataError, match=r"shard_00000\.bin: No such file or directory; copy it here"):
        Pack.open(target)


def test_shards_of_two_packs_do_not_mix(make_pairs, tmp_path: Path) -> None:
    first, second = (pack(make_pairs(2, name=name), tmp_path / f"p{name}") for name in "ab")
    os.utime(tmp_path / "b/images/000.png", ns=(0, 0))
    second = pack(tmp_path / "b", tmp_path / "pb", overwrite=True)
    for name in (shard_file(0), shard_index_file(0)):
        (second / name).write_bytes((first / name).read_bytes())
    with pytest.raises(DataError, match="belongs to another pack"):
        Pack.open(second)


def damage(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("position", "what"), [(2 * PAGE, "image"), (3 * PAGE + 5, "label")])
def test_verifying_finds_one_wrong_bit(make_pairs, tmp_path: Path, position: int, what: str) -> None:
    target = pack(make_pairs(3), tmp_path / "p", shards=1)
    assert list(verify_pack(target, threads=2)) == [None] * 3
    damage(target / shard_file(0), position)
    wrong = (
        f"{target}/shard_00000.bin: the {what} of images/001.png at byte {position // PAGE * PAGE} is damaged"
    )
    assert list(verify_pack(target)) == [None, wrong, None]


def test_verifying_a_part_of_a_pack_looks_at_what_is_there(make_pairs, tmp_path: Path) -> None:
    target = pack(make_pairs(5), tmp_path / "p", shards=2, only_shards=[1])
    assert list(verify_pack(target)) == [None, None]


def test_what_cannot_be_read_is_damage(make_pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = pack(make_pairs(1), tmp_path / "p")

    really_open = Path.open

    def unreadable(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.suffix == ".bin":
            raise OSError(5, "Input/output error")
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", unreadable)
    (wrong,) = verify_pack(target)
    assert wrong == f"{target}/shard_00000.bin: cannot be read: Input/output error"
