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


def test_micro_steps_follow_each_other_in_a_global_batch() -> None:
    options = {
        "length": 9,
        "batch_size": 1,
        "iterations": 3,
        "shuffle": False,
        "world_size": 2,
        "accumulate": 2,
    }
    assert batches(**options, rank=0) == [[0], [2], [4], [6], [0], [2]]
    assert batches(**options, rank=1) == [[1], [3], [5], [7], [1], [3]]


def by_iteration(*, world_size: int, accumulate: int, **options: Any) -> list[list[int]]:
    """The global batch of each iteration: micro-step by micro-step, rank by rank."""
    options |= {"world_size": world_size, "accumulate": accumulate}
    ranks = [batches(**options, rank=rank) for rank in range(world_size)]
    steps = [[index for batch in at_once for index in batch] for at_once in zip(*ranks, strict=True)]
    iterations = [steps[at : at + accumulate] for at in range(0, len(steps), accumulate)]
    return [[index for step in iteration for index in step] for iteration in iterations]


@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 4),
    world_size=st.integers(1, 3),
    accumulate=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_each_epoch_shows_samples_once_and_ranks_share_nothing(
    length: int, batch_size: int, world_size: int, accumulate: int, seed: int
) -> None:
    global_batch = batch_size * world_size * accumulate
    if length < global_batch:
        return
    per_epoch = length // global_batch
    shown = by_iteration(
        length=length,
        batch_size=batch_size,
        seed=seed,
        world_size=world_size,
        accumulate=accumulate,
        iterations=3 * per_epoch,
    )
    for epoch in range(3):
        seen = Counter(
            index for batch in shown[epoch * per_epoch : (epoch + 1) * per_epoch] for index in batch
        )
        assert set(seen) <= set(range(length))
        assert set(seen.values()) == {1}
        assert 0 <= length - sum(seen.values()) < global_batch


def test_ranks_with_samples_of_their_own_by_hand() -> None:
    options = {"length": 9, "batch_size": 2, "iterations": 3, "shuffle": False, "by_rank": True}
    assert batches(**options, world_size=2, rank=0) == [[0, 2], [4, 6], [0, 2]]
    assert batches(**options, world_size=2, rank=1) == [[1, 3], [5, 7], [1, 3]]


