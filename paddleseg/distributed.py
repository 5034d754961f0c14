"""Which process this is among those that the launcher started.

``python -m paddle.distributed.launch`` tells each process its place in environment variables; reading
them here, without the framework, lets logging and run-time settings be made before the framework is
imported.
"""

from __future__ import annotations

import os

from paddleseg.errors import UsageError

__all__ = ["is_launched", "is_main", "local_world_size", "master", "rank", "world_size"]


def rank() -> int:
    """Returns this process's index among all: 0 for the main one, and without a launcher.

    Raises:
        UsageError: The launcher's variables hold no valid place.
    """
    place, size = _count("PADDLE_TRAINER_ID", default=0, least=0), world_size()
    if place >= size:
        raise UsageError(
            f"PADDLE_TRAINER_ID={place}: expected less than PADDLE_TRAINERS_NUM={size}; "
            "start with `python -m paddle.distributed.launch`, or unset both for a single process"
        )
    return place


def world_size() -> int:
    """Returns the number of processes that train together: 1 without a launcher.

    Raises:
        UsageError: The launcher's variable holds no positive number.
    """
    return _count("PADDLE_TRAINERS_NUM", default=1, least=1)


def is_main() -> bool:
    """True in the one process that logs, saves and reports."""
    return rank() == 0


def is_launched() -> bool:
    """True where the launcher started this process, alone or with others."""
    return bool(os.environ.get("PADDLE_TRAINER_ID"))


def local_world_size() -> int:
    """Returns the number of processes of this run on this machine: 1 without a launcher.

    Raises:
        UsageError: The launcher's variable holds no positive number.
    """
    return _count("PADDLE_LOCAL_SIZE", default=1, least=1)


def master() -> tuple[str, int]:
    """Returns the host and port at which rank 0 can be reached.

    Raises:
        UsageError: The launcher's variable holds no address.
    """
    text = os.environ.get("PADDLE_MASTER", "").strip()
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise UsageError(
            f"environment variable PADDLE_MASTER='{text}': expected host:port; "
            "start with `python -m paddle.distributed.launch`"
        )
    return host, int(port)


def _count(variable: str, *, default: int, least: int) -> int:
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise UsageError(
            f"environment variable {variable}='{text}': expected a whole number of at least {least}; "
            "start with `python -m paddle.distributed.launch`, or unset it for a single process"
        )
    return int(text)
