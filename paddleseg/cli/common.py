"""What the four programs share: running, messages and exit status, devices, common flags."""

from __future__ import annotations

import argparse
import errno
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddleseg import runtime
from paddleseg.errors import DeviceError, OutputError, PaddleSegError, UsageError
from paddleseg.log import get_logger

if TYPE_CHECKING:
    from paddle import nn

    from paddleseg.config.config import Config

__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_USAGE",
    "Parser",
    "add_common_flags",
    "add_inference_flags",
    "add_weights_flags",
    "inference_overrides",
    "load_model",
    "non_negative_int",
    "positive_int",
    "prepare_output_folder",
    "read_checked_config",
    "refuse",
    "refuse_common",
    "run_program",
    "select_device",
]

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
DEVICES = ("auto", "cpu", "gpu", "xpu", "npu", "mlu")


class Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviations: a mistyped flag is an error, not another flag."""

    def __init__(self, **options: object) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            **options,  # type: ignore[arg-type]
        )


def run_program(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None) -> int:
    """Runs a program's body and turns what it raises into a message and an exit status.

    Args:
        main: Takes the arguments, returns the exit status.
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        What ``main`` returned; 2 with one message for an error that the user can fix; 130 after Ctrl-C.
    """
    try:
        return main(list(sys.argv[1:] if argv is None else argv))
    except PaddleSegError as error:
        _say(f"error: {error}")
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        _say(f"error: cannot write {error.filename or 'a file'}: {error.strerror}")
    return EXIT_USAGE


def _say(message: str) -> None:
    logging.shutdown()
    print(message, file=sys.stderr, flush=True)


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of all four programs."""
    parser.add_argument("--config", required=True, help="YAML file")
    parser.add_argument(
        "--opts",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change config entries: model.recurrence=1 loss.coef=[1,0.4]",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU when there is one")
    parser.add_argument(
        "--threads", type=positive_int, default=None, help="CPU threads; default: the cores this process has"
    )
    parser.add_argument("--data_format", choices=("NCHW", "NHWC"), default="NCHW", help="only NCHW works")
    parser.add_argument("--use_multilabel", action="store_true", help="refused: one class a pixel here")


def add_inference_flags(parser: argparse.ArgumentParser, *, augment: str) -> None:
    """Sliding windows, scales and flips, for evaluation and prediction.

    Args:
        parser: Parser to extend.
        augment: Name of the switch: ``"aug_eval"`` or ``"aug_pred"``.
    """
    parser.add_argument(f"--{augment}", action="store_true", help="use --scales and the flips")
    parser.add_argument(
        "--scales", nargs="+", type=float, default=None, help="scales of the image, such as 0.75 1 1.25"
    )
    parser.add_argument("--flip_horizontal", action="store_true", help="average with the mirrored image")
    parser.add_argument("--flip_vertical", action="store_true", help="average with the image upside down")
    parser.add_argument("--is_slide", action="store_true", help="sliding windows instead of the whole image")
    parser.add_argument(
        "--crop_size", nargs=2, type=int, default=None, metavar=("W", "H"), help="window size"
    )
    parser.add_argument("--stride", nargs=2, type=int, default=None, metavar=("W", "H"), help="window step")