@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 4),
    world_size=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_by_rank_an_epoch_shows_as_many_samples_once_and_no_others_to_a_rank(
    length: int, batch_size: int, world_size: int, accumulate: int, seed: int
) -> None:
    global_batch = batch_size * world_size * accumulate
    if length < global_batch:
        return
    steps = length // global_batch * accumulate
    options = {"length": length, "batch_size": batch_size, "seed": seed, "world_size": world_size}
    options |= {"accumulate": accumulate, "iterations": 2 * (length // global_batch), "by_rank": True}
    ranks = [batches(**options, rank=rank) for rank in range(world_size)]
    for rank, shown in enumerate(ranks):
        assert {len(batch) for batch in shown} == {batch_size}
        assert {index % world_size for batch in shown for index in batch} == {rank}
    for epoch in (slice(steps), slice(steps, 2 * steps)):
        seen = Counter(index for shown in ranks for batch in shown[epoch] for index in batch)
        assert set(seen.values()) == {1}
        assert len(seen) == length // global_batch * global_batch


def test_one_rank_with_all_samples_has_the_usual_batches() -> None:
    assert batches(length=20, iterations=12, by_rank=True) == batches(length=20, iterations=12)


def test_the_samples_left_out_differ_from_epoch_to_epoch() -> None:
    """An epoch of 103 samples has two global batches of 2 × 3 × 7 = 42; 19 samples are left out."""
    options = {"length": 103, "batch_size": 2, "world_size": 3, "accumulate": 7}
    epochs = 60
    shown = by_iteration(**options, iterations=2 * epochs)
    left_out = [
        frozenset(range(103)) - set(shown[2 * epoch]) - set(shown[2 * epoch + 1]) for epoch in range(epochs)
    ]
    assert {len(rest) for rest in left_out} == {19}
    assert len(set(left_out)) == epochs
    # A sample is left out with probability 19/103: 11.07 times in 60 epochs, standard deviation 3.0.
    counts = Counter(index for rest in left_out for index in rest)
    assert min(counts[index] for index in range(103)) > 0
    assert max(counts.values()) < 11.07 + 5 * 3.0


def test_more_processes_see_the_same_global_batches() -> None:
    alone = batches(length=20, batch_size=4, iterations=7)
    pairs = [batches(length=20, batch_size=2, iterations=7, world_size=2, rank=rank) for rank in (0, 1)]
    assert alone == [first + second for first, second in zip(*pairs, strict=True)]


@pytest.mark.parametrize("seed", [0, 8])
def test_ranks_and_micro_steps_share_the_same_global_batches(seed: int) -> None:
    options = {"length": 30, "batch_size": 2, "iterations": 7, "seed": seed}
    four_ranks = by_iteration(**options, world_size=4, accumulate=1)
    assert four_ranks == by_iteration(**options, world_size=2, accumulate=2)
    assert four_ranks == by_iteration(**options, world_size=1, accumulate=4)
    assert four_ranks == by_iteration(**(options | {"batch_size": 8}), world_size=1, accumulate=1)


def test_order_differs_between_epochs_and_seeds_and_repeats_for_a_seed() -> None:
    options = {"length": 30, "batch_size": 30, "iterations": 2}
    first, second = batches(**options)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(30))
    assert batches(**options, seed=2)[0] != first
    assert batches(**options) == [first, second]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("done", [0, 1, 4, 8, 9])
def test_resuming_gives_the_rest_of_the_run(done: int, accumulate: int) -> None:
    options = {"length": 10, "batch_size": 3, "seed": 5, "iterations": 9, "accumulate": accumulate}
    whole = list(TrainBatchSampler(**options))
    resumed = TrainBatchSampler(**options, start_iteration=done)
    assert list(resumed) == whole[done * accumulate :]
    assert len(resumed) == (9 - done) * accumulate
    assert len(whole) == 9 * accumulate


def test_entropy_names_the_sample_of_the_epoch() -> None:
    keys = [key for batch in TrainBatchSampler(4, batch_size=2, seed=6, iterations=4) for key in batch]
    assert len({key.entropy for key in keys}) == 8
    assert {key.entropy for key in keys if key.index == 3} == {(6, 1, 1, 3), (6, 1, 2, 3)}


def test_epochs_are_counted_from_one() -> None:
    # Cityscapes on 4 cards with 2 images: 2975 // 8 = 371 iterations an epoch.
    sampler = TrainBatchSampler(2975, batch_size=2, seed=0, iterations=60000, world_size=4)
    assert sampler.iterations_per_epoch == 371
    assert [sampler.epoch_of(i) for i in (1, 371, 372, 60000)] == [1, 1, 2, 162]
    # Twice as many images an iteration: 2975 // 16 = 185.
    doubled = TrainBatchSampler(2975, batch_size=2, seed=0, iterations=60000, world_size=4, accumulate=2)
    assert (doubled.global_batch, doubled.iterations_per_epoch) == (16, 185)
    assert [doubled.epoch_of(i) for i in (1, 185, 186)] == [1, 1, 2]


def test_too_small_a_data_set() -> None:
    options = {"batch_size": 2, "seed": 0, "iterations": 1, "world_size": 4, "accumulate": 3}
    with pytest.raises(
        DataError, match=r"has 23 samples, fewer than the 24 .*2 × 4 processes × accumulate 3"
    ):
        TrainBatchSampler(23, **options)
    assert len(list(TrainBatchSampler(24, **options))) == 3


def test_negative_seed() -> None:
    with pytest.raises(ValueError, match="seed: expected 0 or more, got -1"):
        TrainBatchSampler(4, batch_size=2, seed=-1, iterations=1)
