"""The rules document: what it may hold. An empty one means the defaults.

Times are ISO 8601 text with a zone, or seconds or milliseconds since 1970. They are compared with
the time of a request, so that an old log replays under the rules as they would have been.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from serving.errors import RequestError
from serving.payloads import Attribute, Identifier, Instant, describe

# Attributes by which associates are selected, and the field of an audience that lists their values.
AUDIENCE_FIELDS = {
    "role": "roles",
    "department": "departments",
    "store": "stores",
    "region": "regions",
    "shift": "shifts",
    "locale": "locales",
}
# What explanations call the rules that are not in lists.
BUILT_IN = ("retired", "completed", "opened", "prerequisites", "mandatory", "topics", "diversity")
_MOST_RULES = 500
_MOST_NAMED = 10_000


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


Date = Annotated[Instant | None, PlainSerializer(_iso, when_used="json")]
Names = Annotated[tuple[Attribute, ...], Field(max_length=_MOST_NAMED)]
PageIds = Annotated[tuple[Identifier, ...], Field(max_length=_MOST_NAMED)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)


class Pages(_Model):
    """Pages that any of the lists names."""

    ids: PageIds = ()
    topics: Names = ()
    formats: Names = ()

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.ids or self.topics or self.formats):
            raise ValueError("name at least one of ids, topics or formats")
        return self


class Audience(_Model):
    """Associates that have one of the values of each list given; everybody where none is given."""

    roles: Names = ()
    departments: Names = ()
    stores: Names = ()
    regions: Names = ()
    shifts: Names = ()
    locales: Names = ()


class _Rule(_Model):
    name: Annotated[Attribute, Field(min_length=1)] | None = Field(
        None, description="What explanations call the rule; made from its place if not given"
    )


class _Dated(_Rule):
    audience: Audience = Audience()
    from_: Date = Field(None, alias="from", description="First moment at which the rule holds")
    until: Date = Field(None, description="The rule holds before this moment")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ is not None and self.until is not None and self.from_ >= self.until:
            raise ValueError("until must be later than from")
        return self


class Eligible(_Rule):
    """These pages only for this audience."""

    pages: Pages
    audience: Audience


class Pin(_Dated):
    """A page that keeps a place, 1 being the first."""

    page: Identifier
    position: int = Field(1, ge=1, le=100, strict=True)


class Boost(_Dated):
    """A factor on the scores of pages: above 1 moves them up, below 1 down."""

    pages: Pages
    factor: float = Field(gt=0, le=100, allow_inf_nan=False)


class Block(_Dated):
    """Pages that are not shown."""

    pages: Pages


class Completed(_Model):
    """What becomes of pages that the associate completed."""

    hide: bool = Field(True, strict=True, description="Completed pages are not shown again")
    recertify: bool = Field(
        True, strict=True, description="They are, when `recertify_days` of the page have nearly passed"
    )


class Opened(_Model):
    """What becomes of pages that the associate opened and never completed."""

    return_after_days: float | None = Field(
        None, ge=0, le=3650, description="Days after which they may be shown again; null: never"
    )


class Mandatory(_Model):
    """Pages required for the associate's role (`mandatory_for`), until they are done."""

    pin: bool = Field(True, strict=True, description="Pin those that are overdue or due soon")
    most: int = Field(2, ge=0, le=10, strict=True, description="Most pages pinned so")
    until: Literal["completed", "opened"] = Field(
        "completed", description="What makes one done; `opened` where no completions are logged"
    )


class Topics(_Model):
    """At most so many pages of one topic among the first ones."""

    most: int | None = Field(None, ge=1, le=100, strict=True, description="null: no limit")
    first: int = Field(10, ge=1, le=100, strict=True)


class Diversity(_Model):
    """Maximal marginal relevance: score against likeness to the pages above."""

    lambda_: float = Field(1.0, ge=0, le=1, alias="lambda", description="Weight of the score; 1: off")


class Rules(_Model):
    """A rules document."""

    eligibility: Annotated[tuple[Eligible, ...], Field(max_length=_MOST_RULES)] = ()
    retired: PageIds = ()
    completed: Completed = Completed()
    opened: Opened = Opened()
    prerequisites: Literal["off", "hide", "replace"] = "off"
    mandatory: Mandatory = Mandatory()
    due_within_days: float = Field(14, ge=0, le=365, description="How near a date is for a page to be due")
    pins: Annotated[tuple[Pin, ...], Field(max_length=_MOST_RULES)] = ()
    boosts: Annotated[tuple[Boost, ...], Field(max_length=_MOST_RULES)] = ()
    blocks: Annotated[tuple[Block, ...], Field(max_length=_MOST_RULES)] = ()
    topics: Topics = Topics()
    diversity: Diversity = Diversity()

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        taken = set(BUILT_IN)
        for place, name, _ in self.listed():
            if name in taken:
                raise ValueError(f"{place}.name: {name!r} is the name of another rule")
            taken.add(name)
        return self

    def listed(self) -> list[tuple[str, str, Eligible | Pin | Boost | Block]]:
        """Each rule of the lists: its place ("boosts[2]"), its name and itself."""
        return [
            (f"{field}[{place}]", rule.name or f"{field}[{place}]", rule)
            for field in ("eligibility", "pins", "boosts", "blocks")
            for place, rule in enumerate(getattr(self, field))
        ]

    def document(self) -> dict[str, Any]:
        """The document as it was written: what was not given is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def parse_rules(document: bytes) -> Rules:
    """Read a document.

    Raises
    ------
    RequestError
        Names the field: ``boosts[2].factor: Input should be greater than 0``.
    """
    try:
        return Rules.model_validate(orjson.loads(document))
    except orjson.JSONDecodeError as error:
        raise RequestError("rules: not JSON") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RequestError(describe(first, "")) from error
