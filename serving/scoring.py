"""From questions to scored candidates: history, shortlist, features, ranker, and what stands in for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from components.contract.features import FeatureBuilder, Features
from components.contract.ranking import BoundRanker
from components.contract.requests import Requests
from components.contract.retrieval import SOURCES, Retriever, top
from serving.catalogue import Catalogue
from serving.errors import located
from serving.guard import Guard
from serving.history import Asked, ask
from serving.listed import Listed
from serving.live import LiveTrends
from serving.metrics import CANDIDATES
from serving.payloads import MOST_EXCLUDED, MOST_ITEMS, Instance
from serving.rules.policy import Policy, Rulings
from serving.tracing import stage

log = structlog.get_logger()
# Where no source names a page, and popularity and age alone put it on the shortlist.
CATALOGUE = "catalogue"
NO_STORE, BLENDED, LISTS, TREND = "no_store", "blended", "lists", "trend"
# As many candidates as a request may ask for and exclude: what is excluded never empties an answer.
MOST_CANDIDATES = MOST_ITEMS + MOST_EXCLUDED
# What the plainest answer goes by, and what precomputed lists are made by.
_PLAIN, _LISTED = "trend_30d", "two_tower"
_PLACES = [CANDIDATES.labels(name) for name in (CATALOGUE, *SOURCES)]


@dataclass(frozen=True)
class Scored:
    """A batch of questions, their candidates and the scores; N candidates in all.

    Attributes
    ----------
    asked : Asked
    rulings : Rulings
        What the rules make of the questions.
    row, page, source : arrays of int32, shape (N,)
        See ``Shortlist``.
    score : array of float32, shape (N,)
        Probability that the page is opened; under a fallback what the candidates were ordered by.
    fallback : str or None
        What was done without: ``NO_STORE``, ``BLENDED``, ``TREND``.
    trends : dict of str to array of float32, shape (B, P)
    opened : array of float64, shape (P,)
        When each page was opened first, epoch seconds; inf for never.
    features : Features or None
        What the ranker saw.
    listed : array of bool, shape (B,), or None
        Under ``TREND``, for whom the release's precomputed list stands before the trend.
    """

    asked: Asked
    rulings: Rulings
    row: NDArray[np.int32]
    page: NDArray[np.int32]
    source: NDArray[np.int32]
    score: NDArray[np.float32]
    fallback: str | None
    trends: dict[str, NDArray[np.float32]]
    opened: NDArray[np.float64]
    features: Features | None = None
    listed: NDArray[np.bool_] | None = None

    def fallback_of(self, i: int) -> str | None:
        """What the answer to question ``i`` was done without."""
        return LISTS if self.listed is not None and self.listed[i] else self.fallback

    @property
    def requests(self) -> Requests:
        """The requests that were built of the questions."""
        return self.asked.requests


@dataclass
class Budget:
    """Time that one call may take.

    Parameters
    ----------
    seconds : float
    started : float
        ``time.monotonic()`` when the request came in.
    """

    seconds: float = float("inf")
    started: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds; negative when it is spent."""
        return self.started + self.seconds - time.monotonic()


