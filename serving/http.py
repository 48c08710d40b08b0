"""What is installed around an application: the gate, error answers, closed routes, the OpenAPI document."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from kserve.metrics import PREDICT_HIST_TIME, get_labels
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from components.contract.errors import WaymarkError
from serving.errors import RequestError
from serving.gate import Direct, Gate, refusal
from serving.openapi import document
from serving.payloads import describe
from serving.settings import ServingSettings
from serving.stores.base import StoreError

log = structlog.get_logger()
_ORIGIN = re.compile(r"https?://[^/\s*]+")


async def request_error(_: Request, error: Exception) -> Response:
    """A 4xx that names the field."""
    assert isinstance(error, RequestError)
    return refusal(str(error), error.status, error.headers)


async def store_error(_: Request, error: Exception) -> Response:
    """The store is away; nothing was acknowledged."""
    log.warning("store failed", error=type(error).__name__)
    return refusal("the store does not answer; try again", 503, {"Retry-After": "1"})


async def validation_error(_: Request, error: Exception) -> Response:
    """A body, path or query that a route's own types refuse."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    # The first part says where the field stands (body, path, query), and is no field.
    return refusal(describe({**problem, "loc": problem["loc"][1:]}, ""), 400)


async def http_error(_: Request, error: Exception) -> Response:
    """No such path, or no such method."""
    assert isinstance(error, HTTPException)
    return refusal(str(error.detail), error.status_code, error.headers)


def _closed() -> APIRouter:
    """KServe's routes that are not for this model: to unload it, to explain it, its versions."""
    router = APIRouter(include_in_schema=False)

    @router.post("/v2/repository/models/{name}/{action}")
    async def repository(name: str, action: str) -> Response:
        return refusal("models are not loaded or unloaded over REST", 403)

    @router.post("/v1/models/{name}:explain")
    async def explain(name: str) -> Response:
        return refusal("no such path", 404)

    @router.api_route("/v2/models/{name}/versions/{rest:path}", methods=["GET", "POST"])
    async def versions(name: str, rest: str) -> Response:
        return refusal("no such path; the model has no versions", 404)

    return router


def predict_at(name: str, predict: Direct) -> dict[str, Direct]:
    """V1's predict of one model, to be answered at once: KServe's own takes longer than all else in HTTP.

    Parameters
    ----------
    name : str
        The model's.
    predict : callable
        The model's ``predict``.
    """
    seconds = PREDICT_HIST_TIME.labels(**get_labels(name))

    async def answer(payload: Any) -> Any:
        with seconds.time():
            return await predict(payload)

    return {f"/v1/models/{name}:predict": answer}


def _origins(text: str) -> list[str]:
    origins = [one.strip() for one in text.split(",") if one.strip()]
    for one in origins:
        if not _ORIGIN.fullmatch(one):
            raise WaymarkError(f"WAYMARK_SERVING_CORS_ORIGINS: {one!r} is none; give https://host[:port]")
    return origins


def install(
    app: FastAPI,
    settings: ServingSettings,
    release: Callable[[], str],
    *,
    store: bool = True,
    direct: Mapping[str, Direct] | None = None,
) -> None:
    """Add the middleware, the error answers and the OpenAPI document to an application.

    Parameters
    ----------
    app : FastAPI
    settings : ServingSettings
    release : callable
        Gives the name of the release that is served.
    store : bool
        Whether the application takes events.
    direct : mapping of str to callable, optional
        See :class:`serving.gate.Gate`.

    Raises
    ------
    WaymarkError
        A setting of tokens or origins is wrong; names the variable.
    """
    authority = None
    # An empty secret, or a key forgotten, is a mistake that must not open the door.
    asked = (settings.jwt_secret, settings.jwt_key_file, settings.jwt_issuer, settings.jwt_audience)
    if any(one is not None for one in asked):
        from serving.tokens import Authority

        authority = Authority(settings)
    app.add_middleware(Gate, settings=settings, release=release, authority=authority, direct=direct)
    # Around the gate: a browser must be let to read refusals too, and asks without a token first.
    if origins := _origins(settings.cors_origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "X-Request-Id"],
            expose_headers=["ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"],
        )
    app.add_exception_handler(RequestError, request_error)
    app.add_exception_handler(StoreError, store_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.include_router(_closed())

    @functools.cache
    def described() -> dict[str, Any]:
        return document(app, settings, store=store, tokens=authority is not None)

    app.openapi = described  # type: ignore[method-assign]
