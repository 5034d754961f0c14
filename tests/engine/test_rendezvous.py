"""What goes wrong before the processes have met; tests/engine/test_group.py lets them meet."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from launch import free_port
from paddle import distributed as framework

from paddleseg.engine import rendezvous
from paddleseg.engine.heartbeat import PeerError


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            PeerError, match=f"rank 0 cannot listen on port {port} of node-1: Address already"
        ):
            rendezvous.meet(0, 2, "node-1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_rank_0_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(rendezvous, "_PATIENCE", 0.2)
    port = free_port()
    with pytest.raises(PeerError, match=f"rank 0 cannot be reached at {host}:{port}: .*see whether it runs"):
        rendezvous.meet(1, 2, host, port)


def test_the_log_says_what_is_awaited_and_an_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def give_up() -> None:
        time.sleep(0.3)
        raise SystemError("(Fatal) _timeout:900 elapsed:901")

    monkeypatch.setattr(rendezvous, "_TELL_AFTER", 0.1)
    monkeypatch.setattr(framework, "init_parallel_env", give_up)
    port = free_port()
    with pytest.raises(
        PeerError, match=f"2 processes of this run did not come together at 127.0.0.1:{port}; see"
    ):
        rendezvous.meet(0, 2, "127.0.0.1", port)
    assert [record.getMessage() for record in caplog.records] == [
        f"Still waiting for all 2 processes to meet at 127.0.0.1:{port}"
    ]


def test_nobody_is_awaited_when_the_launcher_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left, met = [], threading.Event()

    def leave(status: int) -> None:
        left.append(status)
        met.set()

    monkeypatch.setattr(os, "_exit", leave)
    rendezvous._leave_with_launcher(lambda: True, met)
    assert left == [1]
    assert "the launcher has ended" in caplog.text


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list descriptors")
def test_only_connections_to_the_store_are_changed_and_nothing_stays_open() -> None:
    reader, writer = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as store, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [server.getsockname()[1] for server in (store, other)]
        connections = [socket.create_connection(("127.0.0.1", port)) for port in ports]
        before = os.listdir("/proc/self/fd")
        rendezvous._send_at_once(ports[0])
        assert os.listdir("/proc/self/fd") == before
        at_once = [bool(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) for one in connections]
        assert at_once == [True, False]
        for connection in connections:
            connection.close()
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b"", "the pipe has ended"
    os.close(reader)
