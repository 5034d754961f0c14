"""Flags that several programs share, and the parser that reads them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from paddleseg.errors import UsageError, did_you_mean

__all__ = [
    "Parser",
    "add_common_flags",
    "add_inference_flags",
    "add_mismatch_flag",
    "add_weights_flags",
    "inference_settings",
    "non_empty",
    "non_negative_int",
    "positive_int",
    "refuse",
    "refuse_common",
]

DEVICES = ("auto", "cpu", "gpu", "xpu", "npu", "mlu")


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations, whose complaints are the project's own errors."""

    def __init__(self, **options: object) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            **options,  # type: ignore[arg-type]
        )

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Reads the flags.

        Raises:
            UsageError: One is unknown (with the nearest that exists), is missing or has a wrong value.
        """
        args, unknown = self.parse_known_args(argv)
        if unknown:
            flag = unknown[0].partition("=")[0]
            near = did_you_mean(flag, self._option_string_actions) if flag.startswith("-") else ""
            self.error(f"unknown argument '{unknown[0]}'{near}")
        return args

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} (all flags: {self.prog} --help)")


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of all four programs."""
    parser.add_argument("--config", type=non_empty, required=True, help="YAML file")
    parser.add_argument(
        "--opts",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change config entries: model.recurrence=1 loss.coef=[1,0.4]",
    )
    parser.add_argument(
        "--classes",
        type=non_empty,
        default=None,
        metavar="NAMES.TXT",
        help="file with the name of one class a line, in the order of ids; also gives num_classes",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU when there is one")
    parser.add_argument(
        "--threads", type=positive_int, default=None, help="CPU threads; default: the cores this process has"
    )
    parser.add_argument("--data_format", choices=("NCHW", "NHWC"), default="NCHW", help="only NCHW works")
    parser.add_argument("--use_multilabel", action="store_true", help="refused: a pixel has one class here")


def add_weights_flags(parser: argparse.ArgumentParser) -> None:
    """Which weights the model gets."""
    parser.add_argument(
        "--model_path",
        type=non_empty,
        default=None,
        help="weights: a file, a folder with model.pdparams, or a URL",
    )
    add_mismatch_flag(parser)


def add_mismatch_flag(parser: argparse.ArgumentParser) -> None:
    """What becomes of weights for another number of classes."""
    parser.add_argument(
        "--allow_mismatch",
        action="store_true",
        help="re-initialise the classifier when its number of classes differs",
    )


def add_inference_flags(parser: argparse.ArgumentParser, *, augment: str) -> None:
    """Sliding windows, scales and flips, for evaluation and prediction.

    Args:
        parser: Parser to extend.
        augment: Name of the switch: ``"aug_eval"`` or ``"aug_pred"``.
    """
    switch, slide = f"(switches --{augment} on)", "(switches --is_slide on)"
    parser.add_argument(f"--{augment}", action="store_true", help="average over scales and flips")
    parser.add_argument(
        "--scales",
        nargs="+",
        type=float,
        default=None,
        help=f"such as 0.75 1 1.25 {switch}",
    )
    parser.add_argument(
        "--flip_horizontal",
        action="store_true",
        help=f"also mirrored {switch}",
    )
    parser.add_argument(
        "--flip_vertical",
        action="store_true",
        help=f"also upside down {switch}",
    )
    parser.add_argument("--is_slide", action="store_true", help="sliding windows instead of the whole image")
    parser.add_argument(
        "--crop_size",
        nargs=2,
        type=int,
        default=None,
        metavar=("W", "H"),
        help=f"window size {slide}",
    )
    parser.add_argument(
        "--stride",
        nargs=2,
        type=int,
        default=None,
        metavar=("W", "H"),
        help=f"window step {slide}",
    )


def inference_settings(args: argparse.Namespace, *, augment: str) -> dict[str, object]:
    """Turns the flags of :func:`add_inference_flags` into entries of ``test_config``.

    Unlike PaddleSeg, which passes over scales and flips without the switch, and window sizes without
    ``--is_slide``, giving them switches on what they are for.

    Args:
        args: Parsed flags.
        augment: ``"aug_eval"`` or ``"aug_pred"``.

    Returns:
        Dotted paths and values; only what was asked for.
    """
    wanted: dict[str, object] = {}
    for flag in (augment, "flip_horizontal", "flip_vertical", "is_slide"):
        if getattr(args, flag):
            wanted[flag] = True
    for flag in ("scales", "crop_size", "stride"):
        if getattr(args, flag) is not None:
            wanted[flag] = getattr(args, flag)
    if {"flip_horizontal", "flip_vertical", "scales"} & set(wanted):
        wanted[augment] = True
    if {"crop_size", "stride"} & set(wanted):
        wanted["is_slide"] = True
    return {f"test_config.{key}": value for key, value in wanted.items()}


def non_empty(text: str) -> str:
    """An argparse type: a name; an empty one is mostly a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the value is empty; is a shell variable unset?")
    return text


def positive_int(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    value = _int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {text}; expected at least 1")
    return value


def non_negative_int(text: str) -> int:
    """An argparse type: a whole number of at least 0."""
    value = _int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"got {text}; expected at least 0")
    return value


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got '{text}'; expected a whole number") from None


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
        "networks and losses here take channels first (N×C×H×W) only; remove the flag",
    )
    refuse(
        args.use_multilabel,
        "--use_multilabel",
        "every pixel has one class in this toolkit; remove the flag",
    )
