"""What happens around the training steps, one class a concern."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import paddle
from tqdm import tqdm

from paddleseg.engine.checkpoint import (
    BEST_MODEL,
    TrainState,
    run_checkpoints,
    save_best_model,
    save_checkpoint,
)
from paddleseg.engine.evaluator import Evaluation
from paddleseg.engine.trainer import Hook, Trainer
from paddleseg.engine.writers import MetricWriter
from paddleseg.errors import DataError
from paddleseg.log import get_logger

__all__ = ["CheckpointHook", "EvaluationHook", "FiniteLossHook", "LogHook", "ProgressHook", "StartHook"]

_logger = get_logger(__name__)


class StartHook(Hook):
    """Tells once that the run has begun: after the first step, which shows that the parts fit each other.

    Args:
        on_start: Called with the counters before that step.
    """

    def __init__(self, on_start: Callable[[TrainState], None]) -> None:
        self._on_start = on_start

    def before_run(self, trainer: Trainer) -> None:
        self._before: TrainState | None = replace(trainer.state)

    def after_step(self, trainer: Trainer) -> None:
        if self._before is not None:
            self._on_start(self._before)
            self._before = None


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


class LogHook(Hook):
    """Means over ``log_iters`` iterations, in PaddleSeg's line and in the metric writers.

    Where the loss has several parts, they follow PaddleSeg's fields by name.

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
        self._seconds = 0.0
        self._reader_seconds = 0.0
        self._samples = 0
        self._sums: dict[str, paddle.Tensor] = {}

    def after_step(self, trainer: Trainer) -> None:
        assert trainer.losses is not None
        self._steps += 1
        self._samples += trainer.batch_size
        self._seconds += trainer.step_seconds
        self._reader_seconds += trainer.reader_seconds
        # Sums stay on the device: reading them back every step would make a GPU wait.
        for name, value in {"loss": trainer.losses.total, **trainer.losses.parts}.items():
            detached = value.detach()
            self._sums[name] = self._sums[name] + detached if name in self._sums else detached
        iteration = trainer.state.iteration
        if iteration % self._log_iters == 0 or iteration == trainer.iterations:
            self._report(trainer)
            self._reset()

    def _report(self, trainer: Trainer) -> None:
        iteration, steps = trainer.state.iteration, self._steps
        losses = {name: value.item() / steps for name, value in self._sums.items()}
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
        values = {f"Train/{name}": value for name, value in losses.items()}
        values |= {
            "Train/lr": trainer.learning_rate,
            "Train/batch_cost": batch_cost,
            "Train/reader_cost": reader_cost,
        }
        for writer in self._writers:
            writer.scalars(values, iteration)


def _gpu_memory() -> str:
    if "gpu" not in paddle.get_device():
        return ""
    reserved = paddle.device.cuda.max_memory_reserved() >> 20
    allocated = paddle.device.cuda.max_memory_allocated() >> 20
    return f", max_mem_reserved: {reserved} MB, max_mem_allocated: {allocated} MB"


class FiniteLossHook(Hook):
    """Ends a run whose loss is no longer a number, instead of training on rubbish for hours.

    Args:
        every: Iterations between two looks (a look reads one number back from the device).
        save_interval: Iterations between two checkpoints; none is written without a look.
    """

    def __init__(self, *, every: int, save_interval: int) -> None:
        self._every = every
        self._save_interval = save_interval

    def after_step(self, trainer: Trainer) -> None:
        assert trainer.losses is not None
        if trainer.state.iteration % self._every == 0 or _is_due(trainer, self._save_interval):
            total = trainer.losses.total.item()
            if not -float("inf") < total < float("inf"):
                parts = {name: part.item() for name, part in trainer.losses.parts.items()}
                raise DataError(
                    f"iteration {trainer.state.iteration}: the loss is {total} ({parts}); lower the learning "
                    f"rate (now {trainer.learning_rate:.3g}), add warm-up or grad_clip_cfg; the checkpoints "
                    "saved so far are untouched"
                )


class EvaluationHook(Hook):
    """Evaluates every ``interval`` iterations and at the end, and keeps the best model.

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

    def after_step(self, trainer: Trainer) -> None:
        state = trainer.state
        if not _is_due(trainer, self._interval):
            return
        report = self._run_evaluation(state.iteration).report
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
        without_gain = (state.iteration - state.best_iteration) // self._interval
        if self._patience is not None and without_gain >= self._patience:
            trainer.stop_reason = f"no better mIoU in the last {self._patience} evaluations"

    def _keep_best(self, trainer: Trainer, miou: float) -> None:
        state, folder = trainer.state, self._save_dir / BEST_MODEL
        # A run resumed into another folder has no best model there yet.
        if miou > (state.best_miou if folder.is_dir() else -1.0):
            state.best_miou, state.best_iteration = miou, state.iteration
            save_best_model(self._save_dir, model=trainer.model, state=state)
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
    """

    def __init__(self, *, save_dir: Path, interval: int, keep: int) -> None:
        self._save_dir = save_dir
        self._interval = interval
        self._keep = keep
        self._saved: list[Path] = []

    def before_run(self, trainer: Trainer) -> None:
        own = run_checkpoints(self._save_dir, trainer.state.run)
        self._saved = [folder for n, folder in own.items() if n <= trainer.state.iteration]

    def after_step(self, trainer: Trainer) -> None:
        if not (_is_due(trainer, self._interval) or trainer.stop_reason):
            return
        folder = save_checkpoint(
            self._save_dir, model=trainer.model, optimizer=trainer.optimizer, state=trainer.state
        )
        _logger.info(f"[SAVE] {folder}")
        self._saved.append(folder)
        while self._keep and len(self._saved) > self._keep:
            shutil.rmtree(self._saved.pop(0), ignore_errors=True)


def _is_due(trainer: Trainer, interval: int) -> bool:
    iteration = trainer.state.iteration
    return iteration % interval == 0 or iteration == trainer.iterations
