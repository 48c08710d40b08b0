"""Answers requests from one release: history, candidates, features, ranks. Knows no web framework."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import structlog
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.features import NUMERIC, FeatureBuilder
from components.contract.ranking import Ranker
from components.contract.release import Release
from components.contract.requests import HISTORY, Requests
from components.contract.retrieval import SOURCE_STEPS, SOURCES, RetrievalSettings, load_retriever
from components.contract.settings import section
from components.contract.trends import DAY, Openings, TrendCounters
from serving.payloads import Instance, Visit, seconds
from serving.reasons import reason
from serving.store import Store, StoredEvent

log = structlog.get_logger()
_MANDATORY = NUMERIC.index("mandatory")
_NOBODY = -1


class _Past(NamedTuple):
    """Distinct pages that an associate opened, in order of time."""

    page: list[int]
    time: list[float]


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
        self._lock = threading.Lock()
        dataset = Dataset.load(release.root)
        self._dataset = dataset
        settings = json.loads(release.part("settings.json").read_text())
        folders = {name: release.part(name) for name in SOURCE_STEPS}
        self._retriever = load_retriever(
            dataset.pages, folders, section(settings, "retrieval", RetrievalSettings)
        )
        self._features = FeatureBuilder(dataset)
        self._counters = TrendCounters.load(release.part("trending") / "counters.npz")
        self._rank = Ranker(release.ranker).bind(self._features.values)
        self._titles = dataset.pages["title"].fill_null("").to_list()
        self._page_ids = dataset.page_ids.tolist()
        self._page_row = {page_id: row for row, page_id in enumerate(self._page_ids)}
        self._associate_ids = dataset.associates[c.ASSOCIATE_ID].to_numpy().astype(np.str_)
        self._attributes = {
            name: dataset.associates[name].fill_null("").to_numpy().astype(np.str_)
            for name in c.ASSOCIATE_ATTRIBUTES
        }
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
            pages = seen.setdefault(event.associate_id, set(self._released(event.associate_id).page))
            if row not in pages:
                pages.add(row)
                fresh.append(event)
        self._count(fresh)

    def _count(self, events: Sequence[StoredEvent]) -> None:
        if not events:
            return
        rows = [self._find(event.associate_id) for event in events]
        attributes = {
            name: np.array(["" if row == _NOBODY else str(self._attributes[name][row]) for row in rows])
            for name in c.ASSOCIATE_ATTRIBUTES
        }
        self._counters.add(
            Openings(
                np.array([event.time for event in events]),
                np.array([self._page_row[event.page_id] for event in events], np.int32),
                attributes,
            )
        )

    def observe(self, events: Sequence[StoredEvent]) -> int:
        """Store events and let the next request see them; returns how many were new."""
        if self._store is None:
            raise RuntimeError("this server keeps no events")
        with self._lock:
            before: dict[str, set[int]] = {}
            for event in events:
                if event.associate_id not in before:
                    before[event.associate_id] = set(self._past(event.associate_id).page)
            added = self._store.append(events)
            first = []
            for event in sorted(added, key=lambda event: event.time):
                row = self._page_row.get(event.page_id)
                if (
                    event.event_type in c.ENGAGEMENTS
                    and row is not None
                    and row not in before[event.associate_id]
                ):
                    before[event.associate_id].add(row)
                    first.append(event)
            self._count(first)
        return len(added)

    def forget(self, associate_id: str) -> None:
        """Remove an associate: events, history and attributes are not known any more."""
        if self._store is None:
            raise RuntimeError("this server keeps no events")
        with self._lock:
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
            return _Past([], [])
        part = slice(self._bounds[row], self._bounds[row + 1])
        return _Past(self._page[part].tolist(), self._time[part].tolist())

    def _past(self, associate_id: str | None, more: Sequence[tuple[str, float]] = ()) -> _Past:
        """First visits to distinct pages: the release's, the store's, and those given."""
        released = self._released(associate_id)
        later: list[tuple[str, float]] = list(more)
        if self._store is not None and associate_id and associate_id not in self._forgotten:
            later += self._store.visits(associate_id)
        if not later:
            return released
        first = dict(zip(released.page, released.time, strict=True))
        for page_id, when in later:
            row = self._page_row.get(page_id)
            if row is not None:
                first[row] = min(when, first.get(row, when))
        order = sorted(first, key=lambda row: (first[row], row))
        return _Past(order, [first[row] for row in order])

    def _requests(self, instances: Sequence[Instance]) -> tuple[Requests, list[bool]]:
        """Turn instances into a batch; also whether each is a cold start."""
        size = len(instances)
        time = np.array([instance.seconds() for instance in instances])
        history_page = np.full((size, HISTORY), -1, np.int32)
        history_time = np.full((size, HISTORY), np.nan)
        count = np.zeros(size, np.int32)
        seen: list[tuple[int, int]] = []
        attributes: dict[str, list[str]] = {name: [] for name in c.ASSOCIATE_ATTRIBUTES}
        tenure = np.full(size, np.nan)
        cold = []
        for i, instance in enumerate(instances):
            given = [
                (item.page_id, seconds(item.time))
                if isinstance(item, Visit)
                else (item, time[i] - 1e-3 * (n + 1))
                for n, item in enumerate(reversed(instance.history))
            ]
            past = self._past(instance.associate_id, given)
            # Only what was known strictly before the request.
            known = sum(when < time[i] for when in past.time)
            pages, times = past.page[:known], past.time[:known]
            recent = min(known, HISTORY)
            history_page[i, :recent] = pages[::-1][:recent]
            history_time[i, :recent] = times[::-1][:recent]
            count[i] = known
            seen += [(i, page) for page in pages]
            row = self._find(instance.associate_id)
            for name in c.ASSOCIATE_ATTRIBUTES:
                own = "" if row == _NOBODY else str(self._attributes[name][row])
                asked = getattr(instance.context, name)
                attributes[name].append(own if asked is None else asked)
            if row != _NOBODY:
                tenure[i] = max((time[i] - self._hired[row]) / DAY, 0.0)
            cold.append(row == _NOBODY and not known)
        pairs = np.array(seen, np.int32).reshape(-1, 2)
        ids = [
            "" if self._find(item.associate_id) == _NOBODY else str(item.associate_id) for item in instances
        ]
        requests = Requests(
            time=time,
            associate_id=np.array(ids),
            attributes={name: np.array(values, np.str_) for name, values in attributes.items()},
            history_page=history_page,
            history_time=history_time,
            history_count=count,
            seen_row=pairs[:, 0],
            seen_page=pairs[:, 1],
            target=np.full(size, -1, np.int32),
            tenure_days=tenure,
        )
        return requests, cold

    def score(self, instances: Sequence[Instance]) -> tuple[Scored, list[bool]]:
        """Shortlist and score a batch; also whether each instance is a cold start."""
        with self._lock:
            requests, cold = self._requests(instances)
            trends = self._counters.at(requests)
            opened = self._counters.first_opened.copy()
        shortlist = self._retriever.shortlist(requests, trends)
        features = self._features(requests, shortlist, opened)
        score = self._rank(features.numeric, features.categorical)
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
            "source": source or "catalogue",
            "reason": reason(
                source,
                title=self._titles[evidence] if evidence >= 0 else None,
                role=str(scored.requests.attributes["role"][i]),
                shift=str(scored.requests.attributes["shift"][i]),
                history=bool(scored.requests.history_count[i]),
                mandatory=bool(scored.mandatory[j]),
            ),
        }
