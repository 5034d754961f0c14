"""What the four programs share: running, messages and exit status, devices, config and weights."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from paddleseg import distributed, log, runtime
from paddleseg.errors import DeviceError, PaddleSegError, UsageError
from paddleseg.log import get_logger

if TYPE_CHECKING:
    from paddle import nn

    from paddleseg.config.config import Config
    from paddleseg.engine.group import Group

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "EXIT_PIPE_CLOSED",
    "EXIT_SIGNAL",
    "EXIT_USAGE",
    "load_model",
    "read_checked_config",
    "refuse_launcher",
    "run_program",
    "select_device",
    "start",
]

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED = 0, 1, 2, 130, 141
EXIT_SIGNAL = 128  # plus the signal's number, as shells and schedulers have it
# What a user can put right; any other error of the system may be a bug and keeps its traceback.
_USERS_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.EIO,
}
# How Paddle, CUDA and the system say it, besides MemoryError.
_MEMORY_ERRORS = (RuntimeError, OSError, SystemError)
_MEMORY_WORDS = ("resourceexhausted", "out of memory", "cannot allocate memory")


def run_program(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None) -> int:
    """Runs a program's body and turns what it raises into a message and an exit status.

    Args:
        main: Takes the arguments, returns the exit status.
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        What ``main`` returned; 2 with one message for an error that the user can fix; 130 after Ctrl-C; 141
        when the reader of the output is gone (``| head``).
    """
    try:
        return main(list(sys.argv[1:] if argv is None else argv))
    except PaddleSegError as error:
        _say(f"error: {error}")
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would complain at exit about the output that it cannot flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except Exception as error:
        _say(f"error: {_reason(error)}")
    return EXIT_USAGE


def _reason(error: Exception) -> str:
    """What to tell the user. Raises the error again where it may be a bug."""
    words = str(error).lower() if isinstance(error, _MEMORY_ERRORS) else ""
    if isinstance(error, MemoryError) or any(word in words for word in _MEMORY_WORDS):
        return (
            "out of memory: lower batch_size, the transforms' crop_size or target_size, --num_workers, or "
            "with sliding windows test_config.crop_size"
        )
    if isinstance(error, OSError) and error.errno in _USERS_ERRNOS:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    raise error


def _say(message: str) -> None:
    logging.shutdown()
    origin = f"[rank {distributed.rank()}] " if _is_one_of_several() else ""
    print(f"{origin}{message}", file=sys.stderr, flush=True)


def _is_one_of_several() -> bool:
    try:
        return distributed.rank() >= 0 and distributed.world_size() > 1
    except UsageError:  # the launcher's variables are what the message is about
        return False


def refuse_launcher(program: str) -> None:
    """Stops where ``paddle.distributed.launch`` started several processes, which would all do the same.

    Args:
        program: Name of the script.

    Raises:
        UsageError: There is more than one process.
    """
    count = distributed.world_size()
    if count > 1:
        raise UsageError(
            f"started as one of {count} processes: {program} works in one; "
            "start it without paddle.distributed.launch"
        )


def start(args: argparse.Namespace) -> tuple[runtime.RuntimeSettings, str]:
    """Sets the process up: threads, log, framework, device.

    Args:
        args: Parsed flags.

    Returns:
        The settings made, and Paddle's name of the device.

    Raises:
        DeviceError: The device is not there.
        UsageError: Paddle is not installed, or the launcher's variables hold no valid place.
    """
    settings = runtime.configure(
        threads=args.threads,
        processes=distributed.local_world_size(),
        launched=distributed.is_launched(),
    )
    log.setup(rank=distributed.rank())
    runtime.import_framework()
    import cv2
    import paddle

    cv2.setNumThreads(settings.threads)  # reading in this process; data workers take one thread each
    paddle.disable_signal_handler()  # it prints a C++ stack on SIGTERM, too
    device = select_device(args.device, device_id=getattr(args, "device_id", None))
    return settings, device


def select_device(name: str, *, device_id: int | None = None) -> str:
    """Makes a device current.

    Args:
        name: ``"auto"``, ``"cpu"``, ``"gpu"`` or another that PaddleSeg names.
        device_id: Which GPU; None for the one that the launcher gave this process, or the first.

    Returns:
        Paddle's name of the device: ``"cpu"``, ``"gpu:0"`` …

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
    if name != "cpu" and device_id is not None and device_id >= max(gpus, 1):
        raise DeviceError(f"--device_id {device_id}: there are {gpus} GPUs, numbered from 0")
    if name == "cpu" or gpus == 0:
        paddle.device.set_device("cpu")
    else:
        paddle.device.set_device("gpu" if device_id is None else f"gpu:{device_id}")
    return str(paddle.device.get_device())


def read_checked_config(
    args: argparse.Namespace,
    *,
    required: Sequence[str],
    parts: Sequence[str],
    flags: Mapping[str, Any] | None = None,
    group: Group | None = None,
) -> Config:
    """Reads the config and checks all of it, and the files that it names.

    Args:
        args: Parsed flags.
        required: Top-level keys that must be in the config.
        parts: Blocks whose files must be there: ``"model"``, ``"train_dataset"`` …
        flags: Values of ``iters``, ``test_config.scales`` and the like; None where not given. ``--opts`` come
            after them.
        group: The processes of the run, of which one looks for a number of classes that is not given.

    Raises:
        ConfigError: Something is wrong; the message lists all of it.
    """
    from paddleseg.build import check_files, load_config

    def count_classes(found: Config) -> tuple[int, str]:
        if group is None:
            return _count_classes(found, args)
        count, source = group.broadcast(list(_count_classes(found, args)) if group.is_main else None)
        return count, source

    config = load_config(
        args.config,
        args.opts,
        flags=flags,
        required=required,
        classes=getattr(args, "classes", None),
        count_classes=count_classes,
    )
    if getattr(args, "model_path", None) is not None:
        for key in ("model.pretrained", "model.backbone.pretrained"):
            if config.node(key) is not None:
                config.set(key, None, "--model_path")
    check_files(config, parts, allow_mismatch=args.allow_mismatch)
    return config


def _count_classes(config: Config, args: argparse.Namespace) -> tuple[int, str]:
    """The number of classes and its source: the run that the weights are of, else the training labels."""
    from tqdm import tqdm

    from paddleseg.build_classes import count_in_labels, recorded_class_count

    recorded = recorded_class_count(getattr(args, "model_path", None))
    if recorded is not None:
        get_logger(__name__).info(f"num_classes: {recorded}, as in the run of {args.model_path}")
        return recorded, "the run of --model_path"
    count = count_in_labels(
        config,
        threads=args.threads or runtime.available_cores(),
        progress=partial(tqdm, desc="labels", unit="file", disable=not sys.stderr.isatty()),
    )
    return count, "found in the labels of train_dataset"


def load_model(config: Config, args: argparse.Namespace) -> nn.Layer:
    """Builds the model and fills it from ``--model_path``; without it a warning says what is used.

    Raises:
        WeightsError: The weights do not fit.
    """
    from paddleseg.build import build_model
    from paddleseg.config.consistency import class_count
    from paddleseg.models.weights import load_weights

    logger = get_logger(__name__)
    model = build_model(config, allow_mismatch=args.allow_mismatch)
    if args.model_path is None:
        logger.warning("--model_path is not given: the weights are the config's pretrained or random ones")
    else:
        report = load_weights(
            model,
            args.model_path,
            strict=True,
            allow_mismatch=args.allow_mismatch,
            num_classes=class_count(config),
        )
        logger.info(report.summary())
    return model
