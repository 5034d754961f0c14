"""``export.py``: writes the static model for deployment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from paddleseg import log
from paddleseg.cli.common import (
    EXIT_OK,
    load_model,
    read_checked_config,
    refuse_launcher,
    run_program,
    start,
)
from paddleseg.cli.flags import (
    Parser,
    add_common_flags,
    add_weights_flags,
    non_empty,
    refuse,
    refuse_common,
)
from paddleseg.cli.output import output_folder
from paddleseg.errors import UsageError

if TYPE_CHECKING:
    from paddleseg.engine.exporter import OutputOp

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0, 2 for an error that the user can fix, 130 for Ctrl-C."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    refuse_common(args)
    refuse_launcher("export.py")
    refuse(args.for_fd, "--for_fd", "FastDeploy's format is not written; use deploy.yaml")
    output_op = _output_op(args)
    settings, device = start(args)
    config = read_checked_config(args, required=("model",), parts=("model",))
    from paddleseg.config.consistency import input_channels
    from paddleseg.config.record import write_run_record
    from paddleseg.data.transforms import resizes
    from paddleseg.engine.exporter import (
        deploy_description,
        deployed_pictures,
        deployed_transforms,
        export_model,
    )

    logger = log.get_logger(__name__)
    logger.info(f"[RUN] device: {device}; {settings.describe()}")
    model = load_model(config, args)
    channels = input_channels(config)
    _check_shape(args.input_shape, channels)
    description = deploy_description(config)
    if output_op is None:
        output_op = _default_output_op(resized=resizes(deployed_transforms(config)))
    with output_folder(args.save_dir) as save_dir:
        agreements = export_model(
            model,
            save_dir,
            output_op=output_op,
            input_shape=args.input_shape or (-1, channels, -1, -1),
            description=description,
            file_format=args.format,
            pictures=deployed_pictures(config),
        )
        write_run_record(
            config, save_dir, None, ["export.py", *argv], program="export", settings=asdict(settings)
        )
    kind = "probabilities" if output_op == "softmax" else "logits"
    for one in agreements:
        logger.info(
            f"[CHECK] {one.format}, {one.image} {one.size[0]}×{one.size[1]}: largest difference of {kind} "
            f"{one.difference:.2g} (largest {one.largest:.2g}), equal labels {one.equal_labels:.4%}"
        )
    logger.info(f"[DONE] the exported model is in {save_dir}")
    return EXIT_OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="export.py", description="Export a trained model for deployment.")
    add_common_flags(parser)
    add_weights_flags(parser)
    parser.add_argument(
        "--save_dir",
        type=non_empty,
        default="./output/inference_model",
        help="folder for the exported model",
    )
    parser.add_argument(
        "--format",
        choices=("paddle", "legacy", "onnx", "all"),
        default="paddle",
        help="paddle: model.json; legacy: model.pdmodel, as Paddle 2 reads it; onnx: model.onnx",
    )
    parser.add_argument(
        "--input_shape",
        nargs=4,
        type=int,
        default=None,
        metavar=("N", "C", "H", "W"),
        help="fixed shape; -1: any",
    )
    parser.add_argument(
        "--output_op",
        choices=("argmax", "softmax", "none"),
        default=None,
        help="what the model returns; default argmax, or none (logits) where the transforms resize",
    )
    parser.add_argument("--without_argmax", action="store_true", help="the same as --output_op none")
    parser.add_argument("--with_softmax", action="store_true", help="with --without_argmax: probabilities")
    parser.add_argument("--for_fd", action="store_true", help="refused")
    return parser.parse(argv)


def _output_op(args: argparse.Namespace) -> OutputOp | None:
    """Joins PaddleSeg's ``--output_op`` with the two flags of CCNet_paddle; None where nothing is said."""
    legacy: OutputOp | None = None
    if args.without_argmax:
        legacy = "softmax" if args.with_softmax else "none"
    elif args.with_softmax:
        legacy = "argmax"  # the largest probability is the largest logit
    if args.output_op is not None and legacy is not None and args.output_op != legacy:
        raise UsageError(
            f"--output_op {args.output_op} contradicts --without_argmax / --with_softmax, which mean "
            f"--output_op {legacy}; give one of them"
        )
    return args.output_op or legacy


def _default_output_op(*, resized: bool) -> OutputOp:
    if not resized:
        return "argmax"
    log.get_logger(__name__).info(
        "[RUN] --output_op none: the transforms resize, and only scores can be brought back to the image's "
        "size as predict.py does it; --output_op argmax exports class ids all the same"
    )
    return "none"


def _check_shape(shape: list[int] | None, channels: int) -> None:
    if shape is None:
        return
    if any(n != -1 and n < 1 for n in shape) or shape[1] != channels:
        raise UsageError(
            f"--input_shape {' '.join(map(str, shape))}: expected N {channels} H W, each at least 1 or "
            f"-1 for any; the model takes {channels} channels"
        )
