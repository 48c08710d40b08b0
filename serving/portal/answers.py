"""Recorded answers in plain words: what was shown, why, and what the ranker saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from components.contract.features import NUMERIC
from serving.explain import GROUPS
from serving.portal.models import AnswerSummary, Fact, FactGroup, RecordedAnswer, RecordedItem
from serving.stores.base import Answer

TITLES = {
    "history_path": "What is opened after what",
    "neighbours": "What the same people opened",
    "content": "Topic and text",
    "two_tower": "Taste as a whole",
    "trends": "What is popular now",
    "agreement": "How many sources agree",
    "page": "The page itself",
    "time_and_shift": "Time and shift",
    "associate": "The associate",
    "requirements": "Requirements",
}
_WORDS = {
    "transitions": "opened after the latest pages",
    "transitions_last": "opened after the last page",
    "within_last": "opened after the last page in one session",
    "between_last": "opened in the session after the last page",
    "skip_last": "opened a step after the last page",
    "before_last": "opened before the last page",
    "ahead_last": "opened long after the last page",
    "behind_last": "opened long before the last page",
    "within_second": "opened after the page before, in one session",
    "skip_second": "opened a step after the page before",
    "ahead_history": "opened long after the whole history",
    "ease": "opened by the same people (EASE)",
    "ease_last": "opened by people of the last page (EASE)",
    "item_knn": "opened by the same people (neighbours)",
    "item_knn_last": "opened by people of the last page (neighbours)",
    "skip_gram": "opened in sessions like these",
    "skip_gram_last": "opened in sessions with the last page",
    "content": "like the pages opened",
    "content_last": "like the last page",
    "two_tower": "fits the associate (two-tower)",
    "series": "beside the latest pages in the catalogue",
    "series_step": "steps from the last page in the catalogue",
    "series_step_second": "steps from the page before in the catalogue",
    "series_near": "distance to the nearest of the latest pages",
    "trend_role": "popular in the role",
    "trend_shift": "popular on the shift",
    "trend_hour": "popular at this hour",
    "trend_1d": "popular today",
    "trend_7d": "popular this week",
    "trend_30d": "popular this month",
    "popularity": "popular ever",
    "momentum_day": "rising since yesterday",
    "momentum_week": "rising this week",
    "agreement": "sources that have it among their first ten",
    "fused_rank": "places in all sources together",
    "page_age": "age of the page",
    "page_unopened": "opened by nobody yet",
    "duration": "length of the page",
    "click_rate": "share of impressions opened",
    "completion_rate": "share of openings completed",
    "skip_rate": "share of impressions skipped",
    "dwell": "time spent on it",
    "rating": "rating",
    "topic_share": "share of the history in its topic",
    "topic_last": "same topic as the last page",
    "format_share": "share of the history in its format",
    "labels_last": "labels shared with the last page",
    "labels_second": "labels shared with the page before that",
    "labels_history": "labels shared with the history",
    "prerequisites": "pages to be done before it",
    "prerequisites_met": "share of them done",
    "mandatory": "required for the role",
    "history_count": "pages opened before",
    "since_last": "time since the last page",
    "since_previous": "time between the last two pages",
    "session_position": "pages in this session",
    "tenure": "time with the company",
    "hour_sin": "hour of the day (sine)",
    "hour_cos": "hour of the day (cosine)",
}
_SIDES = {"score": "", "rank": ", place", "raw": ", strength", "count": ", count"}
_FIRST = 5


def describe(name: str) -> str:
    """A feature's name in words.

    Examples
    --------
    >>> describe("trend_7d.rank"), describe("tenure")
    ('popular this week, place', 'time with the company')
    """
    base, _, side = name.partition(".")
    return _WORDS.get(base, base.replace("_", " ")) + _SIDES.get(side, "")


_GROUP = {start: group for group, starts in GROUPS.items() for start in starts}
_FACTS = {name: (_GROUP.get(name.partition(".")[0], ""), describe(name)) for name in NUMERIC}


def facts(features: Mapping[str, float]) -> list[FactGroup]:
    """The numbers that a ranker saw of one page, by group; zeros are left out, and unknown names."""
    found: dict[str, list[Fact]] = {}
    for feature, value in features.items():
        group, name = _FACTS.get(feature, ("", ""))
        if group and value:
            found.setdefault(group, []).append(Fact(name=name, value=round(value, 4)))
    return [
        FactGroup(key=group, title=TITLES[group], facts=found[group]) for group in GROUPS if group in found
    ]


def recorded(answer: Answer, title: Callable[[str], str]) -> RecordedAnswer:
    """One answer.

    Parameters
    ----------
    answer : Answer
    title : callable
        Gives the title of a page.
    """
    body: dict[str, Any] = orjson.loads(answer.body)
    return RecordedAnswer(
        request_id=answer.request_id,
        associate_id=answer.associate_id,
        time=body["time"],
        release=body["release"],
        fallback=body["fallback"],
        context={name: value for name, value in body["context"].items() if value},
        items=[_item(item, title) for item in body["items"]],
    )


def _item(item: Mapping[str, Any], title: Callable[[str], str]) -> RecordedItem:
    features = facts(item["features"]) if "features" in item else None
    names = ("page_id", "position", "score", "source", "reason", "propensity")
    return RecordedItem(
        title=title(item["page_id"]), features=features, **{name: item[name] for name in names}
    )


def summary(answer: Answer, title: Callable[[str], str]) -> AnswerSummary:
    """One answer, for a list."""
    body: dict[str, Any] = orjson.loads(answer.body)
    return AnswerSummary(
        request_id=answer.request_id,
        time=body["time"],
        release=body["release"],
        fallback=body["fallback"],
        pages=[title(item["page_id"]) for item in body["items"][:_FIRST]],
    )
