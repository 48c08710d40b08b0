"""The gate that every HTTP request passes: an id, limits, tokens, JSON, and plain failures."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from fastapi.responses import Response
from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import tracing
from serving.auth import CALLER, OPEN, SCOPES, scope_of
from serving.bodies import read_json
from serving.errors import RequestError, located
from serving.ids import new_id
from serving.metrics import HTTP_SECONDS, IN_FLIGHT, RESPONSES
from serving.settings import ServingSettings
from serving.tracing import TRACE_HEADERS

if TYPE_CHECKING:
    from serving.tokens import Authority

log = structlog.get_logger()
Direct = Callable[[Any], Awaitable[Any]]
# Where the gate leaves a request's parsed body.
PAYLOAD = "waymark.payload"
_SECONDS = {scope: HTTP_SECONDS.labels(scope) for scope in SCOPES}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# Where a route says nothing else.
_USUAL = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Gate:
    """ASGI middleware: lets a request in, gives it an id, and makes every failure plain JSON.

    It bounds how many requests are under way, their bodies and their time, checks tokens where the
    deployment asks for them, and reads bodies, which are JSON whatever their ``Content-Type`` says.

    Parameters
    ----------
    app : ASGI application
    settings : ServingSettings
    release : callable
        Gives the name of the release that is served, for the metrics.
    authority : Authority, optional
        Without one, anybody may call.
    direct : mapping of str to callable
        What answers a POST to each of these paths: takes the parsed body, gives what is sent as JSON.
        The application's routing and validation would take longer than these answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServingSettings,
        release: Callable[[], str],
        authority: Authority | None = None,
        direct: Mapping[str, Direct] | None = None,
    ):
        self._app = app
        self._direct = dict(direct or {})
        self._release = release
        self._authority = authority
        self._most_bytes = settings.max_body_bytes
        self._most_requests = settings.max_in_flight
        self._seconds = settings.request_timeout_seconds
        self._requests = 0
        IN_FLIGHT.set_function(lambda: self._requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _READ}
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = new_id().encode()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        needed = scope_of(scope["method"], scope["path"])
        begun, started = time.perf_counter(), False

        async def tagged(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _responses(self._release(), method, message["status"]).inc()
                if span is not None:
                    tracing.answered(span, message["status"])
                given = message["headers"]
                named = {name for name, _ in given}
                usual = [pair for pair in _USUAL if pair[0] not in named]
                message["headers"] = [*given, (b"x-request-id", request_id), *_SECURITY, *usual]
            await send(message)

        async def refuse(status: int, error: str, more: Mapping[str, str] | None = None) -> None:
            if not started:
                await refusal(error, status, more)(scope, receive, tagged)

        self._requests += 1
        identity = request_id.decode()
        with (
            structlog.contextvars.bound_contextvars(request_id=identity),
            tracing.request(f"{method} {needed}", identity, headers) as span,
        ):
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    if self._requests > self._most_requests and needed != OPEN:
                        raise RequestError("too many requests at once", 503, {"Retry-After": "1"})
                    if self._authority is not None:
                        CALLER.set(self._authority.admit(needed, headers.get(b"authorization", b"")))
                    body = await self._body(receive, headers)
                    if body is None:
                        return
                    payload = read_json(body) if body else None
                    direct = self._direct.get(scope["path"]) if method == "POST" else None
                    if direct is not None:
                        await _send(orjson.dumps(await direct(payload)), tagged)
                        return
                    inner = {
                        **scope,
                        "headers": [pair for pair in scope["headers"] if _plain(pair[0])]
                        + [(b"x-request-id", request_id), (b"content-type", b"application/json")],
                        PAYLOAD: payload,
                    }
                    await self._app(inner, _replay(body, receive), tagged)
            except RequestError as error:
                await refuse(error.status, str(error), error.headers)
            except Exception as error:
                if isinstance(error, TimeoutError) and limit.expired():
                    log.warning("request took too long", scope=needed, seconds=self._seconds)
                    await refuse(504, f"no answer within {self._seconds:g} seconds")
                else:
                    log.error("request failed", scope=needed, **located(error))
                    await refuse(500, "internal error; the log has it under this answer's x-request-id")
            finally:
                self._requests -= 1
                _SECONDS[needed].observe(time.perf_counter() - begun)

    async def _body(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The whole body; None if the client left before it was there."""
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._most_bytes:
            raise RequestError(f"body: larger than {self._most_bytes} bytes", 413)
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most_bytes:
                raise RequestError(f"body: larger than {self._most_bytes} bytes", 413)
            if not message.get("more_body", False):
                return b"".join(parts)


@functools.lru_cache(1000)
def _responses(release: str, method: str, status: int) -> Counter:
    return RESPONSES.labels(release, method, str(status))


_READ = (b"x-request-id", b"content-length", b"authorization", *(name.encode() for name in TRACE_HEADERS))


def _plain(name: bytes) -> bool:
    """Whether a header passes. Every body is JSON: KServe would decode others by other rules."""
    special = (b"x-request-id", b"content-type", b"inference-header-content-length")
    return name not in special and not name.startswith(b"ce-")


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _send(body: bytes, send: Send) -> None:
    """A JSON answer, in order."""
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refusal(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal as plain JSON.

    Parameters
    ----------
    message : str
        Names the field, where there is one.
    status : int
    headers : mapping of str to str, optional
    """
    return Response(
        orjson.dumps({"error": message}), status, dict(headers or {}), media_type="application/json"
    )
