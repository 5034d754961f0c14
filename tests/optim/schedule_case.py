"""Paddle's own schedules, as their users call them."""

from __future__ import annotations

import paddle


def paddle_values(scheduler: paddle.optimizer.lr.LRScheduler, steps: int) -> list[float]:
    """The learning rate before each of the first iterations."""
    values = []
    for _ in range(steps):
        values.append(scheduler())
        scheduler.step()
    return values
