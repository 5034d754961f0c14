"""Which samples a step gets: order, ranks, epochs, resuming."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.errors import DataError


def batches(**options: Any) -> list[list[int]]:
    settings = {"length": 10, "batch_size": 3, "seed": 1, "iterations": 9, **options}
    return [[key.index for key in batch] for batch in TrainBatchSampler(**settings)]


def test_without_shuffling_by_hand() -> None:
    assert batches(length=7, batch_size=3, iterations=5, shuffle=False) == [
        [0, 1, 2],
        [3, 4, 5],
        [0, 1, 2],
        [3, 4, 5],
        [0, 1, 2],
    ]


def test_ranks_take_neighbouring_parts() -> None:
    options = {"length": 8, "batch_size": 2, "iterations": 2, "shuffle": False, "world_size": 2}
    assert batches(**options, rank=0) == [[0, 1], [4, 5]]
    assert batches(**options, rank=1) == [[2, 3], [6, 7]]


@given(
    length=st.integers(1, 40),
    batch_size=st.integers(1, 4),
    world_size=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_each_epoch_shows_samples_once_and_ranks_share_nothing(
    length: int, batch_size: int, world_size: int, seed: int
) -> None:
    if length < batch_size * world_size:
        return
    options = {"length": length, "batch_size": batch_size, "seed": seed, "world_size": world_size}
    per_epoch = length // (batch_size * world_size)
    ranks = [batches(**options, iterations=3 * per_epoch, rank=rank) for rank in range(world_size)]
    for epoch in range(3):
        part = slice(epoch * per_epoch, (epoch + 1) * per_epoch)
        seen = Counter(index for rank in ranks for batch in rank[part] for index in batch)
        assert set(seen.values()) == {1}
        assert sum(seen.values()) == per_epoch * batch_size * world_size


def test_more_processes_see_the_same_global_batches() -> None:
    alone = batches(length=20, batch_size=4, iterations=7)
    pairs = [batches(length=20, batch_size=2, iterations=7, world_size=2, rank=rank) for rank in (0, 1)]
    assert alone == [first + second for first, second in zip(*pairs, strict=True)]


def test_order_differs_between_epochs_and_seeds_and_repeats_for_a_seed() -> None:
    options = {"length": 30, "batch_size": 30, "iterations": 2}
    first, second = batches(**options)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(30))
    assert batches(**options, seed=2)[0] != first
    assert batches(**options) == [first, second]


@pytest.mark.parametrize("done", [0, 1, 4, 8, 9])
def test_resuming_gives_the_rest_of_the_run(done: int) -> None:
    options = {"length": 10, "batch_size": 3, "seed": 5, "iterations": 9}
    whole, rest = (
        list(TrainBatchSampler(**options)),
        list(TrainBatchSampler(**options, start_iteration=done)),
    )
    assert rest == whole[done:]
    assert len(TrainBatchSampler(**options, start_iteration=done)) == 9 - done


def test_entropy_names_the_sample_of_the_epoch() -> None:
    keys = [key for batch in TrainBatchSampler(4, batch_size=2, seed=6, iterations=4) for key in batch]
    assert len({key.entropy for key in keys}) == 8
    assert {key.entropy for key in keys if key.index == 3} == {(6, 1, 1, 3), (6, 1, 2, 3)}


def test_epochs_are_counted_from_one() -> None:
    # Cityscapes on 4 cards with 2 images: 2975 // 8 = 371 iterations an epoch.
    sampler = TrainBatchSampler(2975, batch_size=2, seed=0, iterations=60000, world_size=4)
    assert sampler.iterations_per_epoch == 371
    assert [sampler.epoch_of(i) for i in (1, 371, 372, 60000)] == [1, 1, 2, 162]


def test_too_small_a_data_set() -> None:
    with pytest.raises(DataError, match=r"has 7 samples, fewer than the 8 .*batch_size 2 × 4"):
        TrainBatchSampler(7, batch_size=2, seed=0, iterations=1, world_size=4)


def test_negative_seed() -> None:
    with pytest.raises(ValueError, match="seed: expected 0 or more, got -1"):
        TrainBatchSampler(4, batch_size=2, seed=-1, iterations=1)
