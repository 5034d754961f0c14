"""Puts a training run together from a configuration and runs it."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from paddleseg.build import build_dataset, build_loss, build_model, build_optimizer, build_schedule
from paddleseg.config.config import Config
from paddleseg.data.crop_check import check_crop_size
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import EvalItem, TrainBatchSampler, make_train_loader
from paddleseg.engine.checkpoint import TrainState, load_checkpoint
from paddleseg.engine.evaluator import Evaluation, ImageResult, Labels, evaluate
from paddleseg.engine.hooks import (
    CheckpointHook,
    EvaluationHook,
    FiniteLossHook,
    LogHook,
    ProgressHook,
    StartHook,
)
from paddleseg.engine.options import inference_options
from paddleseg.engine.trainer import Hook, Trainer
from paddleseg.engine.writers import JsonLinesWriter, MetricWriter, PictureWriter, VisualDLWriter
from paddleseg.log import get_logger
from paddleseg.visualise import color_map, side_by_side

__all__ = ["METRICS_FILE", "TrainOptions", "run_training"]

METRICS_FILE = "metrics.jsonl"
_PICTURES = 4
_logger = get_logger(__name__)


@dataclass(frozen=True)
class TrainOptions:
    """What a run takes from the command line rather than from the config.

    Attributes:
        save_dir: Folder of the run; it exists.
        seed: Seed of the initial weights, of order and augmentation.
        do_eval: Whether to evaluate while training.
        use_vdl: Whether to write VisualDL's log.
        log_iters: Iterations between two log lines.
        save_interval: Iterations between two checkpoints, and between two evaluations.
        keep_checkpoint_max: Newest checkpoints that stay; 0 for all.
        num_workers: Processes that read images; 0 reads in this one.
        resume_model: ``iter_N`` folder to go on from.
        early_stop_intervals: Evaluations without a better mIoU before the run ends; None for no limit.
        allow_mismatch: Whether ``model.pretrained`` may be for another number of classes.
    """

    save_dir: Path
    seed: int = 0
    do_eval: bool = False
    use_vdl: bool = False
    log_iters: int = 10
    save_interval: int = 1000
    keep_checkpoint_max: int = 5
    num_workers: int = 0
    resume_model: Path | None = None
    early_stop_intervals: int | None = None
    allow_mismatch: bool = False


def run_training(
    config: Config, options: TrainOptions, *, on_start: Callable[[TrainState], None] = lambda _: None
) -> TrainState:
    """Builds everything, trains, and leaves checkpoints, the best model and metrics in ``save_dir``.

    Args:
        config: Checked configuration.
        options: The rest.
        on_start: Called with the counters that the run starts from, when its first step has gone well.

    Returns:
        Counters at the end of the run.

    Raises:
        PaddleSegError: A file, a weight or a value is bad, or results cannot be written.
    """
    _seed_everything(options.seed)
    trainer, writers = _make_trainer(config, options)
    trainer.hooks = [StartHook(on_start), *trainer.hooks]
    if trainer.state.iteration >= trainer.iterations:
        _logger.warning(
            f"nothing left to do: {trainer.state.iteration} iterations are done already and iters is "
            f"{trainer.iterations}; raise --iters"
        )
    try:
        trainer.run()
    finally:
        for writer in writers:
            writer.close()
    if trainer.stop_reason:
        _logger.info(f"[STOP] iteration {trainer.state.iteration}: {trainer.stop_reason}")
    return trainer.state


def _make_trainer(config: Config, options: TrainOptions) -> tuple[Trainer, list[MetricWriter]]:
    settings = config.settings
    train_set = build_dataset(config, "train")
    check_crop_size(train_set)
    val_set = build_dataset(config, "val") if options.do_eval else None
    model = build_model(config, allow_mismatch=options.allow_mismatch)
    optimizer = build_optimizer(config, model)
    state = _initial_state(options, model, optimizer)
    sampler = TrainBatchSampler(
        len(train_set),
        batch_size=settings.batch_size,
        seed=state.seed,
        start_iteration=state.iteration,
        iterations=settings.iters,
    )
    loss, schedule = build_loss(config), build_schedule(config)
    writers = _make_writers(options, state)
    run_evaluation = (
        None if val_set is None else _Evaluation(config, model, val_set, writers, options.num_workers)
    )
    trainer = Trainer(
        model=paddle.jit.to_static(model) if settings.to_static_training else model,
        loss=loss,
        optimizer=optimizer,
        schedule=schedule,
        batches=make_train_loader(train_set, sampler, num_workers=options.num_workers),
        iterations=settings.iters,
        state=state,
        hooks=_make_hooks(options, sampler.iterations_per_epoch, writers, run_evaluation),
    )
    return trainer, writers


def _initial_state(
    options: TrainOptions, model: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer
) -> TrainState:
    """The counters to start from; a resumed checkpoint fills model and optimiser too."""
    if options.resume_model is not None:
        state = load_checkpoint(options.resume_model, model=model, optimizer=optimizer)
        _logger.info(
            f"[RESUME] {options.resume_model}: going on after iteration {state.iteration}, seed {state.seed}"
        )
        return state
    if any(options.save_dir.glob("iter_*")):
        _logger.warning(
            f"{options.save_dir} holds checkpoints of an earlier run; those of the same name are replaced"
        )
    return TrainState(seed=options.seed, run=uuid.uuid4().hex)


def _make_writers(options: TrainOptions, state: TrainState) -> list[MetricWriter]:
    folder, resumed = options.save_dir, options.resume_model
    goes_on = resumed is not None and resumed.resolve().parent == folder.resolve()
    resumed_at = state.iteration if goes_on else None
    writers: list[MetricWriter] = [JsonLinesWriter(folder / METRICS_FILE, resumed_at=resumed_at)]
    if options.use_vdl:
        writers.append(VisualDLWriter(folder))
    return writers


def _make_hooks(
    options: TrainOptions,
    iterations_per_epoch: int,
    writers: list[MetricWriter],
    run_evaluation: Callable[[int], Evaluation] | None,
) -> list[Hook]:
    """The order matters: a checkpoint holds the result of the evaluation before it."""
    hooks: list[Hook] = [
        FiniteLossHook(every=options.log_iters, save_interval=options.save_interval),
        LogHook(log_iters=options.log_iters, iterations_per_epoch=iterations_per_epoch, writers=writers),
        ProgressHook(enabled=sys.stderr.isatty()),
    ]
    if run_evaluation is not None:
        hooks.append(
            EvaluationHook(
                save_dir=options.save_dir,
                interval=options.save_interval,
                run_evaluation=run_evaluation,
                writers=writers,
                patience=options.early_stop_intervals,
            )
        )
    hooks.append(
        CheckpointHook(
            save_dir=options.save_dir,
            interval=options.save_interval,
            keep=options.keep_checkpoint_max,
        )
    )
    return hooks


class _Evaluation:
    """Evaluates the model in training, logs the figures and draws the first images."""

    def __init__(
        self,
        config: Config,
        model: paddle.nn.Layer,
        dataset: SegmentationDataset,
        writers: Sequence[MetricWriter],
        num_workers: int,
    ) -> None:
        self._options = inference_options(config.settings.test_config, augment_key="aug_eval")
        self._model = model
        self._dataset = dataset
        self._writers = [writer for writer in writers if isinstance(writer, PictureWriter)]
        self._num_workers = num_workers
        self._palette = color_map(256, palette=dataset.palette)

    def __call__(self, iteration: int) -> Evaluation:
        _logger.info(f"[EVAL] Start evaluating {len(self._dataset)} images at iter {iteration}")

        def draw(item: EvalItem, prediction: Labels, _: ImageResult) -> None:
            if item.index < _PICTURES:
                image = self._dataset.load(item.index).image.astype(np.uint8)
                picture = side_by_side(image, item.label, prediction, self._palette)
                for writer in self._writers:
                    writer.picture(f"Evaluate/{item.index}", picture, iteration)

        evaluation = evaluate(
            self._model,
            self._dataset,
            options=self._options,
            num_workers=self._num_workers,
            progress=sys.stderr.isatty(),
            on_image=draw if self._writers else None,
        )
        _logger.info(evaluation.report.eval_line(len(evaluation.images)))
        for line in evaluation.report.class_lines():
            _logger.info(line)
        return evaluation


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)
