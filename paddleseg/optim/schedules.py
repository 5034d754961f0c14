"""Learning-rate schedules: pure functions of the step, and the factories that a config names.

A schedule is a ``Callable[[int], float]``: step 0 is the first iteration. Nothing is stored between calls, so
resuming needs the iteration only.

``build.py`` calls ``SCHEDULES.get(type)(iters=<iterations of the run>, **keys of the lr_scheduler block)``.
Every factory takes ``warmup_iters`` and ``warmup_start_lr``: the learning rate then rises linearly from
``warmup_start_lr``, would reach ``learning_rate`` at step ``warmup_iters``, and there the schedule starts at
its own step 0, over the iterations that are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from paddleseg.errors import ConfigError
from paddleseg.registry import SCHEDULES

__all__ = [
    "Schedule",
    "constant",
    "constant_schedule",
    "cosine",
    "cosine_schedule",
    "polynomial",
    "polynomial_schedule",
    "with_warmup",
]

Schedule = Callable[[int], float]


def constant(learning_rate: float) -> Schedule:
    """The same learning rate at every step."""
    return lambda step: learning_rate


def polynomial(
    learning_rate: float, *, decay_steps: int, end_lr: float, power: float, cycle: bool = False
) -> Schedule:
    """(learning_rate − end_lr)·(1 − step/decay_steps)^power + end_lr.

    Args:
        learning_rate: At step 0.
        decay_steps: The step that reaches ``end_lr``.
        end_lr: From ``decay_steps`` on.
        power: 1 is a straight line.
        cycle: At the end, start again over twice, three times … ``decay_steps``, as Paddle's class does.
    """

    def schedule(step: int) -> float:
        if cycle:
            period = decay_steps * max(1, math.ceil(step / decay_steps))
            progress = step / period
        else:
            progress = min(step, decay_steps) / decay_steps
        return (learning_rate - end_lr) * (1.0 - progress) ** power + end_lr

    return schedule


def cosine(learning_rate: float, *, period: int, end_lr: float) -> Schedule:
    """Half a cosine wave from ``learning_rate`` to ``end_lr`` (SGDR, arXiv 1608.03983, equation 5, without
    restarts).

    Args:
        learning_rate: At step 0.
        period: The step that reaches ``end_lr``; beyond it the wave goes up again, as in Paddle's class.
        end_lr: The lowest learning rate.
    """
    return lambda step: end_lr + (learning_rate - end_lr) * (1.0 + math.cos(math.pi * step / period)) / 2.0


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


@SCHEDULES.register(name="PolynomialDecay")
def polynomial_schedule(
    *,
    learning_rate: float,
    iters: int,
    decay_steps: int | None = None,
    end_lr: float = 0.0,
    power: float = 0.9,
    cycle: bool = False,
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Polynomial decay.

    Args:
        learning_rate: The highest learning rate.
        iters: Iterations of the run, warm-up included.
        decay_steps: Default: the iterations after the warm-up.
        end_lr: The last learning rate.
        power: 1 is a straight line.
        cycle: Start again after ``decay_steps``.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    steps = _steps_after_warmup(iters, warmup_iters) if decay_steps is None else decay_steps
    _check_at_least("decay_steps", steps, 1)
    _check_at_least("end_lr", end_lr, 0.0)
    _check_at_least("power", power, 0.0)
    schedule = polynomial(learning_rate, decay_steps=steps, end_lr=end_lr, power=power, cycle=cycle)
    return _finish(schedule, learning_rate, warmup_iters, warmup_start_lr)


@SCHEDULES.register(name="CosineAnnealingDecay")
def cosine_schedule(
    *,
    learning_rate: float,
    iters: int,
    T_max: int | None = None,  # noqa: N803 (Paddle's name, which configs use)
    eta_min: float = 0.0,
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Cosine decay.

    Args:
        learning_rate: The highest learning rate.
        iters: Iterations of the run, warm-up included.
        T_max: Iterations down to ``eta_min``; default: those after the warm-up.
        eta_min: The lowest learning rate.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    period = _steps_after_warmup(iters, warmup_iters) if T_max is None else T_max
    _check_at_least("T_max", period, 1)
    _check_at_least("eta_min", eta_min, 0.0)
    schedule = cosine(learning_rate, period=period, end_lr=eta_min)
    return _finish(schedule, learning_rate, warmup_iters, warmup_start_lr)


@SCHEDULES.register(name="Constant")
def constant_schedule(
    *, learning_rate: float, iters: int, warmup_iters: int = 0, warmup_start_lr: float = 0.0
) -> Schedule:
    """The same learning rate throughout, after the warm-up if there is one.

    Args:
        learning_rate: The learning rate.
        iters: Iterations of the run.
        warmup_iters: Iterations of the linear warm-up.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    _check_at_least("iters", iters, 1)
    return _finish(constant(learning_rate), learning_rate, warmup_iters, warmup_start_lr)


def _steps_after_warmup(iters: int, warmup_iters: int) -> int:
    """At least 1, so that a trial run shorter than the warm-up works, as in PaddleSeg."""
    return max(iters - warmup_iters, 1)


def _finish(schedule: Schedule, learning_rate: float, warmup_iters: int, warmup_start_lr: float) -> Schedule:
    """Checks what all factories share and puts the warm-up in front."""
    _check_at_least("learning_rate", learning_rate, 0.0)
    _check_at_least("warmup_iters", warmup_iters, 0)
    _check_at_least("warmup_start_lr", warmup_start_lr, 0.0)
    if warmup_iters == 0:
        return schedule
    return with_warmup(
        schedule, warmup_iters=warmup_iters, warmup_start_lr=warmup_start_lr, end_lr=learning_rate
    )


def _check_at_least(name: str, value: float, minimum: float) -> None:
    if not math.isfinite(value) or value < minimum:
        raise ConfigError(f"lr_scheduler.{name}: got {value}; expected {minimum:g} or more")
