"""``val.py``: evaluates a model on the config's validation set."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from paddleseg import log
from paddleseg.cli.common import (
    EXIT_OK,
    load_model,
    read_checked_config,
    run_program,
    start,
)
from paddleseg.cli.flags import (
    Parser,
    add_common_flags,
    add_inference_flags,
    add_weights_flags,
    inference_settings,
    non_empty,
    non_negative_int,
    refuse_common,
)
from paddleseg.cli.output import output_folder
from paddleseg.config.schema import VAL_KEYS

if TYPE_CHECKING:
    from paddleseg.config.config import Config
    from paddleseg.data.datasets.base import SegmentationDataset
    from paddleseg.engine.evaluator import Evaluation
    from paddleseg.engine.group import Group
    from paddleseg.engine.results import WorstImages

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0, 2 for an error that the user can fix, 130 for Ctrl-C."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    refuse_common(args)
    settings, device = start(args)
    from paddleseg.config.record import write_run_record
    from paddleseg.engine.group import Group
    from paddleseg.engine.results import WorstImages, write_results

    with contextlib.ExitStack() as stack:
        group = stack.enter_context(Group.start())
        config = read_checked_config(
            args,
            required=VAL_KEYS,
            parts=("model", "val_dataset"),
            flags=inference_settings(args, augment="aug_eval"),
            group=group,
        )
        logger = log.get_logger(__name__)
        logger.info(f"[RUN] device: {device}; {settings.describe()}")
        writes = args.save_dir is not None and group.is_main
        save_dir = stack.enter_context(output_folder(args.save_dir)) if writes else None
        worst = None if args.save_dir is None else WorstImages()
        evaluation, dataset = _evaluate(config, args, group, worst)
        if save_dir is not None and worst is not None:
            command = ["val.py", *argv]
            write_run_record(config, save_dir, None, command, program="val", settings=asdict(settings))
            write_results(save_dir, evaluation, worst, dataset)
            logger.info(f"[DONE] results in {save_dir}")
    return EXIT_OK


def _evaluate(
    config: Config, args: argparse.Namespace, group: Group, worst: WorstImages | None
) -> tuple[Evaluation, SegmentationDataset]:
    """Evaluates and logs the figures. Returns them, and the data set that they belong to."""
    from paddleseg.build import build_dataset
    from paddleseg.engine.evaluator import evaluate
    from paddleseg.engine.options import inference_options

    dataset = build_dataset(config, "val")
    test_config = config.settings.test_config
    evaluation = evaluate(
        load_model(config, args),
        dataset,
        options=inference_options(test_config, augment_key="aug_eval"),
        num_workers=args.num_workers,
        with_boundary=True,
        with_auc=args.auc_roc or test_config.auc_roc,
        progress=sys.stderr.isatty(),
        on_image=worst,
        group=group,
        worker_timeout=config.settings.worker_timeout,
    )
    if worst is not None:
        worst.join(group)
    logger = log.get_logger(__name__)
    logger.info(evaluation.report.eval_line(len(evaluation.images)))
    for line in evaluation.report.class_lines():
        logger.info(line)
    logger.info(f"[EVAL] By class:\n{evaluation.report.table()}")
    return evaluation, dataset


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="val.py", description="Evaluate a segmentation model.")
    add_common_flags(parser)
    add_weights_flags(parser)
    add_inference_flags(parser, augment="aug_eval")
    parser.add_argument("--num_workers", type=non_negative_int, default=0, help="processes that read images")
    parser.add_argument(
        "--auc_roc",
        nargs="?",
        const=True,
        default=False,
        type=_boolean,
        help="also the area under the ROC curve",
    )
    parser.add_argument(
        "--save_dir",
        type=non_empty,
        default=None,
        help="folder for metrics.json, the confusion matrix and the worst images",
    )
    return parser.parse(argv)


def _boolean(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")
    return known[text.lower()]
