"""Python values between two processes; their arrays go uncopied beside the pickle."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["receive", "send"]

# A message: the length of its head; the head: the pickle and the lengths of the arrays; then the arrays.
_LENGTH = struct.Struct("Q")


def send(channel: socket.socket, value: object) -> None:
    """Sends a value.

    Args:
        channel: A stream to a process of the same program: what is received is unpickled.
        value: Anything that pickles.

    Raises:
        OSError: The other end is gone.
    """
    arrays: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    views = [array.raw() for array in arrays]
    head = pickle.dumps((pickled, [view.nbytes for view in views]))
    channel.sendall(_LENGTH.pack(len(head)) + head)
    for view in views:
        channel.sendall(view)


def receive(channel: socket.socket, on_silence: Callable[[], None] | None = None) -> Any:
    """Waits for a value.

    Args:
        channel: The other end of what :func:`send` was given.
        on_silence: Called whenever the channel's own timeout passes without a byte; it may raise to give up.

    Raises:
        EOFError: The other end was closed, also in the middle of a message.
        OSError: The connection broke.
    """
    (length,) = _LENGTH.unpack(_read(channel, _LENGTH.size, on_silence))
    pickled, sizes = pickle.loads(_read(channel, length, on_silence))
    return pickle.loads(pickled, buffers=[_read(channel, size, on_silence) for size in sizes])


def _read(channel: socket.socket, size: int, on_silence: Callable[[], None] | None) -> memoryview:
    data = np.empty(size, dtype=np.uint8).data
    rest = data
    while rest:
        try:
            count = channel.recv_into(rest)
        except TimeoutError:
            if on_silence is not None:
                on_silence()
            continue
        if not count:
            raise EOFError("the other end was closed")
        rest = rest[count:]
    return data
