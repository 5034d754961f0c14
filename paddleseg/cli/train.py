"""``train.py``: trains a model from a config."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddleseg import distributed, log
from paddleseg.cli.common import (
    EXIT_OK,
    EXIT_SIGNAL,
    read_checked_config,
    run_program,
    start,
)
from paddleseg.cli.flags import (
    Parser,
    add_common_flags,
    add_mismatch_flag,
    non_empty,
    non_negative_int,
    positive_int,
    refuse,
    refuse_common,
)
from paddleseg.cli.output import output_folder
from paddleseg.config.schema import TRAIN_KEYS
from paddleseg.errors import UsageError
from paddleseg.files import bring_back

if TYPE_CHECKING:
    from paddleseg.config.config import Config
    from paddleseg.engine.checkpoint import TrainState
    from paddleseg.engine.group import Group
    from paddleseg.engine.training import TrainOptions

__all__ = ["main"]

_LOG_FILE = "train.log"
# What a run leaves that has not made its first step.
_PRELIMINARY = (_LOG_FILE, "metrics.jsonl", "vdlrecords.*")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        Its exit status: 0; 2 for an error that the user can fix; 130 for Ctrl-C and 143 for SIGTERM, both
        with a checkpoint once the first step is done.
    """
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    _refuse_flags(args)
    settings, device = start(args)
    from paddleseg.engine.group import Group

    with Group.start() as group:  # before the checks: a process that fails in them tells the others
        _check_resume_folder(args.resume_model)
        datasets = ("train_dataset", "val_dataset") if args.do_eval else ("train_dataset",)
        # Other processes, and a resumed run, get their weights elsewhere.
        needs_weights = group.is_main and not _can_resume(args)
        config = read_checked_config(
            args,
            required=(*TRAIN_KEYS, "val_dataset") if args.do_eval else TRAIN_KEYS,
            parts=("model", *datasets) if needs_weights else datasets,
            flags=_config_flags(args),
            group=group,
        )
        from paddleseg.engine.gpu_autotune import enable_gpu_autotune
        from paddleseg.engine.precision import check_precision

        check_precision(config.settings.precision, device)
        if config.settings.gpu_autotune:
            enable_gpu_autotune(device)
        options = _train_options(args, config.settings.seed or 0, settings.threads)
        with _run_folder(args.save_dir, is_main=group.is_main) as save_dir:
            logger, command = log.get_logger(__name__), ["train.py", *argv]
            logger.info(f"[RUN] {shlex.join(command)}")
            logger.info(f"[RUN] device: {device}, seed: {options.seed}; {settings.describe()}")

            def record(state: TrainState) -> None:
                from paddleseg.config.record import write_run_record

                if group.is_main:
                    facts = {"resumed_from": args.resume_model, "iteration": state.iteration}
                    facts |= {"processes": group.size}
                    write_run_record(
                        config, save_dir, state.seed, command, settings=asdict(settings), start=facts
                    )

            return _train(config, options, group, record)


def _train(config: Config, options: TrainOptions, group: Group, record: Callable[[TrainState], None]) -> int:
    """Trains and says how it ended. Returns the exit status."""
    from paddleseg.engine.interrupts import Interrupts
    from paddleseg.engine.training import run_training

    with Interrupts(ends_process=True) as interrupts:
        result = run_training(config, options, group=group, interrupts=interrupts, on_start=record)
        group.close()  # in here: the launcher repeats its signals
    logger, iteration = log.get_logger(__name__), result.state.iteration
    if result.signal is not None:
        logger.info(
            f"[STOP] {result.signal.name}: iteration {iteration} is saved; go on with the same command and "
            "--resume_model auto"
        )
        return EXIT_SIGNAL + result.signal
    logger.info(f"[DONE] {iteration} iterations; results in {options.save_dir}")
    return EXIT_OK


@contextlib.contextmanager
def _run_folder(path: str, *, is_main: bool) -> Iterator[Path]:
    """The folder of the run, with its log; other processes than the main one write only reports there."""
    if not is_main:
        yield Path(path)
        return
    with output_folder(path, preliminary=_PRELIMINARY) as folder:
        log.setup(file=folder / _LOG_FILE)
        yield folder


