"""How the processes of one run find each other: through the store that rank 0 opens for all."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

from paddle import distributed as framework
from paddle.base import core

from paddleseg.engine.heartbeat import PeerError, watch_launcher
from paddleseg.log import get_logger

__all__ = ["Stores", "meet"]

_PATIENCE = 300.0  # seconds for rank 0 to open its store
_TELL_AFTER = 30.0  # seconds of waiting before the log says so

Stores = tuple[Any, Any]


def meet(rank: int, size: int, host: str, port: int) -> Stores:
    """Starts Paddle's process group; returns when all processes are there.

    Args:
        rank: This process's place.
        size: The number of processes, at least 2.
        host: Where rank 0 runs.
        port: Where rank 0 listens.

    Returns:
        Two connections to rank 0's store: the framework's own, and one for another thread.

    Raises:
        PeerError: Rank 0's port is taken, rank 0 cannot be reached, or some process did not come.
    """
    word = threading.Timer(_TELL_AFTER, _say_what_is_awaited, (size, host, port))
    word.daemon = True
    word.start()
    met = threading.Event()
    threading.Thread(target=_leave_with_launcher, args=(watch_launcher(), met), daemon=True).start()
    try:
        (_await_main if rank else _check_port)(host, port)
        with contextlib.redirect_stderr(io.StringIO()):  # the framework lists its own flags there
            framework.init_parallel_env()
        stores = core.create_or_get_global_tcp_store(), core.TCPStore(host, port, False, size)
        _send_at_once(port)
        return stores
    except (ValueError, RuntimeError, SystemError) as error:
        raise PeerError(
            f"the {size} processes of this run did not come together at {host}:{port}; "
            "see the log of each for what kept it, and start the launcher on every machine"
        ) from error
    finally:
        word.cancel()
        met.set()


def _send_at_once(port: int) -> None:
    """Lets questions to the store leave unmerged: a question is two packets, and the second one of the
    framework's connections waits 44 ms for the first one's receipt (Nagle's algorithm).

    Args:
        port: Where rank 0 listens.
    """
    descriptors = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for descriptor in map(int, descriptors):
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue  # socket.socket would refuse the duplicate and leave it open
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                internet = connection.family in (socket.AF_INET, socket.AF_INET6)
                if internet and connection.getpeername()[1] == port:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_with_launcher(launcher_has_ended: Callable[[], bool], met: threading.Event) -> None:
    """Ends the process when the launcher is gone: the framework would wait for the others for minutes."""
    while not met.wait(1.0):
        if launcher_has_ended():
            get_logger(__name__).error("This process ends too: the launcher has ended")
            os._exit(1)


def _say_what_is_awaited(size: int, host: str, port: int) -> None:
    get_logger(__name__).warning("Still waiting for all %d processes to meet at %s:%d", size, host, port)


def _check_port(host: str, port: int) -> None:
    """Asks first: the framework aborts the process, without a word of Python, when its port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise PeerError(
                f"rank 0 cannot listen on port {port} of {host}: {error.strerror}; "
                "end the program that uses it, or give the launcher a --master with another port"
            ) from error


def _await_main(host: str, port: int) -> None:
    """Asks first: the framework asks only every 3 seconds, and for ever."""
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > ends:
                raise PeerError(
                    f"rank 0 cannot be reached at {host}:{port}: {error.strerror or error}; "
                    "see whether it runs, and whether a firewall stands between the machines"
                ) from error
        time.sleep(0.05)
