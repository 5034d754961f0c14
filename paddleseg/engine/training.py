"""Puts a training run together from a configuration and runs it."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

from paddleseg.build import build_dataset, build_loss, build_model, build_optimizer
from paddleseg.build_packs import reads_by_rank
from paddleseg.config.blocks import schedule_block
from paddleseg.config.config import Config
from paddleseg.data.check.quick import refuse_wrong_labels
from paddleseg.data.crop_check import check_crop_size
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import TrainBatchSampler, TrainLoader, make_train_loader
from paddleseg.engine.batching import BatchPlan, plan_batch
from paddleseg.engine.checkpoint import Checkpoint, TrainState
from paddleseg.engine.distillation import make_teacher
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.evaluator import Evaluation
from paddleseg.engine.gradients import GradientSync, synchronise_batch_norm
from paddleseg.engine.group import Group
from paddleseg.engine.guard import StepGuard
from paddleseg.engine.hooks import (
    CheckpointHook,
    EvaluationHook,
    LogHook,
    ProgressHook,
    SkippedSamplesHook,
    StartHook,
)
from paddleseg.engine.interrupts import Interrupts
from paddleseg.engine.plateau_hook import PlateauHook, make_schedule
from paddleseg.engine.precision import Precision
from paddleseg.engine.profiler import ProfilerHook
from paddleseg.engine.profiler_options import ProfilerOptions
from paddleseg.engine.resume import find_checkpoint, first_state, restore_run
from paddleseg.engine.run_facts import run_facts
from paddleseg.engine.trainer import Hook, StepParts, Trainer
from paddleseg.engine.validation import Validation
from paddleseg.engine.writers import JsonLinesWriter, MetricWriter, VisualDLWriter
from paddleseg.errors import ConfigError
from paddleseg.log import get_logger
from paddleseg.optim.plateau import ReduceOnPlateau
from paddleseg.optim.warmup import Schedule

__all__ = ["METRICS_FILE", "TrainOptions", "TrainResult", "run_training"]

METRICS_FILE = "metrics.jsonl"
_REPORTS = "non_finite"
_REPORT_OPTIONS = ("do_eval", "early_stop_intervals", "log_iters", "save_interval")
_logger = get_logger(__name__)


@dataclass(frozen=True)
class TrainOptions:
    """What a run takes from the command line rather than from the config.

    Attributes:
        save_dir: Folder of the run; it exists where the main process runs.
        seed: Seed of the initial weights, of order and augmentation.
        do_eval: Whether to evaluate while training.
        use_vdl: Whether to write VisualDL's log.
        log_iters: Iterations between two log lines.
        save_interval: Iterations between two checkpoints, and between two evaluations.
        keep_checkpoint_max: Newest checkpoints that stay; 0 for all.
        num_workers: Processes that read images; 0 reads in this one.
        resume_model: ``iter_N`` folder to go on from, or ``"auto"``.
        force: Whether to go on from a checkpoint of a run that differs.
        early_stop_intervals: Evaluations without a better mIoU before the run ends; None for no limit.
        allow_mismatch: Whether ``model.pretrained`` may be for another number of classes.
        profiler: What to profile; None for nothing.
        threads: CPU threads of this process, for the run's facts.
    """

    save_dir: Path
    seed: int = 0
    do_eval: bool = False
    use_vdl: bool = False
    log_iters: int = 10
    save_interval: int = 1000
    keep_checkpoint_max: int = 5
    num_workers: int = 0
    resume_model: str | None = None
    force: bool = False
    early_stop_intervals: int | None = None
    allow_mismatch: bool = False
    profiler: ProfilerOptions | None = None
    threads: int = 1


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        state: Counters at its end.
        signal: The signal that ended it early, after saving; None where it ended by itself.
    """

    state: TrainState
    signal: signal.Signals | None = None


