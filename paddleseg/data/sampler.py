"""Which samples make up each training batch.

The order is a pure function of (seed, epoch), and the randomness of a sample one of (seed, epoch, index);
neither depends on the worker that loads it, on the number of processes or on where a run was resumed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from paddleseg.data.datasets.base import SampleKey
from paddleseg.errors import DataError

__all__ = ["TrainBatchSampler"]

# First numbers of the random streams that a seed is split into.
ORDER_STREAM, AUGMENTATION_STREAM = 0, 1


class TrainBatchSampler:
    """Endless shuffled epochs cut into batches, from any iteration on.

    Each epoch has its own order. An iteration takes one global batch, in ``accumulate`` micro-steps; in each
    of them the ranks take neighbouring parts. With ``by_rank`` a rank draws from every ``world_size``-th
    sample only, in the same order, so it needs no others. Samples that do not fill the last global batch of
    an epoch are left out.

    Yields ``accumulate`` lists of keys an iteration, one a micro-step.

    Args:
        length: Samples in the data set.
        batch_size: Samples a rank and micro-step.
        seed: Fixes order and augmentation.
        rank: This process.
        world_size: All processes.
        accumulate: Micro-steps an iteration.
        start_iteration: Iterations done already, by a resumed run.
        iterations: Iterations of the whole run.
        shuffle: False keeps the order of the data set.
        by_rank: Rank r takes the samples r, r + world_size, r + 2·world_size … alone.

    Raises:
        ValueError: The seed is negative.
        DataError: The data set does not fill one global batch.
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        seed: int,
        iterations: int,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        start_iteration: int = 0,
        shuffle: bool = True,
        by_rank: bool = False,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {seed}")
        self.global_batch = batch_size * world_size * accumulate
        if length < self.global_batch:
            raise DataError(
                f"the training set has {length} samples, fewer than the {self.global_batch} of one iteration "
                f"(batch_size {batch_size} × {world_size} processes × accumulate {accumulate}); "
                "lower batch_size or accumulate, or add images"
            )
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.accumulate = accumulate
        self.start_iteration = start_iteration
        self.iterations = iterations
        self.shuffle = shuffle
        self.by_rank = by_rank

    @property
    def iterations_per_epoch(self) -> int:
        """Full global batches in an epoch."""
        return self.length // self.global_batch

    def epoch_of(self, iteration: int) -> int:
        """The epoch (from 1) that an iteration (from 1) belongs to."""
        return (iteration - 1) // self.iterations_per_epoch + 1

    def __len__(self) -> int:
        return max(self.iterations - self.start_iteration, 0) * self.accumulate

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order, order_epoch = np.empty(0, dtype=np.int64), 0
        for iteration in range(self.start_iteration + 1, self.iterations + 1):
            epoch = self.epoch_of(iteration)
            if epoch != order_epoch:
                order, order_epoch = self._order(epoch), epoch
            position = (iteration - 1) % self.iterations_per_epoch
            for step in range(self.accumulate):
                part = self._part(position * self.accumulate + step)
                yield [self._key(epoch, int(index)) for index in order[part : part + self.batch_size]]

    def _part(self, step: int) -> int:
        """Where a micro-step of an epoch begins in :meth:`_order`."""
        batch = step if self.by_rank else step * self.world_size + self.rank
        return batch * self.batch_size

    def _order(self, epoch: int) -> np.ndarray:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, ORDER_STREAM, epoch)).permutation(self.length)
        return order[order % self.world_size == self.rank] if self.by_rank else order

    def _key(self, epoch: int, index: int) -> SampleKey:
        return SampleKey(index, (self.seed, AUGMENTATION_STREAM, epoch, index))
