"""The portal's routes: its pages, and what they ask the server for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header
from fastapi.responses import Response

from serving.errors import RequestError
from serving.portal import data, operate
from serving.portal.catalogue import Browsers
from serving.portal.files import BASE, POLICY, Files
from serving.service import Service

_YEAR = 31_536_000


def install(app: FastAPI, service: Service, home: Path | None) -> None:
    """Add the portal to an application.

    Parameters
    ----------
    app : FastAPI
    service : Service
    home : Path or None
        Without one there are no releases to list or publish.
    """
    browsers = Browsers()
    # Made now, so that the first visitor does not wait for it.
    browsers.of(service.engine.release)
    # /v1/associates/{id}/answers before /v1/associates/{id}, whose id may hold slashes.
    routers = operate.routes(service, browsers, home), data.routes(service, browsers, home is not None)
    app.include_router(_pages())
    for router in routers:
        app.include_router(router)


def _pages() -> APIRouter:
    """The pages and their files. They hold no data: anybody may load them."""
    router, files = APIRouter(include_in_schema=False), Files()

    def send(name: str, accepted: str, headers: dict[str, str]) -> Response:
        file = files.get(name)
        if file is None:
            raise RequestError("no such file", 404)
        body = file.body
        headers = {"Vary": "Accept-Encoding", "Content-Security-Policy": POLICY, **headers}
        if file.packed is not None and "gzip" in accepted:
            body = file.packed
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type=file.media_type, headers=headers)

    def page(name: str) -> Any:
        async def shown(accept_encoding: Annotated[str, Header()] = "") -> Response:
            return send(name, accept_encoding, {"Cache-Control": "no-cache"})

        return shown

    for path, name in (("/", "home.html"), ("/operate", "operate.html"), ("/favicon.ico", "favicon.svg")):
        router.add_api_route(path, page(name), methods=["GET", "HEAD"])

    @router.get(f"{BASE}/{{version}}/{{name:path}}")
    async def static(version: str, name: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
        kept = f"public, max-age={_YEAR}, immutable" if version == files.version else "no-cache"
        return send(name, accept_encoding, {"Cache-Control": kept})

    return router
