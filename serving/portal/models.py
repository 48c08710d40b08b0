"""What the portal's interface answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serving.payloads import Instance


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(_Answer):
    """What is served, and what this server can do."""

    release: str
    pages: int = Field(ge=0)
    last_event: float = Field(description="Of the release, epoch seconds")
    now: float = Field(description="The server's clock, epoch seconds")
    home: bool = Field(description="Whether releases can be listed and published")
    store: bool = Field(description="Whether events are taken and answers recorded")
    attributes: dict[str, list[str]] = Field(description="Values of role, shift and so on in the release")
    associate_id: str | None = Field(description="Whose token it is; null without one, and for services")
    somebody: str | None = Field(
        description="An associate with much history, to look as; null where the token may not list people"
    )
    groups: dict[str, str] = Field(description="Groups of features that explanations name, in words")


class PageSummary(_Answer):
    """A page as a card shows it."""

    page_id: str
    title: str
    topic: str | None
    format: str | None
    duration_seconds: float | None


class PageList(_Answer):
    """Pages that were found, best first."""

    pages: list[PageSummary]
    total: int = Field(ge=0, description="How many were found in all")


class SimilarPage(PageSummary):
    """A page about the same."""

    score: float


class PageDetail(PageSummary):
    """All that the release holds of a page."""

    body: str | None
    published_at: datetime | None
    retired: bool
    roles: list[str]
    mandatory_for: list[str]
    due_days: float | None
    recertify_days: float | None
    prerequisites: list[PageSummary]
    similar: list[SimilarPage]


class AssociateSummary(_Answer):
    """An associate of the release."""

    associate_id: str
    role: str
    shift: str


class AssociateList(_Answer):
    """Associates that were found."""

    associates: list[AssociateSummary]


class OpenedPage(_Answer):
    """A page that an associate opened."""

    page_id: str
    title: str
    time: float = Field(description="When first, epoch seconds")


class AssociateDetail(_Answer):
    """What the server knows of an associate."""

    associate_id: str
    known: bool = Field(description="Whether the release or the store knows the id")
    attributes: dict[str, str]
    opened: int = Field(ge=0, description="Pages opened")
    completed: int = Field(ge=0, description="Pages completed")
    latest: float | None = Field(description="Of the last thing known, epoch seconds")
    history: list[OpenedPage] = Field(description="Pages opened, the latest first, at most 50")


class ReleaseLineage(_Answer):
    """Where a release comes from."""

    data: dict[str, Any]
    code: str
    run: str
    parent: str | None
    inherited: dict[str, str]


class ReleaseSummary(_Answer):
    """One release of HOME."""

    name: str
    kind: str
    created: datetime
    current: bool = Field(description="HOME's pointer leads to it")
    serving: bool = Field(description="It answers now")
    metrics: dict[str, float | int | str]
    lineage: ReleaseLineage


class ReleaseList(_Answer):
    """Releases of HOME, newest data first."""

    releases: list[ReleaseSummary]


class ReleaseDetail(ReleaseSummary):
    """One release, with its evaluation."""

    digest: str
    files: int
    bytes: int
    evaluation: dict[str, Any] | None
    reports: list[str] = Field(description="Kinds of reports that can be opened")


class Published(_Answer):
    """The pointer was moved."""

    release: str
    previous: str | None


class WhatIf(BaseModel):
    """A question, and which release is to answer it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instance: Instance = Instance()
    release: str | None = Field(
        None, max_length=64, description="A release of HOME; the one that answers if none is named"
    )


class Findings(_Answer):
    """What the last validation into this HOME found."""

    validated: bool = Field(description="Whether one has run")
    day: str | None
    findings: list[dict[str, Any]]


class Fact(_Answer):
    """One feature of a page, as the ranker saw it."""

    name: str
    value: float | str


class FactGroup(_Answer):
    """Features that say the same kind of thing."""

    key: str
    title: str
    facts: list[Fact]


class RecordedItem(_Answer):
    """One page of a recorded answer."""

    page_id: str
    title: str
    position: int
    score: float
    source: str
    reason: str
    propensity: float
    features: list[FactGroup] | None = Field(description="Only where they were recorded")


class RecordedAnswer(_Answer):
    """An answer as it was given."""

    request_id: str
    associate_id: str
    time: float
    release: str
    fallback: str | None
    context: dict[str, str]
    items: list[RecordedItem]


class AnswerSummary(_Answer):
    """An answer, in a list."""

    request_id: str
    time: float
    release: str
    fallback: str | None
    pages: list[str] = Field(description="Titles of the first pages")


class AnswerList(_Answer):
    """The latest answers to an associate, newest first."""

    answers: list[AnswerSummary]


class Distribution(_Answer):
    """A histogram since the process began."""

    bounds: list[float] = Field(
        description="Upper bounds of the buckets; what is above the last is in count only"
    )
    counts: list[float] = Field(description="Observations up to each bound")
    count: float
    sum: float


class LiveMetrics(_Answer):
    """Counters of this process since it began; a reader shows differences."""

    time: float
    release: str
    release_created: float
    release_last_event: float
    in_flight: float
    responses: dict[str, float] = Field(description="By status")
    instances: dict[str, float] = Field(description="By fallback")
    items: dict[str, float] = Field(description="Pages shown, by source")
    events: dict[str, float] = Field(description="By outcome")
    feedback: dict[str, float] = Field(description="By event type")
    answers: dict[str, float] = Field(description="Records, by outcome")
    recommend: Distribution
    top_score: Distribution
    stages: dict[str, float] = Field(description="Mean seconds of each stage")
    pages_shown: float
    store_down: bool | None = Field(description="Null without a store")
    store_errors: float
    log_age_seconds: float | None = Field(description="Since this process last reached the log's end")
