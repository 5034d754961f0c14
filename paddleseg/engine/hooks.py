"""What happens around the training steps, one class a concern.

In a run of several processes every hook runs in all of them, and those that exchange numbers do so at the
same iterations; only the main one (:attr:`Group.is_main`) writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from tqdm import tqdm

from paddleseg.engine.checkpoint import (
    BEST_MODEL,
    TrainState,
    save_best_model,
    save_checkpoint,
)
from paddleseg.engine.evaluator import Evaluation, EvaluationStopped
from paddleseg.engine.run_folder import run_checkpoints
from paddleseg.engine.trainer import Hook, Trainer
from paddleseg.engine.writers import MetricWriter
from paddleseg.files import remove_folder
from paddleseg.log import get_logger
from paddleseg.losses.combine import LossValues

__all__ = ["CheckpointHook", "EvaluationHook", "LogHook", "ProgressHook", "SkippedSamplesHook", "StartHook"]

_logger = get_logger(__name__)


class StartHook(Hook):
    """Tells once that the run has begun: after the first step, which shows that the parts fit each other.

    Args:
        on_start: Called with the counters before that step.
    """

    def __init__(self, on_start: Callable[[TrainState], None]) -> None:
        self._on_start = on_start

    def after_step(self, trainer: Trainer) -> None:
        if trainer.state.iteration == trainer.start.iteration + 1:
            self._on_start(trainer.start)


class ProgressHook(Hook):
    """A progress bar on the terminal.

    Args:
        enabled: False where nobody watches.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def before_run(self, trainer: Trainer) -> None:
        self._bar = tqdm(
            total=trainer.iterations,
            initial=trainer.state.iteration,
            desc="train",
            unit="iter",
            disable=not self._enabled,
        )

    def after_step(self, trainer: Trainer) -> None:
        self._bar.update()

    def after_run(self, trainer: Trainer) -> None:
        self._bar.close()


class SkippedSamplesHook(Hook):
    """Warns of each bad sample that another one stands in for."""

    def after_step(self, trainer: Trainer) -> None:
        for message in trainer.skipped_samples:
            _logger.warning(f"skipped: {message}")


