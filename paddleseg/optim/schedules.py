"""Learning-rate schedules: pure functions of the step, and the factories that a config names.

A schedule is a ``Callable[[int], float]``: step 0 is the first iteration. Nothing is stored between calls, so
resuming needs the iteration only.

``build.py`` calls ``SCHEDULES.get(type)(iters=<iterations of the run>, **keys of the lr_scheduler block)``.
Every factory takes ``warmup_iters`` and ``warmup_start_lr``: the learning rate then rises linearly from
``warmup_start_lr``, would reach the schedule's first learning rate at step ``warmup_iters``, and there the
schedule starts at its own step 0, over the iterations that are left. All steps are iterations, as in
PaddleSeg, not epochs.

One schedule follows the run's results: :mod:`paddleseg.optim.plateau`.
"""

from __future__ import annotations

import math

from paddleseg.optim.ranges import check_number
from paddleseg.optim.warmup import Schedule, add_warmup, steps_after_warmup
from paddleseg.registry import SCHEDULES

__all__ = [
    "Schedule",
    "constant",
    "constant_schedule",
    "cosine",
    "cosine_schedule",
    "polynomial",
    "polynomial_schedule",
]


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
    """Polynomial decay: (learning_rate − end_lr)·(1 − step / decay_steps)^power + end_lr.

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
    check_number("lr_scheduler.learning_rate", learning_rate)
    steps = steps_after_warmup(iters, warmup_iters) if decay_steps is None else decay_steps
    check_number("lr_scheduler.decay_steps", steps, at_least=1)
    check_number("lr_scheduler.end_lr", end_lr)
    check_number("lr_scheduler.power", power)
    schedule = polynomial(learning_rate, decay_steps=steps, end_lr=end_lr, power=power, cycle=cycle)
    return add_warmup(
        schedule, end_lr=learning_rate, warmup_iters=warmup_iters, warmup_start_lr=warmup_start_lr
    )


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
    """Cosine decay: half a wave from ``learning_rate`` to ``eta_min``.

    Source: Loshchilov and Hutter, ICLR 2017, arXiv 1608.03983, without restarts.

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
    check_number("lr_scheduler.learning_rate", learning_rate)
    period = steps_after_warmup(iters, warmup_iters) if T_max is None else T_max
    check_number("lr_scheduler.T_max", period, at_least=1)
    check_number("lr_scheduler.eta_min", eta_min)
    schedule = cosine(learning_rate, period=period, end_lr=eta_min)
    return add_warmup(
        schedule, end_lr=learning_rate, warmup_iters=warmup_iters, warmup_start_lr=warmup_start_lr
    )


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
    check_number("lr_scheduler.learning_rate", learning_rate)
    check_number("lr_scheduler.iters", iters, at_least=1)
    return add_warmup(
        constant(learning_rate),
        end_lr=learning_rate,
        warmup_iters=warmup_iters,
        warmup_start_lr=warmup_start_lr,
    )
