"""``POST /v1/events`` and ``DELETE /v1/associates/{id}``."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import polars as pl
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from components.contract import columns as c
from components.contract.tables import check
from components.contract.trends import DAY
from serving.engine import Engine
from serving.errors import RequestError
from serving.feedback import FeedbackCounter
from serving.metrics import EVENTS
from serving.settings import ServingSettings
from serving.store import StoredEvent

log = structlog.get_logger()
_FIELDS = {
    c.EVENT_ID,
    c.ASSOCIATE_ID,
    c.PAGE_ID,
    c.EVENT_TYPE,
    c.TIMESTAMP,
    c.DWELL,
    c.PROGRESS,
    c.RATING,
    c.REQUEST_ID,
    c.POSITION,
    c.RELEASE,
}


def parse_events(
    body: bytes, settings: ServingSettings, now: float
) -> tuple[list[StoredEvent], list[dict[str, Any]]]:
    """Check the rows of a request by the data contract.

    Parameters
    ----------
    body : bytes
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
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError("body: not JSON") from error
    rows = payload.get("events") if isinstance(payload, dict) and set(payload) == {"events"} else None
    if not isinstance(rows, list) or not rows:
        raise RequestError("events: a list with at least one event is expected")
    if len(rows) > settings.max_events:
        raise RequestError(f"events: {len(rows)} are too many, at most {settings.max_events}", 413)
    bad: dict[int, str] = {}
    texts: list[dict[str, Any]] = []
    places: list[int] = []
    for place, row in enumerate(rows):
        problem = _shape(row)
        if problem:
            bad[place] = problem
        else:
            places.append(place)
            texts.append({"place": place, **{name: _text(row.get(name)) for name in sorted(_FIELDS)}})
    schema = dict.fromkeys(["place", *sorted(_FIELDS)], pl.String) | {"place": pl.Int64}
    found = check("events", pl.DataFrame(texts, schema=schema), where="the request", required_present=False)
    bad |= {int(orjson.loads(row["row"])["place"]): row["reason"] for row in found.bad.iter_rows(named=True)}
    places = [place for place in places if place not in bad]
    late = (found.rows[c.TIMESTAMP].dt.epoch("us") / 1e6 > now + DAY).to_list()
    for place, is_late in zip(places, late, strict=True):
        if is_late:
            bad[place] = f"{c.TIMESTAMP}: more than a day in the future"
    kept = found.rows.filter(~pl.Series(late, dtype=pl.Boolean))
    events = [_stored(row) for row in kept.iter_rows(named=True)]
    return events, [{"event": place, "error": bad[place]} for place in sorted(bad)]


def _shape(row: Any) -> str | None:
    if not isinstance(row, dict):
        return "an object is expected"
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        return f"{unknown[0][:100]}: unknown field"
    nested = [name for name, value in row.items() if isinstance(value, dict | list | bool)]
    if nested:
        return f"{nested[0]}: text or a number is expected"
    long = [name for name, value in row.items() if isinstance(value, str) and len(value) > 256]
    return f"{long[0]}: longer than 256 characters" if long else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _stored(row: dict[str, Any]) -> StoredEvent:
    instant = row[c.TIMESTAMP]
    plain = {name: value for name, value in row.items() if value is not None and name in _FIELDS}
    return StoredEvent(
        row[c.EVENT_ID],
        row[c.ASSOCIATE_ID],
        row[c.PAGE_ID],
        row[c.EVENT_TYPE],
        instant.timestamp(),
        orjson.dumps(plain).decode(),
    )


def routes(engine: Engine, settings: ServingSettings) -> APIRouter:
    """The routes over one engine."""
    router, feedback = APIRouter(), FeedbackCounter()

    @router.post("/v1/events")
    async def post_events(request: Request) -> Response:
        # A replayed log may run ahead of the clock.
        now = max(time.time(), engine.last_event)
        events, rejected = parse_events(await request.body(), settings, now)
        unknown = [event for event in events if not engine.page_exists(event.page_id)]
        added = await asyncio.to_thread(engine.observe, events) if events else []
        feedback.add(added)
        EVENTS.labels("new").inc(len(added))
        EVENTS.labels("repeated").inc(len(events) - len(added))
        EVENTS.labels("rejected").inc(len(rejected))
        log.info("events", received=len(events) + len(rejected), added=len(added), rejected=len(rejected))
        answer = {
            "accepted": len(events),
            "new": len(added),
            "unknown_pages": len(unknown),
            "rejected": rejected,
        }
        return JSONResponse(answer, status_code=202 if events else 422)

    @router.delete("/v1/associates/{associate_id:path}", status_code=204)
    async def delete_associate(associate_id: str) -> Response:
        associate_id = associate_id.strip()
        if not 0 < len(associate_id) <= 256:
            raise RequestError("associate_id: 1 to 256 characters are expected")
        await asyncio.to_thread(engine.forget, associate_id)
        log.info("associate forgotten")
        return Response(status_code=204)

    return router
