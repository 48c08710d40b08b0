"""What operators ask for: releases and publishing, recorded answers, findings, metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Header
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse

from serving.auth import only_own
from serving.errors import RequestError
from serving.openapi import Error, Prediction
from serving.paths import PathId
from serving.portal import live
from serving.portal.answers import recorded, summary
from serving.portal.aside import Aside
from serving.portal.catalogue import Browsers
from serving.portal.data import Limit
from serving.portal.models import (
    AnswerList,
    Findings,
    LiveMetrics,
    Published,
    RecordedAnswer,
    ReleaseDetail,
    ReleaseList,
    WhatIf,
)
from serving.portal.releases import Shelf
from serving.service import Service
from serving.stores.base import Store

log = structlog.get_logger()
# A report holds its own styles and no script; in the sandbox it is of no origin.
_REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
Name = Annotated[str, PathParameter(max_length=64)]


def routes(service: Service, browsers: Browsers, home: Path | None) -> APIRouter:
    """The routes over one service.

    Parameters
    ----------
    service : Service
    browsers : Browsers
    home : Path or None
        The HOME whose releases are listed and published.
    """
    router = APIRouter(generate_unique_id_function=lambda route: route.name)
    shelf = Shelf(home) if home is not None else None
    aside = Aside(service.beside)

    def releases() -> Shelf:
        if shelf is None:
            raise RequestError("this server has one release mounted, and no HOME with others", 404)
        return shelf

    def store() -> Store:
        if service.store is None:
            raise RequestError("this server has no store, so answers are not recorded", 404)
        return service.store

    def title(page_id: str) -> str:
        return browsers.of(service.engine.release).title(page_id)

    @router.get("/v1/releases", summary="Releases of HOME, newest data first")
    def list_releases() -> ReleaseList:
        return ReleaseList(releases=releases().all(service.engine.name))

    @router.post(
        "/v1/releases/{name}:publish",
        summary="Make a release current; servers of its HOME load it within seconds",
        responses={409: {"description": "A file of the release is damaged", "model": Error}},
    )
    def publish(
        name: Name, sec_fetch_site: Annotated[str, Header(include_in_schema=False)] = "none"
    ) -> Published:
        if sec_fetch_site not in ("same-origin", "none"):
            # A foreign page must not move the pointer through an operator's browser.
            raise RequestError("a page of another site may not publish", 403)
        done = releases().publish(name)
        log.info("release published", published=done.release, previous=done.previous)
        return done

    @router.get(
        "/v1/releases/{name}/reports/{kind}",
        summary="A report of a release",
        response_class=HTMLResponse,
    )
    def report(name: Name, kind: Literal["evaluation", "validation", "embeddings"]) -> HTMLResponse:
        body = releases().report(name, kind)
        return HTMLResponse(body, headers={"Content-Security-Policy": _REPORT_POLICY})

    @router.get("/v1/releases/{name}", summary="One release and its evaluation")
    def release(name: Name) -> ReleaseDetail:
        return releases().one(name, service.engine.name)

    @router.post(
        "/v1/what-if",
        summary="Answer one question by a release of HOME and the rules in force; nothing is recorded",
        response_model=Prediction,
        response_model_exclude_unset=True,
        responses={
            409: {"description": "The release is damaged, or of another version", "model": Error},
            413: {"description": "The body is too large", "model": Error},
        },
    )
    def what_if(body: WhatIf) -> dict[str, Any]:
        only_own([body.instance.associate_id], "instance")
        instance = body.instance.model_copy(update={"explain": True})
        if body.release in (None, service.engine.name):
            return service.preview(instance)
        return aside.answer(releases().get(body.release), instance, service.rules()[0])

    @router.get("/v1/findings", summary="What the last validation into HOME found")
    def findings() -> Findings:
        return releases().findings()

    @router.get("/v1/answers/{request_id}", summary="An answer as it was given")
    def answer(request_id: Annotated[str, PathParameter(max_length=64)]) -> RecordedAnswer:
        found = store().answer(request_id)
        if found is None:
            raise RequestError("request_id: no such answer is kept", 404)
        return recorded(found, title)

    @router.get("/v1/associates/{associate_id:id}/answers", summary="The latest answers to an associate")
    def answers(associate_id: PathId, limit: Limit = 20) -> AnswerList:
        found = store().recent_answers(associate_id, limit)
        return AnswerList(answers=[summary(one, title) for one in found])

    @router.get("/v1/metrics", summary="Counters of this process, as JSON")
    def live_metrics() -> LiveMetrics:
        return live.collect(service)

    return router