class LogHook(Hook):
    """Means over ``log_iters`` iterations and all processes, in PaddleSeg's line and in the metric writers.

    The losses of steps that changed no weight (``trainer.rejected``) are left out; where there was no other
    step the mean is NaN, and a line says why.
    Where the loss has several parts, they follow PaddleSeg's fields by name. A second line tells where the
    time of the iteration went.

    Args:
        log_iters: Iterations between two lines.
        iterations_per_epoch: For the epoch's number.
        writers: Where the numbers go as well.
    """

    def __init__(self, *, log_iters: int, iterations_per_epoch: int, writers: list[MetricWriter]) -> None:
        self._log_iters = log_iters
        self._per_epoch = iterations_per_epoch
        self._writers = writers
        self._reset()

    def _reset(self) -> None:
        self._steps = 0
        self._summed_steps = 0  # with those before the run was resumed, without the rejected ones
        self._seconds = 0.0
        self._reader_seconds = 0.0
        self._samples = 0
        self._sums: dict[str, paddle.Tensor] = {}

    def before_run(self, trainer: Trainer) -> None:
        state = trainer.state
        if len(state.loss_sums) == trainer.parts.group.size:
            own = state.loss_sums[trainer.parts.group.rank]
            self._sums = {name: paddle.to_tensor(value, dtype="float32") for name, value in own.items()}
            self._summed_steps = state.summed_steps

    def before_save(self, trainer: Trainer) -> None:
        state = trainer.state
        state.summed_steps = self._summed_steps
        own = {name: value.item() for name, value in self._sums.items()}
        state.loss_sums = trainer.parts.group.gather(own) if state.summed_steps else []

    def after_step(self, trainer: Trainer) -> None:
        assert trainer.losses is not None
        self._steps += 1
        self._samples += trainer.batch_size * trainer.parts.group.size
        self._seconds += trainer.step_seconds
        self._reader_seconds += trainer.reader_seconds
        if not trainer.rejected:
            self._add(trainer.losses)
        iteration = trainer.state.iteration
        if iteration % self._log_iters == 0 or iteration == trainer.iterations:
            losses = self._mean_losses(trainer)
            if trainer.parts.group.is_main:
                self._report(trainer, losses)
            self._reset()
            trainer.parts.timer.reset()

    def _add(self, losses: LossValues) -> None:
        """Sums stay on the device until they are shown."""
        self._summed_steps += 1
        for name, value in {"loss": losses.total, **losses.parts}.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _mean_losses(self, trainer: Trainer) -> dict[str, float]:
        group = trainer.parts.group
        if not self._summed_steps:
            return {"loss": math.nan}
        own = np.array([value.item() for value in self._sums.values()], dtype=np.float64)
        means = group.sum(own) / (group.size * self._summed_steps)
        return dict(zip(self._sums, means.tolist(), strict=True))

    def _report(self, trainer: Trainer, losses: Mapping[str, float]) -> None:
        iteration, steps = trainer.state.iteration, self._steps
        batch_cost, reader_cost = self._seconds / steps, self._reader_seconds / steps
        left = round((trainer.iterations - iteration) * batch_cost)
        eta = f"{left // 3600:02d}:{left // 60 % 60:02d}:{left % 60:02d}"
        samples_per_second = self._samples / self._seconds
        parts = [f", {name}: {value:.4f}" for name, value in losses.items() if name != "loss"]
        epoch = (iteration - 1) // self._per_epoch + 1
        _logger.info(
            f"[TRAIN] epoch: {epoch}, iter: {iteration}/{trainer.iterations}, "
            f"loss: {losses['loss']:.4f}, lr: {trainer.learning_rate:.6f}, batch_cost: {batch_cost:.4f}, "
            f"reader_cost: {reader_cost:.5f}, ips: {samples_per_second:.4f} samples/sec"
            f"{_gpu_memory()}{''.join(parts) if len(parts) > 1 else ''} | ETA {eta}"
        )
        if not self._summed_steps:
            _logger.info(f"[TRAIN] iter: {iteration}: no step of these changed a weight, so no loss")
        times = trainer.parts.timer.means()
        if times:
            shares = ", ".join(f"{name} {seconds:.4f}" for name, seconds in times.items())
            _logger.info(f"[TIME] iter: {iteration}, seconds: {shares}")
        values = {f"Train/{name}": value for name, value in losses.items()}
        values |= {
            "Train/lr": trainer.learning_rate,
            "Train/batch_cost": batch_cost,
            "Train/reader_cost": reader_cost,
        }
        values |= {f"Time/{name}": seconds for name, seconds in times.items()}
        for writer in self._writers:
            writer.scalars(values, iteration)


def _gpu_memory() -> str:
    if "gpu" not in paddle.get_device():
        return ""
    reserved = paddle.device.cuda.max_memory_reserved() >> 20
    allocated = paddle.device.cuda.max_memory_allocated() >> 20
    return f", max_mem_reserved: {reserved} MB, max_mem_allocated: {allocated} MB"


