"""Counts what became of answers, by the release that gave them: the rollout compares releases by it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import orjson

from components.contract import columns as c
from components.contract.release import is_name
from serving.metrics import FEEDBACK
from serving.stores.base import StoredEvent

_KINDS = {c.IMPRESSION, c.VIEW, c.COMPLETE}


class FeedbackCounter:
    """Counts the first impression, view and completion of each answer.

    Several clicks on one answer are not independent, and a test that takes them so finds
    differences that are not there. What was counted is remembered by this process alone, for
    the latest ``remembered`` answers.

    Parameters
    ----------
    remembered : int
    """

    def __init__(self, remembered: int = 100_000):
        self._counted: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._remembered = remembered

    def add(self, events: Iterable[StoredEvent]) -> None:
        """Count new events that name the answer and the release that they belong to."""
        for event in events:
            if event.event_type not in _KINDS:
                continue
            row = orjson.loads(event.row)
            release, answer = row.get(c.RELEASE), (row.get(c.REQUEST_ID), event.event_type)
            # Anybody may post events: a name that is none would make a series of its own.
            if not answer[0] or answer in self._counted or not is_name(release or ""):
                continue
            self._counted[answer] = None
            if len(self._counted) > self._remembered:
                self._counted.popitem(last=False)
            FEEDBACK.labels(release, event.event_type).inc()