def run_training(
    config: Config,
    options: TrainOptions,
    *,
    group: Group | None = None,
    interrupts: Interrupts | None = None,
    on_start: Callable[[TrainState], None] = lambda _: None,
) -> TrainResult:
    """Builds everything, trains, and leaves checkpoints, the best model and metrics in ``save_dir``.

    Args:
        config: Checked configuration.
        options: The rest.
        group: The processes that train together; this one alone by default.
        interrupts: Where signals are told, in its context; by default none are heeded.
        on_start: Called with the counters that the run starts from, when its first step has gone well.

    Returns:
        How it ended.

    Raises:
        PaddleSegError: A file, a weight or a value is bad, results cannot be written, or another process has
            failed.
    """
    interrupts = interrupts or Interrupts()
    group = group or Group()
    trainer, writers = _make_trainer(config, options, group, interrupts, on_start)
    if trainer.state.iteration >= trainer.iterations and group.is_main:
        _logger.warning(
            f"nothing left to do: {trainer.state.iteration} iterations are done already and iters is "
            f"{trainer.iterations}"
        )
    try:
        trainer.run()
    finally:
        for writer in writers:
            writer.close()
    state = trainer.state
    if trainer.stop_reason:
        _logger.info(f"[STOP] iteration {state.iteration}: {trainer.stop_reason}")
    for count, what in (
        (state.skipped_steps, "steps without finite numbers"),
        (state.skipped_samples, "bad samples"),
    ):
        if count and group.is_main:
            _logger.warning(f"{what} left out since the start of the run: {count}")
    if not trainer.interrupted:
        return TrainResult(state)
    return TrainResult(state, interrupts.signal or signal.SIGTERM)


def _make_trainer(
    config: Config,
    options: TrainOptions,
    group: Group,
    interrupts: Interrupts,
    on_start: Callable[[TrainState], None],
) -> tuple[Trainer, list[MetricWriter]]:
    schedule = make_schedule(config, do_eval=options.do_eval)
    teacher = make_teacher(config)
    _seed_everything(options.seed)  # here, so that the student is the same with a teacher and without
    train_set = build_dataset(config, "train", rank=group.rank, world_size=group.size)
    check_crop_size(train_set)
    val_set = build_dataset(config, "val") if options.do_eval else None
    if group.is_main and config.settings.check_data:
        _check_labels(config, train_set, val_set)
    plan = _plan_batch(config, group)
    facts = _facts(config, options, plan, train_set, val_set)
    resume = find_checkpoint(
        options.resume_model, save_dir=options.save_dir, facts=facts, force=options.force, group=group
    )
    network = _make_network(config, options, group, resume)
    state = first_state(options.seed, options.save_dir) if resume is None else resume.state
    facts["config"]["seed"] = state.seed  # the config may have none
    sampler = TrainBatchSampler(
        len(train_set),
        batch_size=plan.batch_size,
        seed=state.seed,
        rank=group.rank,
        world_size=group.size,
        accumulate=plan.accumulate,
        start_iteration=state.iteration,
        iterations=config.settings.iters,
        by_rank=reads_by_rank(config),
    )
    writers = _make_writers(options, resume) if group.is_main else []
    run_evaluation = None
    if val_set is not None:
        run_evaluation = Validation(
            config, network.model, val_set, writers, options.num_workers, group, interrupts
        )
    trainer = Trainer(
        model=network.model,
        loss=build_loss(config),
        optimizer=network.optimizer,
        schedule=schedule,
        batches=_make_batches(config, train_set, sampler, options.num_workers),
        iterations=config.settings.iters,
        state=state,
        hooks=[
            StartHook(on_start),
            *_make_hooks(options, sampler.iterations_per_epoch, writers, run_evaluation, schedule, facts),
        ],
        sync=network.sync,
        parts=StepParts(
            accumulate=plan.accumulate,
            group=group,
            precision=network.precision,
            teacher=teacher,
            guard=_make_guard(config, options, network.model),
            ema=network.ema,
            ignore_index=train_set.ignore_index,
            measure_every=options.log_iters,
            interrupts=interrupts,
        ),
    )
    trainer.last_checkpoint = None if resume is None else resume.folder
    return trainer, writers


def _check_labels(
    config: Config, train_set: SegmentationDataset, val_set: SegmentationDataset | None
) -> None:
    """Wrong labels end a run here, with their likely cause, and not in the middle of an epoch."""
    skip_bad = config.settings.on_bad_sample == "skip"
    for block, dataset in (("train_dataset", train_set), ("val_dataset", val_set)):
        if dataset is not None:
            refuse_wrong_labels(dataset, block, config=config.path, skip_bad=skip_bad)


@dataclass(frozen=True)
class _Network:
    """What is trained, and what moves with it."""

    model: nn.Layer
    optimizer: paddle.optimizer.Optimizer
    precision: Precision
    sync: GradientSync
    ema: ModelEma | None