class EvaluationHook(Hook):
    """Evaluates every ``interval`` iterations and at the end, and keeps the best model.

    With averaged weights (EMA) it is those that are evaluated and kept.

    Args:
        save_dir: Folder of the run.
        interval: Iterations between two evaluations.
        run_evaluation: Evaluates the current weights; gets the iteration.
        writers: Where the figures go as well.
        patience: Evaluations without a better mIoU before the run ends; None for no limit.
    """

    def __init__(
        self,
        *,
        save_dir: Path,
        interval: int,
        run_evaluation: Callable[[int], Evaluation],
        writers: list[MetricWriter],
        patience: int | None = None,
    ) -> None:
        self._save_dir = save_dir
        self._interval = interval
        self._run_evaluation = run_evaluation
        self._writers = writers
        self._patience = patience

    def before_run(self, trainer: Trainer) -> None:
        # A signal may have ended the run before the evaluation that was due, or after the last one.
        if trainer.state.iteration:
            self._evaluate_when_due(trainer)

    def after_step(self, trainer: Trainer) -> None:
        if not trainer.interrupted:
            self._evaluate_when_due(trainer)

    def _evaluate_when_due(self, trainer: Trainer) -> None:
        state = trainer.state
        if not _is_due(trainer, self._interval):
            return
        if state.evaluated_at != state.iteration:
            try:
                self._evaluate(trainer)
            except EvaluationStopped:
                trainer.interrupted, trainer.stop_reason = True, "a signal asked for it"
                return
        without_gain = (state.iteration - state.best_iteration) // self._interval
        if self._patience is not None and without_gain >= self._patience:
            trainer.stop_reason = f"no better mIoU in the last {self._patience} evaluations"

    def _evaluate(self, trainer: Trainer) -> None:
        state = trainer.state
        with trainer.averaged_weights():
            report = self._run_evaluation(state.iteration).report
            state.evaluated_at = state.iteration
            trainer.miou = report.miou
            values = {
                "Evaluate/mIoU": report.miou,
                "Evaluate/Acc": report.accuracy,
                "Evaluate/Kappa": report.kappa,
                "Evaluate/Dice": report.dice,
            }
            values |= {
                f"Evaluate/IoU/{name}": float(iou)
                for name, iou in zip(report.class_names, report.class_iou, strict=True)
            }
            for writer in self._writers:
                writer.scalars(values, state.iteration)
            self._keep_best(trainer, report.miou)

    def _keep_best(self, trainer: Trainer, miou: float) -> None:
        """Called with the weights in place that were evaluated."""
        state, group, folder = trainer.state, trainer.parts.group, self._save_dir / BEST_MODEL
        if miou > state.best_miou:
            state.best_miou, state.best_iteration = miou, state.iteration
            if group.is_main:
                save_best_model(self._save_dir, weights=trainer.model.state_dict(), state=state)
            group.wait("saving the best model")
        if state.best_iteration:
            _logger.info(
                f"[EVAL] The model with the best validation mIoU ({state.best_miou:.4f}) was saved at iter "
                f"{state.best_iteration}: {folder}"
            )


class CheckpointHook(Hook):
    """Writes ``iter_N/`` every ``interval`` iterations and at the end. Comes after the evaluation.

    Args:
        save_dir: Folder of the run.
        interval: Iterations between two checkpoints.
        keep: Newest checkpoints of this run that stay; 0 for all. Those of another run are not touched.
        facts: What the run is made of, kept with each checkpoint.
    """

    def __init__(self, *, save_dir: Path, interval: int, keep: int, facts: Mapping[str, Any]) -> None:
        self._save_dir = save_dir
        self._interval = interval
        self._keep = keep
        self._facts = facts
        self._saved: list[Path] = []

    def before_run(self, trainer: Trainer) -> None:
        if trainer.parts.group.is_main:
            own = run_checkpoints(self._save_dir, trainer.state.run)
            self._saved = [folder for n, folder in own.items() if n <= trainer.state.iteration]
        if trainer.state.evaluated_at != trainer.start.evaluated_at:  # made up for just now
            self._save(trainer)

    def after_step(self, trainer: Trainer) -> None:
        if _is_due(trainer, self._interval) or trainer.stop_reason:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.state.loss_scale = trainer.parts.precision.state_dict()
        for hook in trainer.hooks:
            hook.before_save(trainer)
        if trainer.parts.group.is_main:
            self._write(trainer)
        # A process that waited in a collective while a slow disk is written to would die of the time limit.
        trainer.parts.group.wait("saving a checkpoint")
        trainer.last_checkpoint = self._save_dir / f"iter_{trainer.state.iteration}"

    def _write(self, trainer: Trainer) -> None:
        ema = trainer.parts.ema
        folder = save_checkpoint(
            self._save_dir,
            model=trainer.model,
            optimizer=trainer.optimizer,
            state=trainer.state,
            facts=self._facts,
            ema=None if ema is None else ema.state_dict(),
        )
        _logger.info(f"[SAVE] {folder}")
        if folder in self._saved:
            self._saved.remove(folder)
        self._saved.append(folder)
        while self._keep and len(self._saved) > self._keep:
            remove_folder(self._saved.pop(0))


def _is_due(trainer: Trainer, interval: int) -> bool:
    iteration = trainer.state.iteration
    return iteration % interval == 0 or iteration == trainer.iterations
