"""``val.py``: evaluates a model on the config's validation set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from paddleseg import log, runtime
from paddleseg.cli.common import (
    Parser,
    add_common_flags,
    add_inference_flags,
    add_weights_flags,
    inference_overrides,
    load_model,
    non_negative_int,
    prepare_output_folder,
    read_checked_config,
    refuse_common,
    run_program,
    select_device,
)
from paddleseg.config.schema import VAL_KEYS

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0, 2 for an error that the user can fix, 130 for Ctrl-C."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    refuse_common(args)
    settings = runtime.configure(threads=args.threads)
    log.setup()
    config = read_checked_config(
        args,
        required=VAL_KEYS,
        parts=("model", "val_dataset"),
        overrides=inference_overrides(args, augment="aug_eval"),
    )
    device = select_device(args.device)
    save_dir = None if args.save_dir is None else prepare_output_folder(args.save_dir)
    from paddleseg.build import build_dataset
    from paddleseg.engine.evaluator import evaluate
    from paddleseg.engine.options import inference_options
    from paddleseg.engine.results import WorstImages, write_results

    logger = log.get_logger(__name__)
    logger.info(f"[RUN] device: {device}; {settings.describe()}")
    dataset = build_dataset(config, "val")
    model = load_model(config, args)
    test_config = config.settings.test_config
    worst = WorstImages()
    evaluation = evaluate(
        model,
        dataset,
        options=inference_options(test_config, augment_key="aug_eval"),
        num_workers=args.num_workers,
        with_boundary=True,
        with_auc=args.auc_roc or test_config.auc_roc,
        progress=sys.stderr.isatty(),
        on_image=worst,
    )
    report = evaluation.report
    logger.info(report.eval_line(len(evaluation.images)))
    for line in report.class_lines():
        logger.info(line)
    logger.info(f"[EVAL] By class:\n{report.table()}")
    if save_dir is not None:
        from paddleseg.config.record import write_run_record

        write_run_record(config, save_dir, None, ["val.py", *argv], settings=asdict(settings))
        write_results(save_dir, evaluation, worst, dataset)
        logger.info(f"[DONE] results in {save_dir}")
    return 0


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
        "--save_dir", default=None, help="folder for metrics.json, the confusion matrix and the worst images"
    )
    return parser.parse_args(argv)


def _boolean(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")
    return known[text.lower()]
