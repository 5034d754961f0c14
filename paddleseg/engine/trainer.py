"""The training loop. It says what training is; hooks do the rest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddleseg.data.loader import TrainBatch
from paddleseg.engine.checkpoint import TrainState
from paddleseg.engine.distillation import Teacher
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.gradients import GradientSync
from paddleseg.engine.group import Group
from paddleseg.engine.guard import Finding, StepGuard
from paddleseg.engine.interrupts import Interrupts
from paddleseg.engine.precision import Precision
from paddleseg.engine.timing import StepTimer
from paddleseg.errors import DataError
from paddleseg.losses.combine import CombinedLoss, LossValues

__all__ = ["Hook", "StepParts", "Trainer"]


class Hook:
    """Something that happens around the steps; the default is nothing."""

    def before_run(self, trainer: Trainer) -> None:
        """Called once, before the first step."""

    def after_step(self, trainer: Trainer) -> None:
        """Called after every step; ``trainer`` holds what the step left."""

    def before_save(self, trainer: Trainer) -> None:
        """Called before a checkpoint is written; ``trainer.state`` takes what a resumed run needs."""

    def after_run(self, trainer: Trainer) -> None:
        """Called once after the last step, also when the run ends by an error."""


@dataclass
class StepParts:
    """What a step has besides model, loss and optimiser; the defaults are those of the simplest run.

    Attributes:
        accumulate: Batches added up before an update.
        group: The processes that train together.
        precision: What the forward pass computes in.
        teacher: Adds what the model has to learn from another one; None adds nothing.
        guard: Looks for numbers that are not finite; None does not look.
        ema: Average of the weights.
        ignore_index: The label of pixels that do not count.
        timer: Times the parts of every ``measure_every``-th iteration.
        measure_every: Iterations from one that is timed to the next.
        interrupts: Tells of signals that ask the run to end.
    """

    accumulate: int = 1
    group: Group = field(default_factory=Group)
    precision: Precision = field(default_factory=Precision)
    teacher: Teacher | None = None
    guard: StepGuard | None = None
    ema: ModelEma | None = None
    ignore_index: int = 255
    timer: StepTimer = field(default_factory=StepTimer)
    measure_every: int = 10
    interrupts: Interrupts = field(default_factory=Interrupts)


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
        parts: The rest of a step.
        sync: Averages gradients over the processes; made from ``model`` where it is not given.

    Attributes:
        start: A copy of the counters that the run goes on from.
        losses: Losses of the latest step, means over its batches.
        rejected: Whether the latest step changed no weight because a number was not finite.
        learning_rate: Learning rate of the latest step.
        miou: Result of the latest evaluation in this process's life; None before it.
        batch_size: Images of this process in the latest step.
        reader_seconds: Time that the latest step waited for its batches.
        step_seconds: Time of the latest step, waiting included.
        last_checkpoint: The newest checkpoint of this run.
        stop_reason: Set by a hook to end the run after its step.
        interrupted: Whether a signal ended the run, in any of the processes.
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
        parts: StepParts | None = None,
        sync: GradientSync | None = None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.batches = batches
        self.iterations = iterations
        self.state = state
        self.start = replace(state)
        self.hooks = hooks
        self.parts = parts or StepParts()
        self.sync = sync or GradientSync(model, self.parts.group, overlap=False)
        self.losses: LossValues | None = None
        self.rejected = False
        self.learning_rate = 0.0
        self.miou: float | None = None
        self.batch_size = 0
        self.reader_seconds = 0.0
        self.step_seconds = 0.0
        self.last_checkpoint: Path | None = None
        self.stop_reason: str | None = None
        self.interrupted = False
        self._parameters = [one for one in model.parameters() if not one.stop_gradient]
        self._read: list[TrainBatch] = []

    def run(self) -> None:
        """Trains until the iterations are done or a hook sets ``stop_reason``."""
        for hook in self.hooks:
            hook.before_run(self)
        try:
            self.model.train()
            batches = iter(self.batches)
            while self.state.iteration < self.iterations and not self.stop_reason:
                started = time.perf_counter()
                self.step(batches)
                self.step_seconds = time.perf_counter() - started
                for hook in self.hooks:
                    hook.after_step(self)
        finally:
            for hook in self.hooks:
                hook.after_run(self)

    @property
    def skipped_samples(self) -> list[str]:
        """Messages of the bad samples of the latest step, in this process."""
        return [message for batch in self._read for message in batch.skipped]

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Inside, the model has its averaged weights where there are any."""
        return nullcontext() if self.parts.ema is None else self.parts.ema.applied()

    def step(self, batches: Iterator[TrainBatch]) -> None:
        """One iteration: forward, loss and backward of each batch, then one update of the weights."""
        parts, following = self.parts, self.state.iteration + 1
        parts.timer.begin(measured=following % parts.measure_every == 0 or following == self.iterations)
        self.learning_rate = self.schedule(self.state.iteration)
        self.optimizer.set_lr(self.learning_rate)
        self.reader_seconds = 0.0
        self._read.clear()
        if parts.guard is not None:
            parts.guard.remember(scaled=parts.precision.loss_scale is not None)
        losses = [self._add_gradients(batches, micro_step) for micro_step in range(parts.accumulate)]
        self.losses = _mean(losses)
        self.batch_size = sum(len(batch.paths) for batch in self._read)
        with parts.timer.span("communication"):
            self.sync.finish()
        with parts.timer.span("optimizer"):
            own = self._look()
        with parts.timer.span("communication"):
            finding = self._share(own)
        with parts.timer.span("optimizer"):
            self._update(finding, own)
        self.state.iteration = following

    def _add_gradients(self, batches: Iterator[TrainBatch], micro_step: int) -> LossValues:
        """Adds one batch's share to the gradients. Returns its losses."""
        parts = self.parts
        with parts.timer.span("reader"):
            started = time.perf_counter()
            batch = next(batches)
            self.reader_seconds += time.perf_counter() - started
        self._read.append(batch)
        self._seed(micro_step)
        with self.sync.micro_step(last=micro_step == parts.accumulate - 1):
            with parts.timer.span("forward"):
                logits = parts.precision.forward(self.sync.model, batch.images)
            with parts.timer.span("loss"):
                losses = self.loss(logits, batch.labels)
                if parts.teacher is not None:
                    losses = parts.teacher.teach(losses, logits[0], batch, parts.precision)
            with parts.timer.span("backward"):
                parts.precision.scale(losses.total / parts.accumulate).backward()
        return LossValues(losses.total.detach(), losses.parts)

    def _update(self, finding: Finding, own: Finding) -> None:
        """Changes the weights, unless a number is not finite in any of the processes."""
        parts = self.parts
        self.rejected = finding is not Finding.NOTHING
        if not self.rejected:
            self.optimizer.step()
            if parts.ema is not None:
                parts.ema.update(self.state.iteration + 1)
            self.state.rejected_in_a_row = 0
        else:
            self._reject(finding, own)
        parts.precision.update(finite=not self.rejected)
        # Not set to zero: that costs time and memory, and a resumed run has no gradients either.
        self.optimizer.clear_grad(set_to_zero=False)

    def _look(self) -> Finding:
        """What is not finite in this process."""
        assert self.losses is not None
        self.parts.precision.unscale_(self._parameters)
        if self.parts.guard is None:
            return Finding.NOTHING
        return self.parts.guard.inspect(self.losses.total, self._parameters)

    def _share(self, finding: Finding) -> Finding:
        """What is not finite in any process; takes note of signals and skipped samples there, too."""
        parts = self.parts
        skipped = self.skipped_samples
        *found, self.interrupted, any_skipped = parts.group.any(
            finding >= Finding.GRADIENTS,
            finding >= Finding.LOSS,
            parts.interrupts.signal is not None,
            bool(skipped),
        )
        if any_skipped:
            self.state.skipped_samples += int(parts.group.sum(np.array([len(skipped)]))[0])
        if self.interrupted:
            self.stop_reason = "a signal asked for it"
        return Finding(sum(found))

    def _reject(self, finding: Finding, own: Finding) -> None:
        """Leaves the weights as they are, or ends the run, as the guard's policy says.

        Args:
            finding: What is not finite in any process.
            own: What is not finite in this one; a loss that is not has spoilt the gradients of all.
        """
        assert self.losses is not None
        assert self.parts.guard is not None, "without a guard nothing is found"
        group, total = self.parts.group, self.losses.total.item()
        try:
            self.parts.guard.rejected(
                finding,
                state=self.state,
                losses={"loss": total} | {name: part.item() for name, part in self.losses.parts.items()},
                paths=[path for batch in self._read for path in batch.paths],
                label_range=self._label_range(),
                learning_rate=self.learning_rate,
                last_checkpoint=self.last_checkpoint,
                scale=self.parts.precision.loss_scale,
            )
        except DataError:
            if not (own is Finding.LOSS if finding is Finding.LOSS else group.is_main):
                group.wait("the process with the cause")  # which ends, says why, and so ends this one
            raise

    def _label_range(self) -> tuple[int, int]:
        """Least and greatest class id of the step's pixels that count; (−1, −1) where none does."""
        labels = np.concatenate([batch.labels.numpy().ravel() for batch in self._read])
        labels = labels[labels != self.parts.ignore_index]
        return (int(labels.min()), int(labels.max())) if labels.size else (-1, -1)

    def _seed(self, micro_step: int) -> None:
        """Random numbers depend on these four alone, so that a resumed run draws the same ones."""
        entropy = (self.state.seed, self.state.iteration, self.parts.group.rank, micro_step)
        framework, numpy, python = np.random.SeedSequence(entropy).generate_state(3).tolist()
        paddle.seed(framework)
        np.random.seed(numpy)
        random.seed(python)


def _mean(losses: Sequence[LossValues]) -> LossValues:
    if len(losses) == 1:
        return losses[0]
    totals = paddle.stack([one.total for one in losses])
    parts = {name: paddle.stack([one.parts[name] for one in losses]).mean() for name in losses[0].parts}
    return LossValues(totals.mean(), parts)
