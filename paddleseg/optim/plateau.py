"""The schedule that follows the run: lower the learning rate where a result no longer improves.

Between two results it is a function of the step like the others. What it has seen is a few numbers, which a
checkpoint keeps; the trainer's side of it is :mod:`paddleseg.engine.plateau_hook`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from paddleseg.errors import CheckpointError, ConfigError
from paddleseg.optim.ranges import check_number
from paddleseg.optim.warmup import add_warmup
from paddleseg.registry import SCHEDULES

__all__ = ["ReduceOnPlateau"]

_MODES = {"loss": "min", "mIoU": "max"}
_COUNTS = ("reductions", "without_gain", "cooldown", "seen")


@SCHEDULES.register
class ReduceOnPlateau:
    """Times ``factor`` where the training loss, or the validation mIoU, has not improved for a while.

    As Paddle's class and PaddleSeg's loop have it, one result is the loss of one iteration; here it is the
    mean over all processes, so that they agree. With ``metric: mIoU`` one result is one evaluation, which
    training then needs (``--do_eval``). Results during the warm-up do not count.

    Args:
        learning_rate: The first and highest learning rate.
        iters: Iterations of the run.
        metric: What to follow: ``loss`` or ``mIoU``.
        mode: Whether the smaller or the larger result is the better: ``min`` for the loss and ``max`` for
            mIoU, which are the defaults, too.
        factor: What the learning rate is multiplied by, between 0 and 1.
        patience: Results without an improvement that are borne; the next one lowers the learning rate.
        threshold: How much better than the best a result must be to count as an improvement.
        threshold_mode: ``rel``: the threshold is a share of the best; ``abs``: a difference.
        cooldown: Results that do not count after the learning rate was lowered.
        min_lr: The lowest learning rate.
        epsilon: A change that is not larger than this is not made.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(
        self,
        *,
        learning_rate: float,
        iters: int,
        metric: Literal["loss", "mIoU"] = "loss",
        mode: Literal["min", "max"] | None = None,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        epsilon: float = 1e-8,
        warmup_iters: int = 0,
        warmup_start_lr: float = 0.0,
    ) -> None:
        for name, value in (
            ("learning_rate", learning_rate),
            ("patience", patience),
            ("threshold", threshold),
            ("cooldown", cooldown),
            ("min_lr", min_lr),
            ("epsilon", epsilon),
        ):
            check_number(f"lr_scheduler.{name}", value)
        check_number("lr_scheduler.iters", iters, at_least=1)
        check_number("lr_scheduler.factor", factor, above=0.0, below=1.0)
        _check_choice("metric", metric, *_MODES)
        _check_choice(f"mode beside metric: {metric}", mode, None, _MODES[metric])
        _check_choice("threshold_mode", threshold_mode, "rel", "abs")
        self.metric = metric
        self._first_rate = self._rate = learning_rate
        self._factor, self._min_lr, self._epsilon = factor, min_lr, epsilon
        self._patience, self._cooldown = patience, cooldown
        self._threshold, self._relative = threshold, threshold_mode == "rel"
        self._warmup_iters = warmup_iters
        self._schedule = add_warmup(
            lambda _: self._rate,
            end_lr=learning_rate,
            warmup_iters=warmup_iters,
            warmup_start_lr=warmup_start_lr,
        )
        self._best: float | None = None
        self._counts = dict.fromkeys(_COUNTS, 0)

    def __call__(self, step: int) -> float:
        """The learning rate of a 0-based step, after the results so far."""
        return self._schedule(step)

    def observe(self, value: float, iteration: int) -> bool:
        """Takes note of a result.

        Args:
            value: The loss, or the mIoU in [0, 1]; what is not finite is no improvement.
            iteration: Iterations done. A result of one that was seen before, as after a resumed run has
                evaluated again, does not count twice.

        Returns:
            Whether the learning rate has become lower.
        """
        counts = self._counts
        if iteration <= max(counts["seen"], self._warmup_iters):
            return False
        counts["seen"] = iteration
        if counts["cooldown"]:
            counts["cooldown"] -= 1
            return False
        if self._is_better(value):
            self._best, counts["without_gain"] = value, 0
            return False
        counts["without_gain"] += 1
        if counts["without_gain"] <= self._patience:
            return False
        counts["cooldown"], counts["without_gain"] = self._cooldown, 0
        lower = self._lowered(self._rate)
        if self._rate - lower <= self._epsilon:
            return False
        self._rate = lower
        counts["reductions"] += 1
        return True

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self._best is None:
            return True
        margin = self._threshold * (self._best if self._relative else 1.0)
        return value < self._best - margin if self.metric == "loss" else value > self._best + margin

    def _lowered(self, rate: float) -> float:
        return min(rate, max(rate * self._factor, self._min_lr))

    def state_dict(self) -> dict[str, float | int]:
        """What a checkpoint keeps, exact in JSON: counts, and the best result once there is one.

        The best is kept under the metric's name: one of another metric says nothing after a forced change.
        """
        return self._counts | ({} if self._best is None else {f"best_{self.metric}": self._best})

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Goes on from a checkpoint; the learning rate is computed anew, so that a changed one is heeded.

        Args:
            state: What :meth:`state_dict` gave; empty at the start of a run.

        Raises:
            CheckpointError: It is damaged.
        """
        if not state:
            return
        counts = {name: state.get(name) for name in _COUNTS}
        if any(type(count) is not int or count < 0 for count in counts.values()):
            raise CheckpointError(
                f"state of the learning-rate schedule: expected {', '.join(_COUNTS)} as counts, got "
                f"{dict(state)}; resume from an earlier checkpoint"
            )
        self._counts = {name: int(state[name]) for name in _COUNTS}
        best = state.get(f"best_{self.metric}")
        self._best = None if best is None else float(best)
        self._rate = self._first_rate
        for _ in range(self._counts["reductions"]):
            self._rate = self._lowered(self._rate)


def _check_choice(name: str, value: str | None, *choices: str | None) -> None:
    if value not in choices:
        expected = " or ".join(repr(choice) for choice in choices if choice is not None)
        raise ConfigError(f"lr_scheduler.{name}: got {value!r}; expected {expected}")