def _make_network(config: Config, options: TrainOptions, group: Group, resume: Checkpoint | None) -> _Network:
    """Builds the model with its optimiser; in all processes they begin with the same values."""
    settings = config.settings
    # What another process or a checkpoint brings need not be read, or downloaded, here as well.
    wants_weights = group.is_main and resume is None
    model = build_model(config, pretrained=wants_weights, allow_mismatch=options.allow_mismatch)
    model = synchronise_batch_norm(_with_recomputation(model, config), group)
    precision = Precision(settings.precision, settings.amp_level)
    optimizer = build_optimizer(config, model)
    sync = GradientSync(
        paddle.jit.to_static(model, full_graph=True) if settings.to_static_training else model,
        group,
        overlap="gpu" in paddle.get_device(),
    )
    ema = ModelEma(model, decay=settings.ema_decay) if settings.use_ema else None
    if resume is not None:
        restore_run(resume, model=model, optimizer=optimizer, ema=ema, precision=precision)
    return _Network(model, optimizer, precision, sync, ema)


def _make_batches(
    config: Config, train_set: SegmentationDataset, sampler: TrainBatchSampler, num_workers: int
) -> TrainLoader:
    return make_train_loader(
        train_set,
        sampler,
        num_workers=num_workers,
        on_bad_sample=config.settings.on_bad_sample,
        worker_timeout=config.settings.worker_timeout,
    )


def _make_guard(config: Config, options: TrainOptions, model: nn.Layer) -> StepGuard:
    return StepGuard(
        model,
        policy=config.settings.on_non_finite,
        folder=options.save_dir / _REPORTS,
        config_text=yaml.safe_dump(config.tree, sort_keys=False, allow_unicode=True),
    )


def _facts(
    config: Config,
    options: TrainOptions,
    plan: BatchPlan,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset | None,
) -> dict[str, Any]:
    return run_facts(
        config,
        plan=plan,
        train_set=train_set,
        val_set=val_set,
        device=paddle.get_device(),
        threads=options.threads,
        reports={name: getattr(options, name) for name in _REPORT_OPTIONS},
    )


def _plan_batch(config: Config, group: Group) -> BatchPlan:
    settings = config.settings
    plan = plan_batch(
        batch_size=settings.batch_size,
        world_size=group.size,
        accumulate=settings.accumulate,
        wanted=settings.global_batch_size,
    )
    _logger.info(f"[RUN] {plan.describe()}")
    advice = plan.advice(_learning_rate(config))
    if advice and group.is_main:
        _logger.warning(advice)
    return plan


def _learning_rate(config: Config) -> float | None:
    """The one that the config names, which a warm-up reaches later; None for a schedule with several."""
    block = schedule_block(config)
    named = block and block[0].value.get("learning_rate")
    return float(named.value) if named else None


def _with_recomputation(model: nn.Layer, config: Config) -> nn.Layer:
    """Switches the computing of activations a second time on where the config asks for it."""
    if config.settings.recompute:
        if not hasattr(model, "enable_recompute"):
            raise ConfigError(
                f"{config.source('recompute')} recompute: {type(model).__name__} has no method "
                "enable_recompute; set it to false"
            )
        model.enable_recompute()
    return model


def _make_writers(options: TrainOptions, resume: Checkpoint | None) -> list[MetricWriter]:
    folder = options.save_dir
    goes_on = resume is not None and resume.folder.resolve().parent == folder.resolve()
    place: dict[str, Any] = {}
    if resume is not None and goes_on:
        state = resume.state
        place = {"resumed_at": state.iteration, "evaluates_again": state.evaluated_at != state.iteration}
    writers: list[MetricWriter] = [JsonLinesWriter(folder / METRICS_FILE, **place)]
    if options.use_vdl:
        writers.append(VisualDLWriter(folder, **place))
    return writers


def _make_hooks(
    options: TrainOptions,
    iterations_per_epoch: int,
    writers: list[MetricWriter],
    run_evaluation: Callable[[int], Evaluation] | None,
    schedule: Schedule,
    facts: dict[str, Any],
) -> list[Hook]:
    """The order matters: a checkpoint holds the result of the evaluation before it."""
    hooks: list[Hook] = [
        SkippedSamplesHook(),
        LogHook(log_iters=options.log_iters, iterations_per_epoch=iterations_per_epoch, writers=writers),
        ProgressHook(enabled=sys.stderr.isatty()),
    ]
    if options.profiler is not None:
        hooks.append(ProfilerHook(options.profiler, save_dir=options.save_dir))
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
    if isinstance(schedule, ReduceOnPlateau):
        hooks.append(PlateauHook(schedule))
    hooks.append(
        CheckpointHook(
            save_dir=options.save_dir,
            interval=options.save_interval,
            keep=options.keep_checkpoint_max,
            facts=facts,
        )
    )
    return hooks


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)
