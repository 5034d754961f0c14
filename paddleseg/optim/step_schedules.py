"""Schedules that fall in steps: StepDecay, MultiStepDecay, PiecewiseDecay, ExponentialDecay.

Names and keys are Paddle's. With a warm-up, ``step_size``, ``milestones`` and ``boundaries`` count from its
end, as in PaddleSeg.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from paddleseg.errors import ConfigError
from paddleseg.optim.ranges import check_number
from paddleseg.optim.warmup import Schedule, add_warmup
from paddleseg.registry import SCHEDULES

__all__ = [
    "exponential",
    "exponential_schedule",
    "multi_step_schedule",
    "piecewise",
    "piecewise_schedule",
    "step_schedule",
]


def exponential(learning_rate: float, *, gamma: float, interval: int = 1) -> Schedule:
    """learning_rate·gamma^⌊step / interval⌋."""
    return lambda step: learning_rate * gamma ** (step // interval)


def piecewise(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """The first value before the first boundary, the second from there to the next, and so on.

    Args:
        boundaries: Steps at which the next value begins, ascending.
        values: One more than there are boundaries.
    """
    return lambda step: values[bisect_right(boundaries, step)]


@SCHEDULES.register(name="StepDecay")
def step_schedule(
    *,
    learning_rate: float,
    iters: int,
    step_size: int,
    gamma: float = 0.1,
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Times ``gamma`` every ``step_size`` iterations.

    Args:
        learning_rate: The first and highest learning rate.
        iters: Iterations of the run.
        step_size: Iterations from one change to the next.
        gamma: The factor, between 0 and 1.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    _check(learning_rate, iters, gamma)
    check_number("lr_scheduler.step_size", step_size, at_least=1)
    schedule = exponential(learning_rate, gamma=gamma, interval=step_size)
    return add_warmup(
        schedule, end_lr=learning_rate, warmup_iters=warmup_iters, warmup_start_lr=warmup_start_lr
    )


@SCHEDULES.register(name="MultiStepDecay")
def multi_step_schedule(
    *,
    learning_rate: float,
    iters: int,
    milestones: Sequence[int],
    gamma: float = 0.1,
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Times ``gamma`` at each of the ``milestones``.

    Args:
        learning_rate: The first and highest learning rate.
        iters: Iterations of the run.
        milestones: Iterations of the changes, ascending.
        gamma: The factor, between 0 and 1.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    _check(learning_rate, iters, gamma)
    _check_ascending("milestones", milestones)
    values = [learning_rate * gamma**count for count in range(len(milestones) + 1)]
    return add_warmup(
        piecewise(list(milestones), values),
        end_lr=learning_rate,
        warmup_iters=warmup_iters,
        warmup_start_lr=warmup_start_lr,
    )


@SCHEDULES.register(name="PiecewiseDecay")
def piecewise_schedule(
    *,
    iters: int,
    boundaries: Sequence[int],
    values: Sequence[float],
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Learning rates written down one by one; a warm-up leads to the first.

    Args:
        iters: Iterations of the run.
        boundaries: Iterations at which the next value begins, ascending.
        values: The learning rates, one more than there are boundaries.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range, or there are more or fewer values than needed.
    """
    check_number("lr_scheduler.iters", iters, at_least=1)
    _check_ascending("boundaries", boundaries)
    if len(values) != len(boundaries) + 1:
        raise ConfigError(
            f"lr_scheduler.values: got {len(values)} learning rates for {len(boundaries)} boundaries; "
            f"expected {len(boundaries) + 1}, the last of them for what comes after the last boundary"
        )
    for index, value in enumerate(values):
        check_number(f"lr_scheduler.values[{index}]", value)
    return add_warmup(
        piecewise(list(boundaries), [float(value) for value in values]),
        end_lr=values[0],
        warmup_iters=warmup_iters,
        warmup_start_lr=warmup_start_lr,
    )


@SCHEDULES.register(name="ExponentialDecay")
def exponential_schedule(
    *,
    learning_rate: float,
    iters: int,
    gamma: float,
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Times ``gamma`` at every iteration: learning_rate·gamma^step.

    Args:
        learning_rate: The first and highest learning rate.
        iters: Iterations of the run.
        gamma: The factor, between 0 and 1; 0.9999 leaves 37% after 10,000 iterations.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    _check(learning_rate, iters, gamma)
    return add_warmup(
        exponential(learning_rate, gamma=gamma),
        end_lr=learning_rate,
        warmup_iters=warmup_iters,
        warmup_start_lr=warmup_start_lr,
    )


def _check(learning_rate: float, iters: int, gamma: float) -> None:
    check_number("lr_scheduler.learning_rate", learning_rate)
    check_number("lr_scheduler.iters", iters, at_least=1)
    check_number("lr_scheduler.gamma", gamma, above=0.0, below=1.0)


def _check_ascending(name: str, steps: Sequence[int]) -> None:
    if not steps:
        raise ConfigError(f"lr_scheduler.{name}: got an empty list; expected iterations, e.g. [20000, 30000]")
    for index, step in enumerate(steps):
        check_number(f"lr_scheduler.{name}[{index}]", step, at_least=1)
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ConfigError(
            f"lr_scheduler.{name}: got {list(steps)}; expected every number above the one before"
        )