def _train_options(args: argparse.Namespace, seed: int, threads: int) -> TrainOptions:
    from paddleseg.engine.profiler_options import parse_profiler_options
    from paddleseg.engine.training import TrainOptions

    profiler: str | None = args.profiler_options
    return TrainOptions(
        save_dir=Path(args.save_dir),
        seed=seed,
        do_eval=args.do_eval,
        use_vdl=args.use_vdl,
        log_iters=args.log_iters,
        save_interval=args.save_interval,
        keep_checkpoint_max=args.keep_checkpoint_max,
        num_workers=args.num_workers,
        resume_model=args.resume_model,
        force=args.force,
        early_stop_intervals=args.early_stop_intervals,
        allow_mismatch=args.allow_mismatch,
        profiler=None if profiler is None else parse_profiler_options(profiler),
        threads=threads,
    )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="train.py", description="Train a segmentation model.")
    add_common_flags(parser)
    parser.add_argument(
        "--iters", type=positive_int, default=None, help="iterations, in place of the config's"
    )
    parser.add_argument("--batch_size", type=positive_int, default=None, help="images a step")
    parser.add_argument("--learning_rate", type=float, default=None, help="initial learning rate")
    parser.add_argument("--save_dir", type=non_empty, default="./output", help="folder for all results")
    parser.add_argument(
        "--save_interval",
        type=positive_int,
        default=1000,
        help="iterations between checkpoints, and evaluations",
    )
    parser.add_argument(
        "--keep_checkpoint_max", type=non_negative_int, default=5, help="newest checkpoints kept; 0: all"
    )
    parser.add_argument(
        "--resume_model",
        type=non_empty,
        default=None,
        metavar="ITER_N|auto",
        help="checkpoint to go on from; auto: the newest good one in save_dir, or none where there is none",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="resume although config, data, processes or packages differ from the checkpoint's",
    )
    add_mismatch_flag(parser)
    parser.add_argument("--num_workers", type=non_negative_int, default=0, help="processes that read images")
    parser.add_argument(
        "--do_eval", action="store_true", help="evaluate at every save_interval; keep the best model"
    )
    parser.add_argument("--use_vdl", action="store_true", help="write VisualDL's log into save_dir")
    parser.add_argument(
        "--log_iters", "--log_iter", type=positive_int, default=10, help="iterations between log lines"
    )
    parser.add_argument(
        "--early_stop_intervals",
        type=positive_int,
        default=None,
        help="stop after so many evaluations without gain",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="fixes weights, order and augmentation; 0 otherwise",
    )
    parser.add_argument(
        "--no_data_check", action="store_true", help="do not look at some labels before the start"
    )
    _add_step_flags(parser)
    refused = parser.add_argument_group("flags of PaddleSeg that are refused with the reason")
    refused.add_argument("--repeats", type=positive_int, default=1)
    refused.add_argument("--output_op", choices=("argmax", "softmax", "none"), default="argmax")
    refused.add_argument("--input_shape", nargs="+", type=int, default=None)
    refused.add_argument("--for_fd", action="store_true")
    return parser.parse(argv)


def _add_step_flags(parser: argparse.ArgumentParser) -> None:
    """How a step computes, and what is measured of it."""
    parser.add_argument("--to_static_training", action="store_true", help="train the compiled static graph")
    parser.add_argument(
        "--accumulate",
        type=_positive_int_or_auto,
        default=None,
        metavar="N|auto",
        help="batches added up before the weights change; auto: as many as global_batch_size takes",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16"),
        default=None,
        help="fp16 and bf16 need a GPU; in place of the config's",
    )
    parser.add_argument("--fp16", action="store_true", help="the same as --precision fp16")
    parser.add_argument(
        "--amp_level",
        choices=("O1", "O2"),
        default=None,
        help="mixed precision: sums and softmax in float32 (O1) or in 16 bits too (O2); weights stay float32",
    )
    parser.add_argument(
        "--use_ema", action="store_true", help="average the weights over time; evaluate and keep the average"
    )
    parser.add_argument(
        "--profiler_options",
        default=None,
        metavar="TEXT",
        help="such as 'batch_range=[10,20];sorted_key=total': profile these iterations",
    )


def _positive_int_or_auto(text: str) -> int | str:
    return text if text == "auto" else positive_int(text)


def _refuse_flags(args: argparse.Namespace) -> None:
    refuse_common(args)
    if args.fp16 and args.precision not in (None, "fp16"):
        raise UsageError(f"--fp16 and --precision {args.precision} contradict each other; give one of them")
    refuse(
        args.repeats != 1,
        "--repeats",
        "epochs follow each other without a pause, so repeating the list changes nothing; remove the flag",
    )
    exporting = "training does not export here; run export.py on the trained model"
    refuse(args.output_op != "argmax", "--output_op", exporting)
    refuse(args.input_shape is not None, "--input_shape", exporting)
    refuse(args.for_fd, "--for_fd", "FastDeploy's format is not written; run export.py and use deploy.yaml")


def _config_flags(args: argparse.Namespace) -> dict[str, Any]:
    flags = {name: getattr(args, name) for name in ("iters", "batch_size", "learning_rate", "seed")}
    flags |= {name: getattr(args, name) for name in ("accumulate", "precision", "amp_level")}
    flags |= {name: getattr(args, name) or None for name in ("to_static_training", "use_ema")}
    if args.no_data_check:
        flags["check_data"] = False
    if args.fp16:
        flags["precision"] = "fp16"
    return flags


def _can_resume(args: argparse.Namespace) -> bool:
    """Whether there is something to go on from, as far as names tell."""
    if args.resume_model != "auto":
        return args.resume_model is not None
    return any(Path(args.save_dir).glob("iter_*"))


def _check_resume_folder(path: str | None) -> None:
    """Looks for the folder now: what is in it is read when the model has been built."""
    # Other processes get it from the main one, and may be on a machine that does not have it.
    if path in (None, "auto") or not distributed.is_main():
        return
    bring_back(Path(path))
    if not Path(path).is_dir():
        raise UsageError(
            f"--resume_model {path}: no such folder; expected one named iter_N, written by train.py, or auto"
        )
