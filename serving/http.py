"""What every HTTP request passes through, and how errors are answered."""

from __future__ import annotations

from uuid import uuid4

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import RequestError

log = structlog.get_logger()


class _TooLarge(Exception):
    """The body exceeds the limit."""


class RequestLimits:
    """ASGI middleware: bounds the body, gives each request an id, fills in a missing content type.

    Parameters
    ----------
    app : ASGI application
    max_body_bytes : int
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int):
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")[:64] or uuid4().hex.encode()
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if name not in (b"x-request-id", *_replaced(headers))
        ]
        added = [(b"x-request-id", request_id), *((name, b"application/json") for name in _replaced(headers))]
        scope = {**scope, "headers": kept + added}
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
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
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id)]}
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id.decode("latin-1"))
        try:
            await self._app(scope, bounded, tagged)
        except _TooLarge:
            if not started:
                await self._refuse(scope, receive, send)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse({"error": f"body: larger than {self._limit} bytes"}, status_code=413)
        await answer(scope, receive, send)


def _replaced(headers: dict[bytes, bytes]) -> tuple[bytes, ...]:
    """KServe decodes bodies by their content type: none, and curl's default, stand for JSON."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip()
    return (b"content-type",) if kind in (b"", b"application/x-www-form-urlencoded") else ()


async def request_error(_: Request, error: Exception) -> Response:
    """A 4xx that names the field."""
    status = error.status if isinstance(error, RequestError) else 400
    return JSONResponse({"error": str(error)}, status_code=status)


def install(app: FastAPI, max_body_bytes: int) -> None:
    """Add the middleware and the error answers to an application."""
    app.add_middleware(RequestLimits, max_body_bytes=max_body_bytes)
    app.add_exception_handler(RequestError, request_error)