class Scorer:
    """Shortlists and scores by one release.

    Parameters
    ----------
    catalogue : Catalogue
    live : LiveTrends
    retriever : Retriever
    features : FeatureBuilder
    ranker : BoundRanker
    guard : Guard, optional
        The store's; without one the release alone counts.
    lists : Listed, optional
        The release's precomputed lists.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        live: LiveTrends,
        retriever: Retriever,
        features: FeatureBuilder,
        ranker: BoundRanker,
        guard: Guard | None = None,
        lists: Listed | None = None,
    ):
        self._catalogue, self._live, self._guard, self._lists = catalogue, live, guard, lists
        self._retriever, self._features, self._ranker = retriever, features, ranker
        # Seconds that features and ranking take for one candidate, as seen lately.
        self._pace = 0.0

    def __call__(self, instances: Sequence[Instance], policy: Policy, budget: Budget) -> Scored:
        """Score a batch.

        When time runs short, or the ranker fails, the candidates come by their fused ranks in the
        sources (``BLENDED``); when there is none left, or the sources fail, by the release's list of
        the associate (``LISTS``), then by what is opened most (``TREND``). Without the store the
        release's own history and trends serve (``NO_STORE``).
        """
        with stage("history"):
            activities, answered = None, True
            if self._guard is not None:
                activities, answered = self._guard.activity([one.associate_id for one in instances])
            asked = ask(self._catalogue, instances, activities)
        fallback = None if answered else NO_STORE
        trends, opened = self._live.at(asked.requests)
        with stage("rules"):
            allowed = self._retriever.allowed(asked.requests)
            rulings = policy(asked.requests, asked.completed)
            rulings.allow(allowed)
        plain = partial(self._plain, asked, rulings, allowed, trends, opened)
        if budget.left() <= 0:
            return plain()
        try:
            with stage("candidates"):
                wanted = rulings.wanted(allowed)
                shortlist = self._retriever.shortlist(
                    asked.requests, trends, allowed=allowed, wanted=wanted, all_scores=False
                )
        except Exception as error:
            log.error("candidates failed", **located(error))
            return plain()
        for place, count in enumerate(np.bincount(shortlist.source + 1)):
            if count:
                _PLACES[place].inc(int(count))
        found = partial(
            Scored,
            asked,
            rulings,
            shortlist.row,
            shortlist.page,
            shortlist.source,
            trends=trends,
            opened=opened,
        )
        # The candidates by their fused ranks in the sources stand in for the ranker's order.
        blended = partial(found, shortlist.fused, BLENDED)
        if budget.left() < self._pace * len(shortlist.row):
            # The estimate fades, or one slow answer would keep the ranker out for good.
            self._pace *= 0.95
            return blended()
        try:
            before = time.monotonic()
            with stage("features"):
                features = self._features(asked.requests, shortlist, opened)
            with stage("ranking"):
                score = self._ranker(features.numeric, features.categorical, features.history)
            self._keep_pace(time.monotonic() - before, len(shortlist.row))
        except Exception as error:
            log.error("ranking failed", **located(error))
            return blended()
        return found(score, fallback, features=features)

    def _keep_pace(self, seconds: float, candidates: int) -> None:
        now = seconds / max(candidates, 1)
        self._pace = now if self._pace == 0 else 0.9 * self._pace + 0.1 * now

    def _plain(
        self,
        asked: Asked,
        rulings: Rulings,
        allowed: NDArray[np.bool_],
        trends: dict[str, NDArray[np.float32]],
        opened: NDArray[np.float64],
    ) -> Scored:
        """Pages of the associate's list, then what is opened most lately, of what may be shown."""
        value = np.where(allowed, trends[_PLAIN] + 1e-6 * (1 + trends["popularity"]), 0)
        source = np.full(value.shape, SOURCES.index(_PLAIN), np.int32)
        listed = np.zeros(len(value), bool)
        if self._lists is not None:
            for i, associate in enumerate(asked.requests.associate_id.tolist()):
                pages = self._lists(self._catalogue.find(associate))
                pages = pages[allowed[i, pages]]
                value[i, pages] = value[i].max() + np.arange(len(pages), 0, -1)
                source[i, pages], listed[i] = SOURCES.index(_LISTED), len(pages) > 0
        best, score = top(value, min(MOST_ITEMS + MOST_EXCLUDED, value.shape[1]))
        row, place = np.nonzero(score > 0)
        page = best[row, place].astype(np.int32)
        # Counts have no bound; the contract's scores are 0 to 1.
        score = score[row, place] / score[row, 0]
        return Scored(
            asked,
            rulings,
            row.astype(np.int32),
            page,
            source[row, page],
            score,
            TREND,
            trends,
            opened,
            listed=listed,
        )
