"""The service's addresses."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from deploy.serving.answers import Answer, Output
from deploy.serving.limits import RequestError
from deploy.serving.middleware import SECURITY_HEADERS, Guard
from deploy.serving.service import Service
from deploy.serving.uploads import Upload
from paddleseg.version import __version__

__all__ = ["make_app"]

_STATIC = Path(__file__).parent / "static"
_CLIENT_GONE = 499  # as nginx counts it; nobody reads this answer
_NOT_WANTED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)")
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_RESULT = {
    "type": "object",
    "required": ["width", "height", "classes", "time_ms", "model"],
    "properties": {
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "classes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "name", "color", "pixels", "share"],
                "properties": {
                    "id": {"type": "integer"},
                    "name": {"type": "string"},
                    "color": {"type": "string", "description": "#rrggbb"},
                    "pixels": {"type": "integer"},
                    "share": {"type": "number", "description": "of the image, 0..1"},
                },
            },
        },
        "time_ms": {"type": "number", "description": "waiting and model"},
        "model": {"type": "string"},
        "overlay": {"type": "string", "description": "data: URL of a PNG, with overlay=true"},
    },
}
_REFUSALS = {
    400: "No valid request, form or image",
    403: "Sent by a page of another site",
    408: "The upload took too long",
    413: "Too many bytes or pixels",
    415: "Not an image of a known type",
    422: "A parameter or a size that the model does not take",
    429: "Too many requests are under way; see Retry-After",
    503: "Loading, shutting down, out of memory or out of time; see Retry-After",
}
_PREDICT_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {
        "200": {
            "description": "The prediction",
            "content": {
                "application/json": {"schema": _RESULT},
                "image/png": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **{
            str(status): {"description": text, "content": {"application/json": {"schema": _ERROR}}}
            for status, text in _REFUSALS.items()
        },
    },
}


def make_app(service: Service, *, on_loaded: Callable[[Exception | None], None]) -> FastAPI:
    """Makes the application.

    Args:
        service: What it offers.
        on_loaded: Called when the model is loaded, or with the reason why it cannot be.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running(on_loaded=on_loaded):
            yield

    app = FastAPI(
        title="PaddleSeg CCNet",
        version=__version__,
        description="Semantic segmentation of images.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_pages(app)
    _add_prediction(app, service)
    _add_state(app, service)
    _add_errors(app)
    paths = {"/", "/docs", "/openapi.json", "/health", "/ready", "/metrics", "/predict"}
    app.add_middleware(Guard, metrics=service.metrics, paths=paths, send_timeout=service.limits.timeout)
    return app


def _add_pages(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_STATIC / "docs.html")


def _add_state(app: FastAPI, service: Service) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether the process is alive")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.head("/ready", include_in_schema=False)
    @app.get(
        "/ready",
        summary="Whether predictions are answered",
        responses={503: {"description": "The model is being loaded, or the service is shutting down"}},
    )
    async def ready(response: Response) -> dict[str, str]:
        response.status_code = 200 if service.state == "ready" else 503
        return {"status": service.state}

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_prediction(app: FastAPI, service: Service) -> None:
    @app.post(
        "/predict", summary="Class of every pixel", response_class=Response, openapi_extra=_PREDICT_DOCS
    )
    async def predict(
        request: Request,
        output: Annotated[
            Output | None,
            Query(
                description="label: PNG of class ids; overlay: PNG of the image under the classes' colours; "
                "json: areas. Without it, label where Accept asks for image/png, else json."
            ),
        ] = None,
        overlay: Annotated[bool, Query(description="With json: the overlay too, as a data: URL")] = False,
    ) -> Response:
        if request.headers.get("sec-fetch-site") == "cross-site":
            raise RequestError(403, "a page of another site sent this; only the service's own page may")
        upload = Upload(request, max_bytes=service.limits.max_bytes)
        wanted = output or _from_accept(request.headers.get("accept", ""))
        try:
            answer = await _answer(service, upload, output=wanted, with_overlay=overlay)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        return Response(answer.body, media_type=answer.media_type)


async def _answer(service: Service, upload: Upload, *, output: Output, with_overlay: bool) -> Answer:
    limits = service.limits
    with service.admit() as ticket:
        try:
            data = await asyncio.wait_for(upload.read(), limits.timeout)
        except asyncio.TimeoutError:
            raise RequestError(408, "the upload took too long; send it again") from None
        prediction = service.predict(data, ticket, output=output, with_overlay=with_overlay)
        return await _unless_gone(prediction, upload, limits.timeout)


def _from_accept(accept: str) -> Output:
    wanted = [kind for kind in accept.lower().split(",") if not _NOT_WANTED.search(kind)]
    has_png = any("image/png" in kind for kind in wanted)
    return "label" if has_png and not any("json" in kind for kind in wanted) else "json"


async def _unless_gone(work: Coroutine[Any, Any, Answer], upload: Upload, timeout: float) -> Answer:
    """Gives up work that nobody waits for any more.

    Raises:
        ClientDisconnect: The client has gone.
        RequestError: It took too long.
    """
    answer, gone = asyncio.create_task(work), asyncio.create_task(upload.client_gone())
    try:
        done, _ = await asyncio.wait((answer, gone), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if answer in done:
            return answer.result()
        if gone in done:
            raise ClientDisconnect
        raise RequestError(503, f"no answer within {timeout:g} s; try again", retry_after=5)
    finally:
        answer.cancel()
        gone.cancel()


def _add_errors(app: FastAPI) -> None:
    """Every error is one JSON message."""

    def answer(status: int, message: str, headers: Any = None) -> JSONResponse:
        return JSONResponse({"error": message}, status, headers=headers)

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return answer(error.status, str(error), error.headers)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        reasons = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return answer(422, "; ".join(reasons))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # Guard is within the layer that sends this.
        return answer(500, "internal error; the service's log has the details", SECURITY_HEADERS)
