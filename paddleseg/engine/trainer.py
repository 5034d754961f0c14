"""The training loop. It says what training is; hooks do the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import paddle
from paddle import nn

from paddleseg.data.loader import TrainBatch
from paddleseg.engine.checkpoint import TrainState
from paddleseg.losses.combine import CombinedLoss, LossValues

__all__ = ["Hook", "Trainer"]


class Hook:
    """Something that happens around the steps; the default is nothing."""

    def before_run(self, trainer: Trainer) -> None:
        """Called once, before the first step."""

    def after_step(self, trainer: Trainer) -> None:
        """Called after every step; ``trainer`` holds what the step left."""

    def after_run(self, trainer: Trainer) -> None:
        """Called once after the last step, also when the run ends by an error."""


class Trainer:
    """Runs the steps.

    Args:
        model: Network; returns a list of logits.
        loss: One loss for each of them.
        optimizer: Optimiser over the model's parameters.
        schedule: Learning rate of a 0-based step.
        batches: Batches for the iterations that are left.
        iterations: Total iterations of the run.
        state: Counters to go on from.
        hooks: Called in order.

    Attributes:
        losses: Losses of the latest step.
        learning_rate: Learning rate of the latest step.
        reader_seconds: Time that the latest step waited for its batch.
        step_seconds: Time of the latest step, waiting included.
        stop_reason: Set by a hook to end the run after its step.
    """

    def __init__(
        self,
        *,
        model: nn.Layer,
        loss: CombinedLoss,
        optimizer: paddle.optimizer.Optimizer,
        schedule: Callable[[int], float],
        batches: Iterable[TrainBatch],
        iterations: int,
        state: TrainState,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.batches = batches
        self.iterations = iterations
        self.state = state
        self.hooks = hooks
        self.batch_size = 0
        self.losses: LossValues | None = None
        self.learning_rate = 0.0
        self.reader_seconds = 0.0
        self.step_seconds = 0.0
        self.stop_reason: str | None = None

    def run(self) -> None:
        """Trains until the batches end or a hook sets ``stop_reason``."""
        for hook in self.hooks:
            hook.before_run(self)
        try:
            self.model.train()
            started = time.perf_counter()
            for batch in self.batches:
                self.reader_seconds = time.perf_counter() - started
                self.step(batch)
                self.step_seconds = time.perf_counter() - started
                for hook in self.hooks:
                    hook.after_step(self)
                if self.stop_reason:
                    break
                started = time.perf_counter()
        finally:
            for hook in self.hooks:
                hook.after_run(self)

    def step(self, batch: TrainBatch) -> None:
        """One iteration: forward, loss, backward, update."""
        self.batch_size = len(batch.paths)
        self._seed_dropout()
        self.learning_rate = self.schedule(self.state.iteration)
        self.optimizer.set_lr(self.learning_rate)
        self.losses = self.loss(self.model(batch.images), batch.labels)
        self.losses.total.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        self.state.iteration += 1

    def _seed_dropout(self) -> None:
        """Random numbers depend on seed and iteration alone, so that a resumed run draws the same ones."""
        numbers = np.random.SeedSequence((self.state.seed, self.state.iteration)).generate_state(1)
        paddle.seed(int(numbers[0]))
