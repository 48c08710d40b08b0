"""What both sides of the portal ask for: the catalogue, and what is known of an associate."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, Query

from serving.auth import CALLER, only_own
from serving.errors import RequestError
from serving.history import ask
from serving.paths import PathId
from serving.payloads import Context, Identifier, Instance
from serving.portal.answers import TITLES
from serving.portal.catalogue import Browser, Browsers
from serving.portal.models import (
    About,
    AssociateDetail,
    AssociateList,
    AssociateSummary,
    OpenedPage,
    PageDetail,
    PageList,
)
from serving.service import Service

Limit = Annotated[int, Query(ge=1, le=100)]
Text = Annotated[str, Query(max_length=256)]
_MOST_VALUES = 50
_MOST_LISTED = 200
# All that is known happened before it.
_END_OF_TIME = 4_102_444_799.0


def routes(service: Service, browsers: Browsers, home: bool) -> APIRouter:
    """The routes over one service.

    Parameters
    ----------
    service : Service
    browsers : Browsers
    home : bool
        Whether releases can be listed and published.
    """
    router = APIRouter(generate_unique_id_function=lambda route: route.name)

    def browser() -> Browser:
        return browsers.of(service.engine.release)

    @lru_cache(maxsize=1)
    def busiest(release: str) -> list[str]:
        return service.engine.catalogue.busiest(_MOST_LISTED)

    def forgotten() -> set[str]:
        return service.store.forgotten() if service.store is not None else set()

    def somebody() -> str | None:
        gone = forgotten()
        return next((one for one in busiest(service.engine.name) if one not in gone), None)

    @router.get("/v1/about", summary="What is served, and what this server can do")
    def about() -> About:
        engine, caller = service.engine, CALLER.get()
        lists = caller is None or (caller.associate_id is None and "operate" in caller.scopes)
        return About(
            release=engine.name,
            pages=engine.pages,
            last_event=engine.last_event,
            now=time.time(),
            home=home,
            store=service.store is not None,
            attributes={name: values[:_MOST_VALUES] for name, values in browser().attributes.items()},
            associate_id=caller.associate_id if caller else None,
            somebody=somebody() if lists else None,
            groups=TITLES,
        )

    @router.get("/v1/pages", summary="Find pages by title, topic or id; or name them by ids")
    def pages(
        query: Text = "",
        limit: Limit = 20,
        ids: Annotated[list[Identifier] | None, Query(max_length=100)] = None,
    ) -> PageList:
        if ids is not None:
            named = browser().pages(ids)
            return PageList(pages=named, total=len(named))
        found, total = browser().search(query, limit)
        return PageList(pages=found, total=total)

    @router.get("/v1/pages/{page_id:id}", summary="One page and those about the same")
    def page(page_id: PathId) -> PageDetail:
        found = browser().detail(page_id)
        if found is None:
            raise RequestError("page_id: the release holds no such page", 404)
        return found

    @router.get("/v1/associates", summary="Find associates; those with much history if nothing is asked for")
    def associates(query: Text = "", limit: Limit = 20) -> AssociateList:
        gone = forgotten()
        if query.strip():
            return AssociateList(associates=browser().associates(query, limit, gone))
        catalogue = service.engine.catalogue
        listed = [one for one in busiest(service.engine.name) if one not in gone][:limit]
        rows = [(one, catalogue.find(one)) for one in listed]
        return AssociateList(
            associates=[
                AssociateSummary(
                    associate_id=one,
                    role=catalogue.attribute("role", row),
                    shift=catalogue.attribute("shift", row),
                )
                for one, row in rows
            ]
        )

    @router.get("/v1/associates/{associate_id:id}", summary="What the server knows of an associate")
    def associate(associate_id: PathId) -> AssociateDetail:
        only_own([associate_id], "associate_id")
        catalogue = service.engine.catalogue
        activities = service.store.activity([associate_id]) if service.store is not None else None
        question = Instance(associate_id=associate_id, context=Context(time=_END_OF_TIME))
        asked = ask(catalogue, [question], activities)
        requests, done = asked.requests, asked.completed[0]
        history = [
            OpenedPage(
                page_id=catalogue.page_ids[row],
                title=catalogue.titles[row] or catalogue.page_ids[row],
                time=when,
            )
            for row, when in zip(
                requests.history_page[0].tolist(), requests.history_time[0].tolist(), strict=True
            )
            if row >= 0
        ]
        latest = [*(opened.time for opened in history[:1]), *done.values()]
        return AssociateDetail(
            associate_id=associate_id,
            known=not asked.cold[0],
            attributes={name: str(values[0]) for name, values in requests.attributes.items() if values[0]},
            opened=int(requests.history_count[0]),
            completed=len(done),
            latest=max(latest, default=None),
            history=history,
        )

    return router
