"""Answers requests from one release: history, candidates, features, ranks. Knows no web framework."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.encoding import encode
from components.contract.features import NUMERIC, FeatureBuilder
from components.contract.ranking import Ranker
from components.contract.release import Release
from components.contract.requests import HISTORY, Requests
from components.contract.retrieval import SOURCE_STEPS, SOURCES, RetrievalSettings, load_retriever
from components.contract.settings import section
from components.contract.trends import DAY, SEGMENTS, Openings, TrendCounters
from serving.metrics import CANDIDATES, STAGE
from serving.payloads import MOST_EXCLUDED, MOST_ITEMS, Instance, Visit
from serving.reasons import reason
from serving.store import Store, StoredEvent

_MANDATORY = NUMERIC.index("mandatory")
_NOBODY = -1
# Where no source names a page, and popularity and age alone put it on the shortlist.
CATALOGUE = "catalogue"


class _Past(NamedTuple):
    """Distinct pages that an associate opened, in order of time."""

    page: NDArray[np.int32]
    time: NDArray[np.float64]


_NOTHING = _Past(np.empty(0, np.int32), np.empty(0))


class _Attribute:
    """One attribute of all associates: a number for each, and what the numbers stand for."""

    def __init__(self, column: pl.Series):
        self._values, codes = encode(column)
        self._codes = codes.astype(np.int32)

    def __getitem__(self, row: int) -> str:
        return "" if row == _NOBODY else str(self._values[self._codes[row]])


@dataclass(frozen=True)
class Scored:
    """A batch of requests, its candidates and their probabilities."""

    requests: Requests
    row: NDArray[np.int32]
    page: NDArray[np.int32]
    source: NDArray[np.int32]
    mandatory: NDArray[np.bool_]
    score: NDArray[np.float32]


class Engine:
    """Recommends pages.

    Parameters
    ----------
    release : Release
        Verified.
    store : Store, optional
        Events since the release; without one the release alone counts.

    Raises
    ------
    ReleaseError
        A part is missing or was made by another version.
    """

    def __init__(self, release: Release, store: Store | None = None):
        self.name = release.name
        self._store = store
        self._writing, self._counting = threading.Lock(), threading.Lock()
        dataset = Dataset.load(release.root)
        self._dataset = dataset
        settings = json.loads(release.part("settings.json").read_text())
        folders = {name: release.part(name) for name in SOURCE_STEPS}
        retrieval = section(settings, "retrieval", RetrievalSettings)
        # A candidate's features do not depend on how many there are, so a list may be longer than
        # those that the ranker learned on; this long, what is excluded never empties an answer.
        shortlist = max(retrieval.shortlist, MOST_ITEMS + MOST_EXCLUDED)
        self._retriever = load_retriever(
            dataset.pages, folders, retrieval.model_copy(update={"shortlist": shortlist})
        )
        self._features = FeatureBuilder(dataset)
        self._counters = TrendCounters.load(release.part("trending") / "counters.npz")
        self._rank = Ranker(release.ranker).bind(self._features.values)
        self._titles = dataset.pages["title"].fill_null("").to_list()
        self._page_ids = dataset.page_ids.tolist()
        self._page_row = {page_id: row for row, page_id in enumerate(self._page_ids)}
        self._associate_ids = dataset.associates[c.ASSOCIATE_ID].to_numpy().astype(np.str_)
        self._attributes = {name: _Attribute(dataset.associates[name]) for name in c.ASSOCIATE_ATTRIBUTES}
        self._hired = dataset.associates["hired_at"].to_numpy().astype(np.float64)
        owner = dataset.column(c.ASSOCIATE)
        self._bounds = np.searchsorted(owner, np.arange(len(self._associate_ids) + 1))
        self._page, self._time = dataset.column(c.PAGE), dataset.column(c.TIME)
        self._forgotten: set[str] = set()
        if store is not None:
            self._forgotten = store.forgotten()
            self._replay(store)

    @property
    def pages(self) -> int:
        """Size of the catalogue."""
        return self._dataset.n_pages

    @property
    def last_event(self) -> float:
        """Epoch seconds of the last event that the release saw."""
        return float(self._dataset.meta["span"][1])

    def examples(self, size: int = 20) -> list[str]:
        """Ids of associates with much history, to try the server on."""
        most = np.argsort(-np.diff(self._bounds), kind="stable")[:size]
        return [str(self._associate_ids[row]) for row in most]

    def page_exists(self, page_id: str) -> bool:
        """Whether the release knows a page."""
        return page_id in self._page_row

    def warm_up(self) -> None:
        """Answer once, so that the first real request finds every path traced."""
        known = str(self._associate_ids[0]) if len(self._associate_ids) else None
        self.recommend([Instance(associate_id=known), Instance()])

    def _replay(self, store: Store) -> None:
        """Count the engagements since the release; those that it holds already do not count twice."""
        seen: dict[str, set[int]] = {}
        fresh = []
        for event in store.engagements():
            row = self._page_row.get(event.page_id)
            if row is None:
                continue
            pages = seen.setdefault(event.associate_id, set(self._released(event.associate_id).page.tolist()))
            if row not in pages:
                pages.add(row)
                fresh.append(event)
        self._count(fresh)

    def _count(self, events: Sequence[StoredEvent]) -> None:
        if not events:
            return
        rows = [self._find(event.associate_id) for event in events]
        attributes = {name: np.array([self._attributes[name][row] for row in rows]) for name in SEGMENTS}
        pages = np.array([self._page_row[event.page_id] for event in events], np.int32)
        with self._counting:
            self._counters.add(Openings(np.array([event.time for event in events]), pages, attributes))

    def observe(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Store events and let the next request see them; returns the new ones."""
        if self._store is None:
            raise RuntimeError("this server keeps no events")
        # One writer at a time; readers do not wait for the disk.
        with self._writing:
            before = {
                associate_id: set(self._past(associate_id).page.tolist())
                for associate_id in {event.associate_id for event in events}
            }
            added = self._store.append(events)
            first = []
            for event in sorted(added, key=lambda event: event.time):
                row = self._page_row.get(event.page_id)
                seen = before[event.associate_id]
                if event.event_type in c.ENGAGEMENTS and row is not None and row not in seen:
                    seen.add(row)
                    first.append(event)
            self._count(first)
        return added

    def forget(self, associate_id: str) -> None:
        """Remove an associate: events, history and attributes are not known any more."""
        if self._store is None:
            raise RuntimeError("this server keeps no events")
        with self._writing:
            self._store.forget(associate_id)
            self._forgotten.add(associate_id)

    def _find(self, associate_id: str | None) -> int:
        if not associate_id or associate_id in self._forgotten or not len(self._associate_ids):
            return _NOBODY
        row = int(np.searchsorted(self._associate_ids, associate_id))
        found = row < len(self._associate_ids) and self._associate_ids[row] == associate_id
        return row if found else _NOBODY

    def _released(self, associate_id: str | None) -> _Past:
        row = self._find(associate_id)
        if row == _NOBODY:
            return _NOTHING
        part = slice(self._bounds[row], self._bounds[row + 1])
        return _Past(self._page[part], self._time[part])

    def _past(self, associate_id: str | None, more: Sequence[tuple[str, float]] = ()) -> _Past:
        """First visits to distinct pages: the release's, the store's, and those given."""
        released = self._released(associate_id)
        later = list(more)
        if self._store is not None and associate_id and associate_id not in self._forgotten:
            later += self._store.visits(associate_id)
        if not later:
            return released
        first = dict(zip(released.page.tolist(), released.time.tolist(), strict=True))
        for page_id, when in later:
            row = self._page_row.get(page_id)
            if row is not None:
                first[row] = min(when, first.get(row, when))
        page, time = np.array(list(first), np.int32), np.array(list(first.values()))
        order = np.lexsort((page, time))
        return _Past(page[order], time[order])

    def _requests(self, instances: Sequence[Instance]) -> tuple[Requests, list[bool]]:
        """Turn instances into a batch; also whether each is a cold start."""
        size = len(instances)
        time = np.array([instance.seconds() for instance in instances])
        owner = [self._find(instance.associate_id) for instance in instances]
        history_page = np.full((size, HISTORY), -1, np.int32)
        history_time = np.full((size, HISTORY), np.nan)
        seen = []
        for i, instance in enumerate(instances):
            past = self._past(instance.associate_id, _given(instance, time[i]))
            # Only what was known strictly before the request.
            known = int(np.searchsorted(past.time, time[i], side="left"))
            seen.append(past.page[:known])
            recent = slice(max(known - HISTORY, 0), known)
            history_page[i, : min(known, HISTORY)] = past.page[recent][::-1]
            history_time[i, : min(known, HISTORY)] = past.time[recent][::-1]
        count = np.array([len(pages) for pages in seen], np.int32)
        hired = np.array([np.nan if row == _NOBODY else self._hired[row] for row in owner])
        requests = Requests(
            time=time,
            associate_id=np.array(["" if row == _NOBODY else str(self._associate_ids[row]) for row in owner]),
            attributes={
                name: np.array(
                    [
                        self._attributes[name][row] if asked is None else asked
                        for row, asked in zip(
                            owner, (getattr(one.context, name) for one in instances), strict=True
                        )
                    ],
                    np.str_,
                )
                for name in c.ASSOCIATE_ATTRIBUTES
            },
            history_page=history_page,
            history_time=history_time,
            history_count=count,
            seen_row=np.repeat(np.arange(size, dtype=np.int32), count),
            seen_page=np.concatenate(seen),
            target=np.full(size, -1, np.int32),
            tenure_days=np.maximum((time - hired) / DAY, 0.0),
        )
        return requests, [row == _NOBODY and not known for row, known in zip(owner, count, strict=True)]

    def score(self, instances: Sequence[Instance]) -> tuple[Scored, list[bool]]:
        """Shortlist and score a batch; also whether each instance is a cold start."""
        with STAGE.labels("history").time():
            requests, cold = self._requests(instances)
        with STAGE.labels("candidates").time():
            with self._counting:
                trends, opened = self._counters.at(requests), self._counters.first_opened.copy()
            shortlist = self._retriever.shortlist(requests, trends)
        with STAGE.labels("features").time():
            features = self._features(requests, shortlist, opened)
        with STAGE.labels("ranking").time():
            score = self._rank(features.numeric, features.categorical)
        for place, count in zip(*np.unique(shortlist.source, return_counts=True), strict=True):
            CANDIDATES.labels(SOURCES[place] if place >= 0 else CATALOGUE).inc(int(count))
        mandatory = features.numeric[:, _MANDATORY] > 0
        return Scored(requests, shortlist.row, shortlist.page, shortlist.source, mandatory, score), cold

    def recommend(self, instances: Sequence[Instance]) -> list[dict[str, Any]]:
        """The best pages for each instance, as the REST contract has them."""
        scored, cold = self.score(instances)
        bounds = np.searchsorted(scored.row, np.arange(len(instances) + 1))
        answers = []
        for i, instance in enumerate(instances):
            at = np.arange(bounds[i], bounds[i + 1])
            excluded = [self._page_row[page] for page in instance.exclude if page in self._page_row]
            if excluded:
                at = at[~np.isin(scored.page[at], excluded)]
            at = at[np.argsort(-scored.score[at], kind="stable")[: instance.limit]]
            answers.append(
                {
                    "associate_id": instance.associate_id,
                    "request_id": uuid4().hex,
                    "release": self.name,
                    "fallback": "cold_start" if cold[i] else None,
                    "items": [self._item(scored, i, j) for j in at.tolist()],
                }
            )
        return answers

    def _item(self, scored: Scored, i: int, j: int) -> dict[str, Any]:
        page = int(scored.page[j])
        place = int(scored.source[j])
        source = SOURCES[place] if place >= 0 else ""
        evidence = self._retriever.evidence(source, scored.requests, i, page)
        return {
            "page_id": self._page_ids[page],
            "title": self._titles[page],
            "score": float(scored.score[j]),
            "source": source or CATALOGUE,
            "reason": reason(
                source,
                title=self._titles[evidence] if evidence >= 0 else None,
                role=str(scored.requests.attributes["role"][i]),
                shift=str(scored.requests.attributes["shift"][i]),
                history=bool(scored.requests.history_count[i]),
                mandatory=bool(scored.mandatory[j]),
            ),
        }


def _given(instance: Instance, now: float) -> list[tuple[str, float]]:
    """The history that came with a question. Pages without a time were opened just before it."""
    last = len(instance.history)
    return [
        (item.page_id, item.time) if isinstance(item, Visit) else (item, now - 1e-3 * (last - place))
        for place, item in enumerate(instance.history)
    ]