def positive_int(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def non_negative_int(text: str) -> int:
    """An argparse type: a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def refuse(asked: bool, flag: str, reason: str) -> None:
    """Stops with a reason when a flag of PaddleSeg that cannot be honoured is given.

    Args:
        asked: Whether the user gave the flag.
        flag: The flag, as typed.
        reason: Why not, and what to use instead.

    Raises:
        UsageError: ``asked`` is true.
    """
    if asked:
        raise UsageError(f"{flag}: {reason}")


def refuse_common(args: argparse.Namespace) -> None:
    """Refuses the common flags that cannot be honoured."""
    refuse(
        args.data_format == "NHWC",
        "--data_format NHWC",
        "the networks here are written for NCHW; remove the flag",
    )
    refuse(
        args.use_multilabel,
        "--use_multilabel",
        "every pixel has one class in this toolkit; remove the flag",
    )


def select_device(name: str, *, device_id: int = 0) -> str:
    """Makes a device current.

    Args:
        name: ``"auto"``, ``"cpu"``, ``"gpu"`` or another that PaddleSeg names.
        device_id: Which GPU.

    Returns:
        Paddle's name of the device.

    Raises:
        DeviceError: It is not there; the message says what to install or choose.
    """
    import paddle

    gpus = paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0
    if name in ("xpu", "npu", "mlu"):
        raise DeviceError(f"--device {name}: this toolkit runs on cpu and gpu; choose one of them")
    if name == "gpu" and gpus == 0:
        why = (
            "no GPU is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)"
            if paddle.device.is_compiled_with_cuda()
            else "the installed paddlepaddle is the CPU build (see 'GPU' in README.md)"
        )
        raise DeviceError(f"--device gpu: {why}; use --device cpu to go on without")
    if name == "cpu" or gpus == 0:
        return str(paddle.device.set_device("cpu"))
    if device_id >= gpus:
        raise DeviceError(f"--device_id {device_id}: there are {gpus} GPUs, numbered from 0")
    return str(paddle.device.set_device(f"gpu:{device_id}"))


def prepare_output_folder(path: str) -> Path:
    """Makes the output folder, and finds out now rather than hours later that it cannot be written.

    Raises:
        OutputError: It is a file, or cannot be made or written.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--save_dir {path}: this is a file; name a folder (nothing was changed)")
    probe = folder / ".write_test"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise OutputError(f"--save_dir {path}: cannot be written ({error.strerror or error})") from error
    return folder


def add_weights_flags(parser: argparse.ArgumentParser) -> None:
    """Which weights the model gets."""
    parser.add_argument(
        "--model_path", default=None, help="weights: a file, a folder with model.pdparams, or a URL"
    )
    parser.add_argument(
        "--allow_mismatch",
        action="store_true",
        help="re-initialise the classifier when its number of classes differs",
    )


def inference_overrides(args: argparse.Namespace, *, augment: str) -> list[str]:
    """Turns the flags of :func:`add_inference_flags` into overrides of ``test_config``.

    Args:
        args: Parsed flags.
        augment: ``"aug_eval"`` or ``"aug_pred"``. Flips and scales switch it on by themselves.
    """
    wanted: dict[str, object] = {}
    for flag in ("flip_horizontal", "flip_vertical", "is_slide"):
        if getattr(args, flag):
            wanted[flag] = True
    for flag in ("scales", "crop_size", "stride"):
        if getattr(args, flag) is not None:
            wanted[flag] = list(getattr(args, flag))
    if getattr(args, augment) or {"flip_horizontal", "flip_vertical", "scales"} & set(wanted):
        wanted[augment] = True
    return [f"test_config.{key}={value}" for key, value in wanted.items()]


def read_checked_config(
    args: argparse.Namespace,
    *,
    required: Sequence[str],
    parts: Sequence[str],
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Reads the config and checks all of it, and the files that it names.

    Args:
        args: Parsed flags.
        required: Top-level keys that must be in the config.
        parts: Blocks whose files must be there: ``"model"``, ``"train_dataset"`` …
        overrides: From the program's own flags; ``--opts`` come after them.
        flags: Values of ``iters``, ``batch_size`` and the like; None where not given.

    Raises:
        ConfigError: Something is wrong; the message lists all of it.
    """
    runtime.import_framework()
    from paddleseg.build import check_files, load_config

    config = load_config(args.config, [*overrides, *args.opts], flags=flags, required=required)
    if getattr(args, "model_path", None) is not None:
        for key in ("model.pretrained", "model.backbone.pretrained"):
            if config.node(key) is not None:
                config.set(key, None, "--model_path")
    check_files(config, parts)
    return config


def load_model(config: Config, args: argparse.Namespace) -> nn.Layer:
    """Builds the model and fills it from ``--model_path``; without it a warning says what is used.

    Raises:
        WeightsError: The weights do not fit.
    """
    from paddleseg.build import build_model
    from paddleseg.models.weights import load_weights

    logger = get_logger(__name__)
    model = build_model(config)
    if args.model_path is None:
        logger.warning("--model_path is not given: the weights are the config's pretrained or random ones")
    else:
        report = load_weights(model, args.model_path, strict=True, allow_mismatch=args.allow_mismatch)
        logger.info(report.summary())
    return model
