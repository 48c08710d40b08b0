"""What Prometheus is told, beside KServe's own metrics; docs/metrics.md lists them."""

from __future__ import annotations

import functools
import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from prometheus_client import Counter, Gauge, Histogram

from serving.stores.base import Store

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)

RESPONSES = Counter("waymark_http_responses", "HTTP answers", ["release", "method", "status"])
HTTP_SECONDS = Histogram(
    "waymark_http_seconds",
    "Time of a request from its first byte to its answer, by the scope that it needs",
    ["scope"],
    buckets=_BUCKETS,
)
IN_FLIGHT = Gauge("waymark_http_in_flight", "Requests that are being answered")

INSTANCES = Counter("waymark_instances", "Instances answered", ["release", "fallback"])
ITEMS = Counter("waymark_items", "Pages shown, by the source that has them highest", ["release", "source"])
CANDIDATES = Counter(
    "waymark_candidates", "Pages shortlisted, by the source that has them highest", ["source"]
)
TOP_SCORE = Histogram(
    "waymark_top_score",
    "Score of the first page of each answer",
    ["release"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
)
PAGES_SHOWN = Gauge(
    "waymark_pages_shown", "Different pages that this process has shown since the release was loaded"
)
PAGES = Gauge("waymark_pages", "Pages in the catalogue of the release")
ASSOCIATES = Gauge("waymark_associates", "Associates that the release knows")
LISTED = Gauge("waymark_listed_associates", "Associates for whom the release holds a precomputed list")
STAGE = Histogram(
    "waymark_stage_seconds", "Time of one predict call in each stage", ["stage"], buckets=_BUCKETS
)
LATENCY = Histogram(
    "waymark_recommend_seconds", "Time to answer one predict call", ["release"], buckets=_BUCKETS
)
ANSWERS = Counter("waymark_answers", "Answers for the log of answers", ["outcome"])

EVENTS = Counter("waymark_events", "Events received", ["outcome"])
FEEDBACK = Counter(
    "waymark_feedback",
    "First impression, view and completion of each answer, by the release that gave it",
    ["release", "event_type"],
)

STORE_SECONDS = Histogram(
    "waymark_store_seconds", "Time of one call to the store", ["operation", "outcome"], buckets=_BUCKETS
)
STORE_ERRORS = Counter("waymark_store_errors", "Calls in which the store failed while an answer waited")
STORE_DOWN = Gauge("waymark_store_down", "1 while answers do without the store")
LOG_READ = Gauge(
    "waymark_log_read_timestamp_seconds", "When this process last reached the end of the store's log"
)

RELEASES = Counter("waymark_releases", "Releases that the server tried to take over", ["outcome"])
RELEASE_CREATED = Gauge(
    "waymark_release_created_timestamp_seconds", "When the release that answers was made", ["release"]
)
RELEASE_LAST_EVENT = Gauge(
    "waymark_release_last_event_timestamp_seconds", "Last event that the release was made from"
)


# What has been looked up by its labels; that takes longer than to count.
_found = functools.lru_cache(1000)
_instances, _items = _found(INSTANCES.labels), _found(ITEMS.labels)
_top_score, recommend_seconds = _found(TOP_SCORE.labels), _found(LATENCY.labels)


class AnswerMetrics:
    """Counts what answers hold."""

    def __init__(self) -> None:
        self._release = ""
        self._shown: set[str] = set()

    def add(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Count the answers to one predict call, which are all of one release."""
        release = answers[0]["release"]
        if release != self._release:
            self._release, self._shown = release, set()
        sources: Tally[str] = Tally()
        for answer in answers:
            _instances(release, answer["fallback"] or "none").inc()
            items = answer["items"]
            if items:
                _top_score(release).observe(items[0]["score"])
            sources.update([item["source"] for item in items])
            self._shown.update([item["page_id"] for item in items])
        for source, count in sources.items():
            _items(release, source).inc(count)
        PAGES_SHOWN.set(len(self._shown))


def release_loaded(
    name: str, created: float, last_event: float, pages: int, associates: int, listed: int
) -> None:
    """Say which release answers from now on; times are epoch seconds."""
    RELEASE_CREATED.clear()
    RELEASE_CREATED.labels(name).set(created)
    RELEASE_LAST_EVENT.set(last_event)
    PAGES.set(pages)
    ASSOCIATES.set(associates)
    LISTED.set(listed)


def timed(store: Store, span: Callable[[str], AbstractContextManager[object]] = nullcontext) -> Store:
    """The same store; each call's time and outcome is counted.

    Parameters
    ----------
    store : Store
    span : callable, optional
        Takes an operation's name; what it gives is entered around the call.
    """
    return cast(Store, _Timed(store, span))


class _Timed:
    def __init__(self, store: Store, span: Callable[[str], AbstractContextManager[object]]):
        self._store, self._span = store, span

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self._store, operation)
        span = self._span
        good, bad = (STORE_SECONDS.labels(operation, outcome) for outcome in ("ok", "error"))

        def call(*positional: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                with span(operation):
                    found = method(*positional, **named)
            except Exception:
                bad.observe(time.perf_counter() - began)
                raise
            good.observe(time.perf_counter() - began)
            return found

        # The next use finds it without coming here.
        self.__dict__[operation] = call
        return call
