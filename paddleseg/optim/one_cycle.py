"""The one-cycle schedule, with Paddle's names and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from paddleseg.errors import ConfigError
from paddleseg.optim.ranges import check_number
from paddleseg.optim.warmup import Schedule, add_warmup, steps_after_warmup
from paddleseg.registry import SCHEDULES

__all__ = ["one_cycle", "one_cycle_schedule"]

Blend = Callable[[float], float]
"""Share of a phase that is over → share of the way to its last learning rate."""

_BLENDS: dict[str, Blend] = {
    "cos": lambda share: (1.0 - math.cos(math.pi * share)) / 2.0,
    "linear": lambda share: share,
}


def one_cycle(ends: list[float], rates: list[float], blend: Blend) -> Schedule:
    """Phases that lead from one learning rate to the next.

    Args:
        ends: Where each phase ends, as a step that need not be whole.
        rates: The learning rate at the start, then that at the end of each phase.
        blend: The shape of all phases.

    Returns:
        Step → learning rate; after the last phase it stays at that phase's end.
    """

    def schedule(step: int) -> float:
        start = 0.0
        for index, end in enumerate(ends):
            if step <= end:
                share = (step - start) / (end - start) if end > start else 1.0
                return rates[index] + (rates[index + 1] - rates[index]) * blend(share)
            start = end
        return rates[-1]

    return schedule


@SCHEDULES.register(name="OneCycleLR")
def one_cycle_schedule(
    *,
    max_learning_rate: float,
    iters: int,
    total_steps: int | None = None,
    divide_factor: float = 25.0,
    end_learning_rate: float = 0.0001,
    phase_pct: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    three_phase: bool = False,
    warmup_iters: int = 0,
    warmup_start_lr: float = 0.0,
) -> Schedule:
    """Up to ``max_learning_rate`` from a part of it, then down to ``end_learning_rate``.

    Source: Smith and Topin, 2017, arXiv 1708.07120, as Paddle and PyTorch have it. PyTorch gives the end as a
    part of the start (``final_div_factor``).

    Args:
        max_learning_rate: The highest learning rate.
        iters: Iterations of the run, warm-up included.
        total_steps: Iterations of the cycle; default: those after the warm-up. Beyond it the learning rate
            stays at the end.
        divide_factor: The highest learning rate over the first.
        end_learning_rate: The last learning rate.
        phase_pct: Share of the iterations on the way up, from 0 to 1.
        anneal_strategy: The shape of the way: half a cosine wave or a straight line.
        three_phase: Down to the first learning rate in as many iterations as up, then to the end;
            ``phase_pct`` is then below 0.5.
        warmup_iters: Iterations of a linear warm-up before the cycle, which has one of its own.
        warmup_start_lr: The learning rate that the warm-up starts from.

    Raises:
        ConfigError: A value is out of range.
    """
    check_number("lr_scheduler.max_learning_rate", max_learning_rate)
    check_number("lr_scheduler.divide_factor", divide_factor, at_least=1)
    check_number("lr_scheduler.end_learning_rate", end_learning_rate)
    steps = steps_after_warmup(iters, warmup_iters) if total_steps is None else total_steps
    check_number("lr_scheduler.total_steps", steps, at_least=1)
    check_number("lr_scheduler.phase_pct", phase_pct, below=0.5 if three_phase else math.nextafter(1.0, 2.0))
    if anneal_strategy not in _BLENDS:
        raise ConfigError(
            f"lr_scheduler.anneal_strategy: got {anneal_strategy!r}; expected {' or '.join(_BLENDS)}"
        )
    first = max_learning_rate / divide_factor
    top = phase_pct * steps - 1
    if three_phase:
        ends, rates = [top, 2 * top, steps - 1.0], [first, max_learning_rate, first, end_learning_rate]
    else:
        ends, rates = [top, steps - 1.0], [first, max_learning_rate, end_learning_rate]
    schedule = one_cycle(ends, rates, _BLENDS[anneal_strategy])
    return add_warmup(
        schedule, end_lr=schedule(0), warmup_iters=warmup_iters, warmup_start_lr=warmup_start_lr
    )
