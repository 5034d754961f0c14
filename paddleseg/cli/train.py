"""``train.py``: trains a model from a config."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddleseg import log, runtime
from paddleseg.cli.common import (
    EXIT_OK,
    read_checked_config,
    refuse_launcher,
    run_program,
    select_device,
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
from paddleseg.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from paddleseg.engine.checkpoint import TrainState
    from paddleseg.engine.training import TrainOptions

__all__ = ["main"]

_LOG_FILE = "train.log"
# What a run leaves that has not made its first step.
_PRELIMINARY = (_LOG_FILE, "metrics.jsonl", "vdlrecords.*")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0, 2 for an error that the user can fix, 130 for Ctrl-C."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    _refuse_flags(args)
    _check_resume_folder(args.resume_model)
    settings = runtime.configure(threads=args.threads)
    log.setup()
    config = read_checked_config(
        args,
        required=(*TRAIN_KEYS, "val_dataset") if args.do_eval else TRAIN_KEYS,
        parts=("model", "train_dataset", *(("val_dataset",) if args.do_eval else ())),
        flags=_config_flags(args),
    )
    device = select_device(args.device)
    options = _train_options(args, config.settings.seed or 0)
    command = ["train.py", *argv]
    with output_folder(args.save_dir, preliminary=_PRELIMINARY) as save_dir:
        log.setup(file=save_dir / _LOG_FILE)
        from paddleseg.config.record import write_run_record
        from paddleseg.engine.training import run_training

        logger = log.get_logger(__name__)
        logger.info(f"[RUN] {shlex.join(command)}")
        logger.info(f"[RUN] device: {device}, seed: {options.seed}; {settings.describe()}")

        def record(state: TrainState) -> None:
            start = {"resumed_from": args.resume_model, "iteration": state.iteration}
            write_run_record(config, save_dir, state.seed, command, settings=asdict(settings), start=start)

        state = run_training(config, options, on_start=record)
        logger.info(f"[DONE] {state.iteration} iterations; results in {save_dir}")
    return EXIT_OK


def _train_options(args: argparse.Namespace, seed: int) -> TrainOptions:
    from paddleseg.engine.training import TrainOptions

    return TrainOptions(
        save_dir=Path(args.save_dir),
        seed=seed,
        do_eval=args.do_eval,
        use_vdl=args.use_vdl,
        log_iters=args.log_iters,
        save_interval=args.save_interval,
        keep_checkpoint_max=args.keep_checkpoint_max,
        num_workers=args.num_workers,
        resume_model=None if args.resume_model is None else Path(args.resume_model),
        early_stop_intervals=args.early_stop_intervals,
        allow_mismatch=args.allow_mismatch,
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
        metavar="ITER_N",
        help="checkpoint to go on from",
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
        "--precision", choices=("fp32", "fp16", "bf16"), default="fp32", help="only fp32 works"
    )
    parser.add_argument("--to_static_training", action="store_true", help="train the compiled static graph")
    refused = parser.add_argument_group("flags of PaddleSeg that are refused with the reason")
    refused.add_argument("--fp16", action="store_true")
    refused.add_argument("--amp_level", choices=("O1", "O2"), default="O1")
    refused.add_argument("--use_ema", action="store_true")
    refused.add_argument("--profiler_options", default=None)
    refused.add_argument("--repeats", type=positive_int, default=1)
    refused.add_argument("--output_op", choices=("argmax", "softmax", "none"), default="argmax")
    refused.add_argument("--input_shape", nargs="+", type=int, default=None)
    refused.add_argument("--for_fd", action="store_true")
    return parser.parse(argv)


def _refuse_flags(args: argparse.Namespace) -> None:
    refuse_common(args)
    mixed = "mixed precision is not available in this version (Paddle has none on CPU); use --precision fp32"
    if args.precision != "fp32":
        raise DeviceError(f"--precision {args.precision}: {mixed}")
    refuse(args.fp16, "--fp16", mixed)
    refuse(args.amp_level != "O1", "--amp_level", mixed)
    refuse(args.use_ema, "--use_ema", "averaged weights are not available in this version; remove the flag")
    refuse(
        args.profiler_options is not None,
        "--profiler_options",
        "not available; batch_cost and reader_cost in the log tell computing from reading",
    )
    refuse(
        args.repeats != 1,
        "--repeats",
        "epochs follow each other without a pause, so repeating the list changes nothing; remove the flag",
    )
    exporting = "training does not export here; run export.py on the trained model"
    refuse(args.output_op != "argmax", "--output_op", exporting)
    refuse(args.input_shape is not None, "--input_shape", exporting)
    refuse(args.for_fd, "--for_fd", "FastDeploy's format is not written; run export.py and use deploy.yaml")
    refuse_launcher("train.py")


def _config_flags(args: argparse.Namespace) -> dict[str, Any]:
    flags = {name: getattr(args, name) for name in ("iters", "batch_size", "learning_rate", "seed")}
    flags["to_static_training"] = args.to_static_training or None
    return flags


def _check_resume_folder(path: str | None) -> None:
    """Looks for the folder now: what is in it is read when the model has been built."""
    if path is not None and not Path(path).is_dir():
        raise UsageError(
            f"--resume_model {path}: no such folder; expected one named iter_N, written by train.py"
        )
