"""Values between processes: equal on the other side, and a broken stream is noticed."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest

from paddleseg.data.messages import receive, send


def there_and_back(value: object) -> Any:
    near, far = socket.socketpair()
    with near, far:
        sender = threading.Thread(target=send, args=(near, value))
        sender.start()
        received = receive(far)
        sender.join()
    return received


@pytest.mark.parametrize("value", [None, {"a": [1, "é", (2.5, None)]}, b"x" * 1_000_000])
def test_values_arrive_equal(value: object) -> None:
    assert there_and_back(value) == value


def test_arrays_arrive_equal_and_may_be_written_to(rng: np.random.Generator) -> None:
    big = rng.random((3, 400, 500)).astype(np.float32)  # 2.4 MB: more than the stream holds at once
    mixed = {"big": big, "across": big[0].T, "every second": big[:, ::2], "none": np.zeros((0, 3), np.int32)}
    received = there_and_back(mixed)
    assert received.keys() == mixed.keys()
    for name, array in mixed.items():
        assert received[name].dtype == array.dtype
        assert (received[name] == array).all()
    received["big"][0] = 0


def test_the_other_end_is_gone() -> None:
    near, far = socket.socketpair()
    near.close()
    with far, pytest.raises(EOFError):
        receive(far)


def test_the_other_end_goes_in_the_middle_of_a_message() -> None:
    near, far = socket.socketpair()
    send(near, np.arange(100))
    whole = far.recv(10_000)
    near.sendall(whole[:-5])
    near.close()
    with far, pytest.raises(EOFError):
        receive(far)


def test_silence_is_reported_each_time_and_ends_with_the_first_byte() -> None:
    near, far = socket.socketpair()
    calls = []

    def on_silence() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            send(near, "late")

    with near, far:
        far.settimeout(0.02)
        assert receive(far, on_silence) == "late"
        assert receive_gives_up(far)
    assert calls == [0, 1, 2]


def receive_gives_up(channel: socket.socket) -> bool:
    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        receive(channel, give_up)
    return True
