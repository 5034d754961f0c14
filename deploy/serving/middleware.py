"""Around every request: security headers, counting, and no patience for clients that do not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.serving.metrics import Metrics

__all__ = ["SECURITY_HEADERS", "Guard"]

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _StalledError(Exception):
    """The client does not read."""


class Guard:
    """ASGI middleware.

    Args:
        app: What it surrounds.
        metrics: Counts the answers.
        paths: Paths that are counted by name; all others count as one, since anybody can make them up.
        send_timeout: Seconds that a client may take to read a piece of its answer.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, paths: Container[str], send_timeout: float) -> None:
        self._app, self._metrics, self._paths, self._send_timeout = app, metrics, paths, send_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            try:
                await asyncio.wait_for(send(message), self._send_timeout)
            except asyncio.TimeoutError:
                raise _StalledError from None

        try:
            await self._app(scope, receive, guarded)
        except _StalledError:
            pass  # the server closes the connection of an answer that is not complete
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.request(path, status, time.perf_counter() - start)
