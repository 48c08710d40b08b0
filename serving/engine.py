"""Answers requests from one release, by the platform's rules. Knows no web framework."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.features import FeatureBuilder
from components.contract.packed import holds_lists
from components.contract.release import Release
from components.contract.retrieval import SOURCE_STEPS, RetrievalSettings, load_retriever
from components.contract.settings import section
from components.contract.trends import TrendCounters
from serving.catalogue import Catalogue
from serving.exploration import REACH, explore
from serving.guard import Guard
from serving.ids import new_id
from serving.items import Items, Shown
from serving.listed import Listed
from serving.live import LiveTrends
from serving.payloads import Instance
from serving.ranker import Runtime, load_ranker
from serving.records import records
from serving.rules.check import warnings
from serving.rules.policy import Policy
from serving.rules.rules import Rules
from serving.scoring import MOST_CANDIDATES, Budget, Scored, Scorer
from serving.stores.base import Answer, Store, StoreError
from serving.tracing import stage

COLD_START = "cold_start"


@dataclass(frozen=True)
class Batch:
    """Answers, and what their records are made of."""

    answers: list[dict[str, Any]]
    records: Callable[[], list[Answer]]


class Engine:
    """Recommends pages.

    Parameters
    ----------
    release : Release
        Verified.
    store : Store, optional
        Events since the release; without one the release alone counts.
    rules : Rules, optional
        The platform's rules; by default those that ``Rules()`` holds.
    exploration : float
        See :func:`serving.exploration.explore`.
    log_features : float
        Share of the answers whose features are recorded.
    ranker : {"numpy", "tensorflow"}
        See :func:`serving.ranker.load_ranker`.

    Raises
    ------
    ReleaseError
        A part is missing or was made by another version.
    """

    def __init__(
        self,
        release: Release,
        store: Store | None = None,
        *,
        rules: Rules | None = None,
        exploration: float = 0.0,
        log_features: float = 0.0,
        ranker: Runtime = "numpy",
    ):
        self.release, self.name = release, release.name
        dataset = Dataset.load(release.root)
        settings = json.loads(release.part("settings.json").read_text())
        folders = {name: release.part(name) for name in SOURCE_STEPS}
        retrieval = section(settings, "retrieval", RetrievalSettings)
        # A candidate's features do not depend on how many there are, so a list may be longer than
        # those that the ranker learned on.
        shortlist = max(retrieval.shortlist, MOST_CANDIDATES)
        retriever = load_retriever(
            dataset.pages, folders, retrieval.model_copy(update={"shortlist": shortlist})
        )
        features = FeatureBuilder(dataset)
        ranked_by = load_ranker(release.ranker, ranker).bind(features.values)
        self._pages, self._vectors = dataset.pages, retriever.page_vectors
        self._attributes = {
            name: frozenset(dataset.associates[name].drop_nulls().unique()) for name in c.ASSOCIATE_ATTRIBUTES
        }
        self.catalogue = Catalogue(dataset)
        counters = TrendCounters.load(release.part("trending") / "counters.npz")
        self.live = LiveTrends(release.name, counters, self.catalogue, store)
        self._guard = Guard(store) if store is not None else None
        lists = Listed(release.part("lists"), dataset) if holds_lists(release.root / "lists") else None
        self.listed = 0 if lists is None else len(lists)
        self._score = Scorer(self.catalogue, self.live, retriever, features, ranked_by, self._guard, lists)
        self._items = Items(self.catalogue, retriever, ranked_by)
        self._exploration, self._log_features = exploration, log_features
        self._random = np.random.default_rng()
        self.apply(rules or Rules())
        # A store that is away now may come up later; answers say so meanwhile.
        with contextlib.suppress(StoreError):
            self.live.catch_up()

    @property
    def pages(self) -> int:
        """Size of the catalogue."""
        return len(self.catalogue.page_ids)

    @property
    def associates(self) -> int:
        """How many associates the release knows; ``listed`` is how many of them have a list."""
        return len(self.catalogue)

    @property
    def last_event(self) -> float:
        """Epoch seconds of the last event that the release saw."""
        return self.catalogue.last_event

    def examples(self, size: int = 20) -> list[str]:
        """Ids of associates with much history, to try the server on."""
        return self.catalogue.busiest(size)

    def page_exists(self, page_id: str) -> bool:
        """Whether the release knows a page."""
        return page_id in self.catalogue.page_row

    def compile(self, rules: Rules) -> Policy:
        """Rules over this release's pages."""
        return Policy(rules, self._pages, self._vectors)

    def warnings(self, rules: Rules) -> list[str]:
        """What the rules name and the release does not hold."""
        return warnings(rules, self._pages, self._attributes)

    def apply(self, rules: Rules) -> None:
        """Answer by these rules from now on."""
        self._policy = self.compile(rules)

    def forget(self, associate_id: str) -> None:
        """Use nothing of an associate from now on, also while the store is away."""
        if self._guard is not None:
            self._guard.forget(associate_id)

    def refresh(self) -> None:
        """See what others did: people forgotten, events appended.

        Raises
        ------
        StoreError
            The store does not answer.
        """
        if self._guard is not None:
            self._guard.refresh()
            self.live.catch_up()

    def warm_up(self) -> None:
        """Answer once by every way, so that the first real request finds all of it loaded."""
        known = self.examples(1)
        instances = [Instance(associate_id=known[0] if known else None), Instance()]
        self.recommend(instances)
        self.recommend(instances, budget=Budget(seconds=0.0))

    def recommend(
        self, instances: Sequence[Instance], *, budget: Budget | None = None
    ) -> list[dict[str, Any]]:
        """The best pages for each instance, as the REST contract has them."""
        return self.answer(instances, budget=budget).answers

    def answer(
        self,
        instances: Sequence[Instance],
        *,
        budget: Budget | None = None,
        policy: Policy | None = None,
    ) -> Batch:
        """Answer a batch.

        Parameters
        ----------
        instances : sequence of Instance
        budget : Budget, optional
            When time runs short the ranker is left out (fallback ``blended``), and when there is
            none left the trend answers (``trend``).
        policy : Policy, optional
            Other rules than those applied, to try them.
        """
        policy = policy or self._policy
        scored = self.score(instances, budget=budget, policy=policy)
        with stage("answer"):
            bounds = np.searchsorted(scored.row, np.arange(len(instances) + 1))
            chosen = [
                self._choose(scored, i, np.arange(bounds[i], bounds[i + 1]), instance, policy.arranges)
                for i, instance in enumerate(instances)
            ]
            # What an item says is looked up for all answers at once.
            items = self._items(scored, [shown for shown, _, _ in chosen])
            answers = [
                self._answer(scored, instance, one, order, found)
                for instance, (one, order, _), found in zip(instances, chosen, items, strict=True)
            ]
        shown = [one.part[one.places] for one, _, _ in chosen]
        propensities = [propensity for _, _, propensity in chosen]
        drawn = self._random.random(len(instances)) < self._log_features
        featured = [one.explain or bool(by_lot) for one, by_lot in zip(instances, drawn, strict=True)]
        return Batch(answers, partial(records, scored, answers, shown, propensities, featured))

    def score(
        self,
        instances: Sequence[Instance],
        *,
        budget: Budget | None = None,
        policy: Policy | None = None,
    ) -> Scored:
        """Shortlist and score a batch."""
        return self._score(instances, policy or self._policy, budget or Budget())

    def _choose(
        self, scored: Scored, i: int, part: NDArray[np.int64], instance: Instance, arranges: bool
    ) -> tuple[Shown, NDArray[np.int64], NDArray[np.float64]]:
        """What one answer shows, its places in the order of the rules, and its propensities."""
        rows = self.catalogue.page_row
        excluded = [rows[page] for page in instance.exclude if page in rows]
        if excluded:
            part = part[~np.isin(scored.page[part], excluded)]
        exploring = self._exploration > 0 and not arranges
        arranged = scored.rulings.arrange(
            i,
            scored.page[part],
            scored.score[part],
            instance.limit + REACH * exploring,
            explain=instance.explain,
        )
        # A rule's place is not given away.
        share = self._exploration if exploring and not any(arranged.moves) else 0.0
        order, propensity = explore(np.arange(len(arranged.order)), instance.limit, share, self._random)
        return Shown(i, part, arranged.order[order], arranged), order, propensity

    def _answer(
        self,
        scored: Scored,
        instance: Instance,
        shown: Shown,
        order: NDArray[np.int64],
        items: list[dict[str, Any]],
    ) -> dict[str, Any]:
        """One answer."""
        i, arranged = shown.i, shown.arranged
        answer: dict[str, Any] = {
            "associate_id": instance.associate_id,
            "request_id": new_id(),
            "release": self.name,
            "fallback": scored.fallback_of(i) or (COLD_START if scored.asked.cold[i] else None),
            "items": items,
        }
        if instance.explain:
            answer["hidden"] = arranged.hidden
            self._items.explain(items, scored, shown, order)
        if instance.carousels:
            answer["carousels"] = self._items.carousels(scored, shown)
        return answer
