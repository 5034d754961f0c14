"""What all schedules share: the warm-up in front."""

from __future__ import annotations

from collections.abc import Callable

from paddleseg.optim.ranges import check_number

__all__ = ["Schedule", "add_warmup", "steps_after_warmup", "with_warmup"]

Schedule = Callable[[int], float]
"""0-based step → learning rate."""


def with_warmup(schedule: Schedule, *, warmup_iters: int, warmup_start_lr: float, end_lr: float) -> Schedule:
    """A straight line first, then the schedule from its own step 0.

    Args:
        schedule: What follows.
        warmup_iters: The steps that the line takes; 0: none.
        warmup_start_lr: At step 0.
        end_lr: What the line would reach at step ``warmup_iters``.
    """

    def warmed_up(step: int) -> float:
        if step >= warmup_iters:
            return schedule(step - warmup_iters)
        return warmup_start_lr + (end_lr - warmup_start_lr) * step / warmup_iters

    return warmed_up


def add_warmup(schedule: Schedule, *, end_lr: float, warmup_iters: int, warmup_start_lr: float) -> Schedule:
    """Checks a factory's parameters of the warm-up and puts it in front, where there is one.

    Args:
        schedule: What follows.
        end_lr: The schedule's first learning rate, which the warm-up leads to.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that it starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    check_number("lr_scheduler.warmup_iters", warmup_iters)
    check_number("lr_scheduler.warmup_start_lr", warmup_start_lr)
    if warmup_iters == 0:
        return schedule
    return with_warmup(schedule, warmup_iters=warmup_iters, warmup_start_lr=warmup_start_lr, end_lr=end_lr)


def steps_after_warmup(iters: int, warmup_iters: int) -> int:
    """At least 1, so that a trial run shorter than the warm-up works, as in PaddleSeg."""
    return max(iters - warmup_iters, 1)
