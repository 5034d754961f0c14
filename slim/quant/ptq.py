"""Quantises an exported model after training: ``python slim/quant/ptq.py --help``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

# Run from a checkout, the packages lie two folders up.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.python.description import DeployDescription, read_description
from paddleseg import log, runtime
from paddleseg.cli.common import EXIT_OK, run_program
from paddleseg.cli.flags import Parser, non_empty, positive_int, refuse
from paddleseg.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from paddleseg.data.transforms import Sample
    from slim.quant.comparison import Comparison
    from slim.quant.quantise import Quantised

__all__ = ["main"]

_COUNT = 64
_COMPARED = 8
_ENOUGH = 0.95
_logger = log.get_logger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns 0, or 2 for an error that the user can fix."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    count = _count(args)
    settings = runtime.configure(threads=args.cpu_threads)
    log.setup()
    description = _read(Path(args.config))
    from slim.quant.calibration import CalibrationPictures, find_pictures, spread
    from slim.quant.comparison import unlabelled_pictures
    from slim.quant.quantise import input_name_of, quantise, save_beside

    labelled = _labelled(description, args)
    used, others = spread(find_pictures(args.calibration), count)
    pictures = CalibrationPictures(description, used, input_name=input_name_of(description))
    model = quantise(description, pictures, method=args.method, reduce_range=args.reduce_range)
    _logger.info(
        f"calibrated on {len(used)} pictures ({args.method}); {len(model.parts.quantised)} nodes in 8 bits; "
        f"in float: attention, {', '.join(model.parts.in_float) or 'no convolution'}"
    )
    unlabelled = unlabelled_pictures((others or used)[:_COMPARED], channels=description.input_shape[1])
    comparison = _compare(
        description,
        model,
        unlabelled if labelled is None else labelled,
        ignore_index=args.ignore_index,
        threads=settings.threads,
    )
    _report(comparison, settings.threads, again=labelled is None and not others)
    target = save_beside(description, model)
    _logger.info(f"[DONE] {target}; run it with deploy/python/infer.py --precision int8")
    return EXIT_OK


def _parser() -> Parser:
    parser = Parser(prog="ptq.py", description="Quantise an exported model to eight bits.")
    parser.add_argument(
        "--config",
        type=non_empty,
        required=True,
        help="deploy.yaml of export.py --format onnx or all",
    )
    parser.add_argument(
        "--calibration",
        type=non_empty,
        required=True,
        help="typical images, of training: a folder, a .txt list or a glob",
    )
    parser.add_argument("--count", type=positive_int, default=None, help=f"images to use at most ({_COUNT})")
    parser.add_argument(
        "--method",
        choices=("minmax", "entropy", "percentile"),
        default="minmax",
        help="how ranges of activations are found",
    )
    parser.add_argument(
        "--reduce_range",
        action="store_true",
        help="7-bit weights, for processors without eight-bit dot products (VNNI), where others overflow",
    )
    parser.add_argument(
        "--val_list", type=non_empty, default=None, help="list of 'image label' lines: mIoU before and after"
    )
    parser.add_argument("--ignore_index", type=int, default=255, help="label value without a class")
    parser.add_argument(
        "--cpu_threads", type=positive_int, default=None, help="default: the cores this process has"
    )
    peers = parser.add_argument_group("flags of PaddleSeg")
    peers.add_argument(
        "--batch_nums", type=positive_int, default=None, help="the same as --count, in batches"
    )
    peers.add_argument("--batch_size", type=positive_int, default=1, help="images in a batch of --batch_nums")
    peers.add_argument("--model_dir", default=None, help=argparse.SUPPRESS)
    peers.add_argument("--opts", nargs="+", default=None, help=argparse.SUPPRESS)
    return parser


def _count(args: argparse.Namespace) -> int:
    """Refuses what does not fit, and counts the images."""
    refuse(
        args.model_dir is not None,
        "--model_dir",
        f"the folder is known from deploy.yaml: --config {args.model_dir}/deploy.yaml",
    )
    refuse(args.opts is not None, "--opts", "no training config is read here; set what you need in export.py")
    refuse(
        args.count is not None and args.batch_nums is not None,
        "--batch_nums",
        "it says the same as --count; give one of them",
    )
    batches = args.batch_nums * args.batch_size if args.batch_nums is not None else _COUNT
    return int(args.count or batches)


def _read(path: Path) -> DeployDescription:
    description = read_description(path)
    if description.onnx is None:
        raise ConfigError(
            f"{path}: holds no ONNX model to quantise; export it with --format onnx, or --format all"
        )
    # The last is what ONNX Runtime's quantisation imports without demanding it.
    needed = ("onnx", "onnxruntime", "ml_dtypes")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"quantisation needs {' and '.join(missing)}: pip install 'paddleseg-ccnet[slim]', or "
            f"pip install {' '.join(missing)}"
        )
    return description


def _labelled(description: DeployDescription, args: argparse.Namespace) -> Iterable[Sample] | None:
    """The pictures of --val_list, None where it is not given."""
    from slim.quant.comparison import labelled_pictures

    if args.val_list is None:
        return None
    return labelled_pictures(
        args.val_list,
        num_classes=description.num_classes,
        channels=description.input_shape[1],
        ignore_index=args.ignore_index,
    )


def _compare(
    description: DeployDescription,
    model: Quantised,
    pictures: Iterable[Sample],
    *,
    ignore_index: int,
    threads: int,
) -> Comparison:
    """Compares before anything is written."""
    import tempfile

    from deploy.python.engines import make_engine
    from deploy.python.exported_model import ExportedModel
    from slim.quant.comparison import compare

    with tempfile.TemporaryDirectory(prefix="ptq-") as folder:
        file = Path(folder, "model_int8.onnx")
        file.write_bytes(model.data)
        both = []
        for one, precision in ((description, "fp32"), (replace(description, int8=file), "int8")):
            engine = make_engine(
                one, engine="onnxruntime", device="cpu", threads=threads, precision=precision
            )
            both.append(ExportedModel(one, engine))
        return compare(
            (both[0], both[1]),
            pictures,
            num_classes=description.num_classes or 1,
            ignore_index=ignore_index,
        )


def _report(comparison: Comparison, threads: int, *, again: bool) -> None:
    """Logs the figures; ``again`` says that the pictures were those of the calibration."""
    which = "of the calibration pictures (there are no others)" if again else "pictures"
    _logger.info(
        f"int8 against fp32 on {comparison.pictures} {which}: equal labels {comparison.equal_labels:.2%}, "
        f"{comparison.speed:.2f} times the speed (ONNX Runtime, {threads} threads)"
    )
    if comparison.miou is not None:
        before, after = comparison.miou
        _logger.info(f"mIoU {before:.4f} in fp32, {after:.4f} in int8")
    if comparison.equal_labels < _ENOUGH:
        _logger.warning(
            f"only {comparison.equal_labels:.2%} equal labels: calibrate on more pictures (--count) that are "
            "like those of later use, or try --method percentile or entropy"
        )


if __name__ == "__main__":
    sys.exit(main())
