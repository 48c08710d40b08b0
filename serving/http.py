"""What every HTTP request passes through, and how errors are answered."""

from __future__ import annotations

from uuid import uuid4

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import RequestError
from serving.metrics import RESPONSES
from serving.payloads import describe

log = structlog.get_logger()


class _TooLarge(Exception):
    """The body exceeds the limit."""


class Gate:
    """ASGI middleware: bounds the body, gives each request an id, makes every failure plain JSON.

    Parameters
    ----------
    app : ASGI application
    max_body_bytes : int
    release : str
        Name of the release that is served, for the metrics.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, release: str):
        self._app = app
        self._release = release
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")[:64] or uuid4().hex.encode()
        added = [(b"x-request-id", request_id), (b"content-type", b"application/json")]
        scope = {**scope, "headers": [pair for pair in scope["headers"] if _plain(pair[0])] + added}
        received, started = 0, False

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise _TooLarge
            return message

        async def tagged(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                RESPONSES.labels(self._release, scope["method"], str(message["status"])).inc()
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id)]}
            await send(message)

        async def refuse(status: int, error: str) -> None:
            if not started:
                await JSONResponse({"error": error}, status_code=status)(scope, receive, tagged)

        structlog.contextvars.bind_contextvars(request_id=request_id.decode("latin-1"))
        try:
            declared = headers.get(b"content-length", b"0")
            if not declared.isdigit() or int(declared) > self._limit:
                raise _TooLarge
            await self._app(scope, bounded, tagged)
        except _TooLarge:
            await refuse(413, f"body: larger than {self._limit} bytes")
        except Exception:
            log.exception("request failed", path=scope["route"].path if "route" in scope else None)
            await refuse(500, "internal error; the log has it under this answer's x-request-id")
        finally:
            structlog.contextvars.unbind_contextvars("request_id")


def _plain(name: bytes) -> bool:
    """Whether a header passes. Every body is JSON: KServe would decode others by other rules."""
    special = (b"x-request-id", b"content-type", b"inference-header-content-length")
    return name not in special and not name.startswith(b"ce-")


def _answer(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status_code=status)


async def request_error(_: Request, error: Exception) -> Response:
    """A 4xx that names the field."""
    return _answer(str(error), error.status if isinstance(error, RequestError) else 400)


async def validation_error(_: Request, error: Exception) -> Response:
    """A body that KServe's own models refuse."""
    assert isinstance(error, RequestValidationError)
    return _answer(describe(error.errors()[0], ""), 400)


async def http_error(_: Request, error: Exception) -> Response:
    """No such path, or no such method."""
    assert isinstance(error, HTTPException)
    return _answer(str(error.detail), error.status_code)


def _closed() -> APIRouter:
    """KServe lets anybody unload the model; the release is this process's for life."""
    router = APIRouter()

    @router.post("/v2/repository/models/{name}/{action}")
    async def refuse(name: str, action: str) -> Response:
        return _answer("the release is loaded at start; start another server to serve another", 403)

    return router


def install(app: FastAPI, max_body_bytes: int, release: str) -> None:
    """Add the middleware and the error answers to an application."""
    app.add_middleware(Gate, max_body_bytes=max_body_bytes, release=release)
    app.add_exception_handler(RequestError, request_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.include_router(_closed())
