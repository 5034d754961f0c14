"""Scanning with processes: the same records in the same order, and files that kill or block a process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from check_cases import open_tree, write_tree

from paddleseg.data.check import scan as module
from paddleseg.data.check.inspection import SampleFacts, inspect_sample
from paddleseg.data.check.scan import ScanOptions, pick, scan
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.errors import DataError


@pytest.fixture
def dataset(tmp_path: Path) -> SegmentationDataset:
    return open_tree(write_tree(tmp_path, train=21))


def test_indices_are_spread_evenly() -> None:
    assert pick(5, None) == pick(5, 9) == [0, 1, 2, 3, 4]
    assert pick(101, 3) == [0, 50, 100]
    assert pick(7, 1) == [0]
    assert len(set(pick(100_000, 64))) == 64


def test_any_number_of_processes_gives_the_same(dataset: SegmentationDataset) -> None:
    alone = list(scan(dataset, ScanOptions(workers=0)))
    assert [one.index for one in alone] == list(range(21))
    assert list(scan(dataset, ScanOptions(workers=2))) == alone
    assert list(scan(dataset, ScanOptions(workers=5))) == alone
    assert list(scan(dataset, ScanOptions(workers=2, limit=3))) == [alone[0], alone[10], alone[20]]


def spoil(index: int, act: Callable[[], object]) -> Callable[..., SampleFacts]:
    def inspect(dataset: SegmentationDataset, wanted: int) -> SampleFacts:
        if wanted == index:
            act()
        return inspect_sample(dataset, wanted)

    return inspect


def test_a_file_that_kills_its_process_is_named(
    dataset: SegmentationDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "inspect_sample", spoil(3, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    monkeypatch.setattr(module, "_MOST_LOST", 1)  # the process that takes its place reads on
    found = list(scan(dataset, ScanOptions(workers=1)))
    assert [one.index for one in found] == list(range(21))
    assert [one.index for one in found if one.faults] == [3]
    (fault,) = found[3].faults
    assert fault.code == "unreadable_image"
    assert dataset.files[3].image in fault.text
    assert "SIGKILL" in fault.text


@pytest.mark.slow
def test_a_file_that_blocks_its_process_is_named(
    dataset: SegmentationDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "inspect_sample", spoil(20, lambda: time.sleep(60)))
    found = list(scan(dataset, ScanOptions(workers=2, timeout=1.0)))
    assert [one.index for one in found if one.faults] == [20]
    assert "has not moved for 1 s" in found[20].faults[0].text


def test_processes_that_die_without_end(
    dataset: SegmentationDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_LOST", 1)
    monkeypatch.setattr(module, "inspect_sample", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match="2 processes are lost, lower --workers"):
        list(scan(dataset, ScanOptions(workers=1)))
