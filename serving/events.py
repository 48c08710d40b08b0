"""``POST /v1/events`` and ``DELETE /v1/associates/{id}``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response

from components.contract.time import DAY
from serving.auth import only_own
from serving.errors import RequestError
from serving.feedback import FeedbackCounter
from serving.gate import PAYLOAD
from serving.metrics import EVENTS
from serving.paths import AnyPathId
from serving.rows import read_rows
from serving.settings import ServingSettings
from serving.stores.base import StoredEvent

if TYPE_CHECKING:
    from serving.service import Service

log = structlog.get_logger()


def parse_events(
    payload: Any, settings: ServingSettings, now: float
) -> tuple[list[StoredEvent], list[dict[str, Any]]]:
    """Check the rows of a request by the data contract.

    Parameters
    ----------
    payload : object
        The parsed body.
    settings : ServingSettings
    now : float
        Epoch seconds. An event of a day later would age every trend: it is taken for an error.

    Returns
    -------
    events : list of StoredEvent
    rejected : list of dict
        ``event`` (its place in the request) and ``error``.

    Raises
    ------
    RequestError
        The body as a whole is malformed.
    """
    rows = payload.get("events") if isinstance(payload, dict) and payload.keys() == {"events"} else None
    if not isinstance(rows, list) or not rows:
        raise RequestError("events: a list with at least one event is expected")
    if len(rows) > settings.max_events:
        raise RequestError(f"events: {len(rows)} are too many, at most {settings.max_events}", 413)
    events, rejected = [], []
    for place, found in enumerate(read_rows(rows, latest=now + DAY)):
        if isinstance(found, StoredEvent):
            events.append(found)
        else:
            rejected.append({"event": place, "error": found})
    return events, rejected


def routes(service: Service, settings: ServingSettings) -> APIRouter:
    """The routes over one service, behind the gate."""
    router, feedback = APIRouter(), FeedbackCounter()

    @router.post("/v1/events")
    async def post_events(request: Request) -> Response:
        # A replayed log may run ahead of the clock.
        now = max(time.time(), service.engine.last_event)
        events, rejected = parse_events(request.scope[PAYLOAD], settings, now)
        only_own([event.associate_id for event in events], "events")
        unknown = sum(not service.engine.page_exists(event.page_id) for event in events)
        added = await asyncio.to_thread(service.observe, events) if events else []
        feedback.add(added)
        EVENTS.labels("new").inc(len(added))
        EVENTS.labels("repeated").inc(len(events) - len(added))
        EVENTS.labels("rejected").inc(len(rejected))
        log.debug("events", received=len(events) + len(rejected), added=len(added), rejected=len(rejected))
        answer = {
            "accepted": len(events),
            "new": len(added),
            "unknown_pages": unknown,
            "rejected": rejected,
        }
        return Response(
            orjson.dumps(answer), status_code=202 if events else 422, media_type="application/json"
        )

    @router.delete("/v1/associates/{associate_id:id}", status_code=204)
    async def delete_associate(associate_id: AnyPathId) -> Response:
        only_own([associate_id], "associate_id")
        await asyncio.to_thread(service.forget, associate_id)
        log.info("associate forgotten")
        return Response(status_code=204)

    return router
