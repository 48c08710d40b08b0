"""``GET`` and ``PUT /v1/rules``, ``POST /v1/rules/preview``."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Protocol

import orjson
import structlog
from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from serving.auth import only_own
from serving.payloads import Instance
from serving.rules.policy import Policy
from serving.rules.rules import Rules

log = structlog.get_logger()


class Host(Protocol):
    """What holds the rules and answers by them."""

    def rules(self) -> tuple[Rules, str]:
        """The rules in force and their version."""

    def set_rules(self, document: bytes, expected: str | None) -> str:
        """Replace the document if its version is ``expected`` (None: whatever it is); the new version.

        Raises
        ------
        RequestError
            With status 412: it has another version by now.
        """

    def compile(self, rules: Rules) -> Policy:
        """Rules over the release that is served."""

    def warnings(self, rules: Rules) -> list[str]:
        """What the rules name and the release does not hold; see :func:`serving.rules.check.warnings`."""

    def preview(self, instance: Instance, policy: Policy | None = None) -> dict[str, Any]:
        """Answer one question, by other rules if they are given; nothing is recorded."""


class Preview(BaseModel):
    """Rules to try, and a question to try them on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Rules
    instance: Instance = Instance()


def routes(host: Host) -> APIRouter:
    """The routes over one host."""
    router = APIRouter()

    @router.get("/v1/rules")
    async def get_rules() -> JSONResponse:
        rules, version = host.rules()
        return JSONResponse(rules.document(), headers={"etag": f'"{version}"'})

    @router.put("/v1/rules")
    async def put_rules(rules: Rules, if_match: Annotated[str | None, Header()] = None) -> JSONResponse:
        document = orjson.dumps(rules.document())
        version = await asyncio.to_thread(host.set_rules, document, _expected(if_match))
        log.info("rules changed", version=version)
        answer = {"version": version, "warnings": await asyncio.to_thread(host.warnings, rules)}
        return JSONResponse(answer, headers={"etag": f'"{version}"'})

    @router.post("/v1/rules/preview")
    async def preview_rules(body: Preview) -> JSONResponse:
        only_own([body.instance.associate_id], "instance")
        return JSONResponse(await asyncio.to_thread(_preview, host, body))

    return router


def _expected(if_match: str | None) -> str | None:
    """The version of an If-Match header; ``*`` stands for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"')


def _preview(host: Host, body: Preview) -> dict[str, Any]:
    instance = body.instance.model_copy(update={"explain": True})
    if instance.context.time is None:
        # Both answers are of the same moment.
        now = instance.context.model_copy(update={"time": instance.seconds()})
        instance = instance.model_copy(update={"context": now})
    before = host.preview(instance)
    after = host.preview(instance, host.compile(body.rules))
    return {
        "before": before,
        "after": after,
        "moves": _moves(before, after),
        "warnings": host.warnings(body.rules),
    }


def _moves(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pages whose place changes, from 1; null where they are not shown."""
    was, now = _places(before["items"]), _places(after["items"])
    titles = {item["page_id"]: item["title"] for item in (*before["items"], *after["items"])}
    rules = {item["page_id"]: item["moves"] for item in after["items"]}
    return [
        {
            "page_id": page,
            "title": titles[page],
            "before": was.get(page),
            "after": now.get(page),
            "rules": rules.get(page, []),
        }
        for page in [*now, *(page for page in was if page not in now)]
        if was.get(page) != now.get(page)
    ]


def _places(items: Collection[Mapping[str, Any]]) -> dict[str, int]:
    return {item["page_id"]: place for place, item in enumerate(items, start=1)}
