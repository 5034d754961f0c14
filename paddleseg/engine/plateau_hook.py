"""Shows a schedule that follows the run its results, and keeps what it has seen with the checkpoints."""

from __future__ import annotations

import numpy as np

from paddleseg.build import build_schedule
from paddleseg.config.config import Config
from paddleseg.engine.trainer import Hook, Trainer
from paddleseg.errors import ConfigError
from paddleseg.log import get_logger
from paddleseg.optim.plateau import ReduceOnPlateau
from paddleseg.optim.warmup import Schedule

__all__ = ["PlateauHook", "make_schedule"]

_logger = get_logger(__name__)


class PlateauHook(Hook):
    """Tells the schedule the loss of every step, or the mIoU of every evaluation.

    Comes after the evaluation and before the checkpoint. All processes tell the same number: the loss is the
    mean over them, and the mIoU counts the images of them all.

    Args:
        schedule: The schedule that the trainer follows.
    """

    def __init__(self, schedule: ReduceOnPlateau) -> None:
        self._schedule = schedule

    def before_run(self, trainer: Trainer) -> None:
        self._schedule.load_state_dict(trainer.state.schedule)
        self._tell_evaluation(trainer)  # one that was made up for just now

    def after_step(self, trainer: Trainer) -> None:
        if self._schedule.metric == "mIoU":
            self._tell_evaluation(trainer)
        elif not trainer.rejected:
            assert trainer.losses is not None
            own = np.array([trainer.losses.total.item()])
            self._tell(trainer, float(trainer.parts.group.sum(own)[0]) / trainer.parts.group.size)

    def before_save(self, trainer: Trainer) -> None:
        trainer.state.schedule = self._schedule.state_dict()

    def _tell_evaluation(self, trainer: Trainer) -> None:
        evaluated_now = trainer.state.evaluated_at == trainer.state.iteration
        if self._schedule.metric == "mIoU" and trainer.miou is not None and evaluated_now:
            self._tell(trainer, trainer.miou)

    def _tell(self, trainer: Trainer, value: float) -> None:
        iteration = trainer.state.iteration
        if self._schedule.observe(value, iteration):
            _logger.info(
                f"[LR] iter {iteration}: {self._schedule.metric} has not improved lately; the learning rate "
                f"is {self._schedule(iteration):g} from here"
            )


def make_schedule(config: Config, *, do_eval: bool) -> Schedule:
    """Builds the schedule of a training run, which must have the results that it follows.

    Args:
        config: Checked configuration.
        do_eval: Whether the run evaluates.

    Raises:
        ConfigError: It follows the mIoU, and nothing is evaluated; or as for ``build_schedule``.
    """
    schedule = build_schedule(config)
    if isinstance(schedule, ReduceOnPlateau) and schedule.metric == "mIoU" and not do_eval:
        where = config.source("lr_scheduler.metric")
        raise ConfigError(
            f"{where} lr_scheduler.metric: got mIoU, which a run without --do_eval never knows, so that the "
            "learning rate would not fall; give --do_eval, or set metric: loss"
        )
    return schedule
