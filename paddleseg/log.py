"""Logging in PaddleSeg's line format, at peace with progress bars and several processes.

Modules ask for a logger and log; only :mod:`paddleseg.cli` calls :func:`setup`. Without it, as in a user's
own program, the loggers follow that program's settings.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

from tqdm import tqdm

from paddleseg.errors import OutputError

__all__ = ["get_logger", "setup"]

_ROOT = "paddleseg"
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


def get_logger(name: str = _ROOT) -> logging.Logger:
    """Returns a logger below ``paddleseg``, so that one :func:`setup` reaches them all.

    Args:
        name: The module's ``__name__``; a name outside the package is put below it.
    """
    inside = name == _ROOT or name.startswith(f"{_ROOT}.")
    return logging.getLogger(name if inside else f"{_ROOT}.{name}")


def setup(*, rank: int = 0, file: str | Path | None = None, level: int = logging.INFO) -> None:
    """Sends the package's log to the standard output and, in the main process, to a file as well.

    Lines read ``2026-11-22 12:00:00 [INFO]<tab>message``. Calling it again replaces the earlier settings.

    Args:
        rank: This process's index; those above 0 show warnings and errors only, marked with it.
        file: Appended to, UTF-8; folders are made. Ignored where ``rank`` is above 0.
        level: The least level that is shown.

    Raises:
        OutputError: The file cannot be opened; later also from a logging call when it cannot be written.
    """
    handlers: list[logging.Handler] = [_ConsoleHandler()]
    if file is not None and rank == 0:
        handlers.append(_open(Path(file)))
    origin = f"[rank {rank}] " if rank else ""
    formatter = logging.Formatter(f"%(asctime)s [%(levelname)s]\t{origin}%(message)s", datefmt=_DATE_FORMAT)
    logger = logging.getLogger(_ROOT)
    for old in list(logger.handlers):
        if isinstance(old, _ConsoleHandler | _LogFileHandler):
            logger.removeHandler(old)
            # A disk that is still full was reported when the line could not be written.
            with contextlib.suppress(OSError):
                old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logger.setLevel(max(level, logging.WARNING) if rank else level)
    # Libraries that configure the root logger would print every line a second time.
    logger.propagate = False


class _ConsoleHandler(logging.Handler):
    """Writes above any progress bar that is being drawn, instead of into it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # sys.stdout is looked up each time: it may have been redirected since set-up.
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            raise  # nobody reads any more: for the program to decide, not to be printed for every line
        except Exception:
            self.handleError(record)


class _LogFileHandler(logging.FileHandler):
    """A log file that reports a full disk as the program's own error, not as a traceback beside the log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the base class's name)
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise OutputError(f"{self.baseFilename}: cannot write the log: {error.strerror}") from error
        super().handleError(record)


def _open(file: Path) -> _LogFileHandler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _LogFileHandler(file, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{file}: cannot open the log file: {error.strerror}; choose another folder"
        ) from error
