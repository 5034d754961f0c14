"""The flags of ``infer.py``: those of CCNet_paddle's and PaddleSeg's, and more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploy.python.engines import ENGINES, PRECISIONS, PaddleOptions
from paddleseg.cli.flags import (
    DEVICES,
    Parser,
    add_inference_flags,
    inference_settings,
    non_empty,
    positive_int,
    refuse,
)
from paddleseg.config.schema import TestConfig
from paddleseg.engine.options import inference_options
from paddleseg.inference import InferenceOptions

__all__ = ["inference_of", "paddle_of", "parse"]

# What only Paddle's engine can do, and the values that ask for nothing: PaddleSeg's scripts always give them.
_PADDLE_ONLY = {
    "enable_mkldnn": (None, False),
    "print_detail": (False,),
    "min_subgraph_size": (3,),
    "auto_tuned_shape_file": ("auto_tune_tmp.pbtxt",),
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the flags; of one that is given twice, as TIPC gives ``--save_dir``, the last value counts.

    Raises:
        UsageError: One is unknown, has a wrong value, or cannot be honoured.
    """
    parser = Parser(prog="infer.py", description="Predict images or video with an exported model.")
    parser.add_argument("--config", type=non_empty, required=True, help="deploy.yaml written by export.py")
    _add_input_and_output(parser)
    _add_engine(parser)
    _add_paddle(parser)
    add_inference_flags(parser, augment="aug_pred")
    parser.add_argument(
        "--benchmark", type=_true_or_false, default=False, help="after a warm-up, time each part of the work"
    )
    parser.add_argument("--model_name", default="", help="name in the output of --benchmark")
    args = parser.parse(argv)
    _refuse(args)
    return args


def inference_of(args: argparse.Namespace) -> InferenceOptions:
    """Sliding window, scales and flips.

    Raises:
        UsageError: A value is out of range.
    """
    settings = inference_settings(args, augment="aug_pred")
    values = {key.removeprefix("test_config."): value for key, value in settings.items()}
    return inference_options(TestConfig(**values), augment_key="aug_pred")  # type: ignore[arg-type]


def paddle_of(args: argparse.Namespace) -> PaddleOptions:
    """What only Paddle Inference has."""
    windows = inference_of(args)
    return PaddleOptions(
        enable_mkldnn=args.enable_mkldnn is not False,
        use_trt=args.use_trt,
        min_subgraph_size=args.min_subgraph_size,
        enable_auto_tune=args.enable_auto_tune,
        auto_tuned_shape_file=Path(args.auto_tuned_shape_file),
        print_detail=args.print_detail,
        batch_size=args.batch_size * (windows.window_batch if windows.is_slide else 1),
    )


def _add_input_and_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image_path",
        type=non_empty,
        required=True,
        help="an image, a folder, a list (.txt, .list), a glob, a video file, the URL of a stream or the "
        "number of a camera",
    )
    parser.add_argument("--save_dir", type=non_empty, default="./output", help="folder for the pictures")
    parser.add_argument(
        "--batch_size", type=positive_int, default=1, help="images of one size that go through together"
    )
    parser.add_argument(
        "--custom_color", nargs="+", type=int, default=None, help="red green blue of class 0, of class 1, …"
    )
    parser.add_argument(
        "--with_argmax", action="store_true", help="nothing to do: results are class ids in any case"
    )
    parser.add_argument(
        "--video_out",
        type=non_empty,
        default=None,
        help="the film with the classes laid over (.mp4, .avi, .mkv, .y4m), or - for YUV4MPEG2 on the "
        "standard output; default: <save_dir>/<name>.mp4",
    )
    parser.add_argument(
        "--label_frames",
        type=_true_or_false,
        default=False,
        help="class ids of each frame of a video as PNG, too",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="auto: the fastest of those installed, in a short trial that is remembered beside deploy.yaml",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="int8: see slim/quant/ptq.py")
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto: a GPU where the engine sees one"
    )
    parser.add_argument(
        "--cpu_threads", type=positive_int, default=None, help="default: the cores this process has"
    )


def _add_paddle(parser: argparse.ArgumentParser) -> None:
    only = "Paddle's engine only: "
    parser.add_argument(
        "--enable_mkldnn",
        type=_true_or_false,
        default=None,
        help=f"{only}oneDNN on CPU, which is faster and the default",
    )
    parser.add_argument("--use_trt", type=_true_or_false, default=False, help=f"{only}TensorRT on GPU")
    parser.add_argument(
        "--min_subgraph_size", type=positive_int, default=3, help=f"{only}least operations for TensorRT"
    )
    parser.add_argument(
        "--enable_auto_tune",
        type=_true_or_false,
        default=False,
        help=f"{only}collect the sizes for TensorRT from the first images",
    )
    parser.add_argument(
        "--auto_tuned_shape_file",
        type=non_empty,
        default="auto_tune_tmp.pbtxt",
        help=f"{only}where these sizes go",
    )
    parser.add_argument(
        "--print_detail", type=_true_or_false, default=False, help=f"{only}show Paddle's own messages"
    )


def _refuse(args: argparse.Namespace) -> None:
    refuse(
        args.device in ("xpu", "npu", "mlu"),
        f"--device {args.device}",
        "exported models run on cpu and gpu here; choose one of them",
    )
    refuse(
        args.enable_auto_tune and not args.use_trt,
        "--enable_auto_tune True",
        "the sizes are for TensorRT; add --use_trt True, on a GPU, or leave it out",
    )
    for name, nothing in _PADDLE_ONLY.items():
        value = getattr(args, name)
        refuse(
            args.engine not in ("auto", "paddle") and value not in nothing,
            f"--{name} {value}",
            f"--engine {args.engine} has no such option; use --engine paddle, or leave it out",
        )


def _true_or_false(text: str) -> bool:
    """An argparse type for switches that take a value, as PaddleSeg's programs have them."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"got '{text}'; expected True or False")
    return known[text.lower()]
