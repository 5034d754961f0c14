"""The program: ``python -m deploy.serving --help``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from deploy.python.description import DeployDescription, read_description
from deploy.python.engines import ENGINES, PRECISIONS, make_engine
from deploy.python.exported_model import ExportedModel
from deploy.serving.answers import ModelFacts
from deploy.serving.limits import Limits, amount
from paddleseg import log, runtime
from paddleseg.cli.common import EXIT_OK, run_program
from paddleseg.cli.flags import Parser, non_empty, non_negative_int, positive_int
from paddleseg.errors import UsageError
from paddleseg.log import get_logger

__all__ = ["main"]

_logger = get_logger("serving")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the service until a signal ends it. Returns 0, or 2 for an error that the user can fix."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parser().parse(argv)
    settings = runtime.configure(threads=args.cpu_threads)
    log.setup()
    _quieten()
    try:
        from deploy.serving.app import make_app
        from deploy.serving.server import Server, is_loopback, listen
        from deploy.serving.service import Service
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the service needs {error.name}, not installed here; `pip install 'paddleseg-ccnet[serving]'`"
        ) from error
    description = read_description(Path(args.config))

    def load() -> ExportedModel:
        return _load(description, args, settings.threads)

    def on_loaded(failure: Exception | None) -> None:
        server.model_loaded(failure)

    service = Service(load, _facts(description), limits=_limits(args), workers=max(2, settings.cores))
    with listen(args.host, args.port) as listener:
        server = Server(make_app(service, on_loaded=on_loaded), service)
        _announce(args.host, listener.getsockname()[1], only_here=is_loopback(listener))
        server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure
    _logger.info("stopped")
    return EXIT_OK


def _quieten() -> None:
    """Keeps out of the log what libraries say of clients' data, with which they could fill it."""
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


def _parser() -> Parser:
    parser = Parser(prog="deploy.serving", description="Answer images over HTTP with an exported model.")
    parser.add_argument("--config", type=non_empty, required=True, help="deploy.yaml written by export.py")
    parser.add_argument("--host", type=non_empty, default="127.0.0.1", help="0.0.0.0: for all machines")
    parser.add_argument("--port", type=_port, default=8000, help="0: any that is free")
    parser.add_argument("--engine", choices=("auto", *ENGINES), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument(
        "--cpu_threads", type=positive_int, default=None, help="default: the cores this process has"
    )
    limits = Limits()
    parser.add_argument("--max_batch", type=positive_int, default=limits.max_batch, help="images at once")
    parser.add_argument(
        "--max_wait_ms",
        type=non_negative_int,
        default=int(limits.max_wait_ms),
        help="longest time that an image waits for others while the model is free",
    )
    parser.add_argument(
        "--queue", type=positive_int, default=limits.queue, help="requests under way; more get status 429"
    )
    parser.add_argument("--max_bytes", type=amount, default=limits.max_bytes, help="of an upload: 20MB")
    parser.add_argument(
        "--max_pixels",
        type=amount,
        default=limits.max_pixels,
        help="of an image, and half of all under way; on CPU raise --timeout with it. A "
        "model that gives scores takes 4 bytes a class for each of up to three times as many pixels",
    )
    parser.add_argument(
        "--timeout",
        type=positive_int,
        default=int(limits.timeout),
        help="seconds for the upload, and again for the answer",
    )
    return parser


def _port(text: str) -> int:
    value = non_negative_int(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"got {text}; expected 0..65535")
    return value


def _limits(args: argparse.Namespace) -> Limits:
    return Limits(
        max_batch=args.max_batch,
        max_wait_ms=args.max_wait_ms,
        queue=args.queue,
        max_bytes=args.max_bytes,
        max_pixels=args.max_pixels,
        timeout=args.timeout,
    )


def _facts(description: DeployDescription) -> ModelFacts:
    name = description.path.resolve().parent.name
    return ModelFacts.of(name, description.class_names, description.palette)


def _load(description: DeployDescription, args: argparse.Namespace, threads: int) -> ExportedModel:
    engine = make_engine(
        description, engine=args.engine, device=args.device, threads=threads, precision=args.precision
    )
    if "paddle" in sys.modules:
        import paddle

        paddle.disable_signal_handler()  # it prints a C++ stack on SIGTERM
    return ExportedModel(description, engine)


def _announce(host: str, port: int, *, only_here: bool) -> None:
    address = f"[{host}]" if ":" in host else host
    _logger.info(f"http://{address}:{port}/ (process {os.getpid()}; Ctrl-C ends)")
    if not only_here:
        _logger.warning(f"--host {host}: other machines can reach the service, and it asks for no password")


if __name__ == "__main__":
    sys.exit(main())
