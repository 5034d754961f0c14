"""The HTTP server: its socket, its patience and its end."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploy.serving.service import Service
from paddleseg.errors import UsageError
from paddleseg.log import get_logger

__all__ = ["Server", "is_loopback", "listen"]

_HEADER_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 15
_CONNECTIONS = 512
_logger = get_logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Opens the socket before anything slow is done.

    Args:
        host: Name or address.
        port: 0 takes a free one.

    Raises:
        UsageError: The address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen(_CONNECTIONS)
        except BaseException:
            server.close()
            raise
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror or error}); is another "
            "program using the port? Choose another, or 0 for any that is free"
        ) from error
    return server


def is_loopback(server: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    return ipaddress.ip_address(server.getsockname()[0].partition("%")[0]).is_loopback


class Server(uvicorn.Server):
    """Ends when a signal comes: no new requests, those under way are answered.

    Args:
        app: The application.
        service: What it offers.

    Attributes:
        failure: Why the model could not be loaded.
    """

    def __init__(self, app: FastAPI, service: Service) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                http=_ImpatientProtocol,
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(service.limits.timeout)),
            )
        )
        self._service = service
        self.failure: Exception | None = None

    def model_loaded(self, failure: Exception | None) -> None:
        """Ends with a model that cannot be loaded; to be called in the main thread.

        Args:
            failure: Why not; None where it was loaded.
        """
        if failure is not None:
            self.failure, self.should_exit = failure, True
            return
        # Importing Paddle, in another thread, replaced the handlers behind Python's back.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets the requests under way finish, the second does not wait for them."""
        if self._service.state == "stopping":
            os._exit(128 + sig)  # nothing else ends a model that is at work in its thread
        _logger.info(f"{signal.Signals(sig).name}: shutting down, {self._service.in_flight} under way")
        self._service.stop()

    async def on_tick(self, counter: int) -> bool:
        """Ends once nothing is under way; until then /ready answers, and says that it is over."""
        if self._service.state == "stopping" and self._service.in_flight == 0:
            self.should_exit = True
        return await super().on_tick(counter)


class _ImpatientProtocol(H11Protocol):
    """Closes a connection whose request's headers do not arrive in time; uvicorn would wait for ever."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
