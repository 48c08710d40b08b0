"""Puts scored candidates into words: items with reasons and evidence, explanations, carousels."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.features import NUMERIC
from components.contract.ranking import BoundRanker
from components.contract.retrieval import SOURCES, Retriever
from components.contract.trends import DAY
from serving.carousels import NEW_DAYS, Candidates, carousels
from serving.catalogue import Catalogue
from serving.explain import contributions
from serving.reasons import Evidence, reason
from serving.rules.policy import Arrangement, Policy
from serving.scoring import CATALOGUE, Scored

_MANDATORY = NUMERIC.index("mandatory")


class Items:
    """What an answer shows of a release's pages.

    In each method ``part`` are the positions of one request's candidates among all of a batch, and
    places count within ``part``.

    Parameters
    ----------
    catalogue : Catalogue
    retriever : Retriever
    ranker : BoundRanker
    """

    def __init__(self, catalogue: Catalogue, retriever: Retriever, ranker: BoundRanker):
        self._catalogue, self._retriever, self._ranker = catalogue, retriever, ranker

    def __call__(
        self,
        scored: Scored,
        i: int,
        part: NDArray[np.int64],
        places: NDArray[np.int64] | list[int],
        arranged: Arrangement,
    ) -> list[dict[str, Any]]:
        """What is shown of the candidates at these places, in this order."""
        at = part[places]
        page, source, requests = scored.page[at], scored.source[at], scored.requests
        evidence = self._retriever.evidence(requests, i, page, source).tolist()
        new = (self._age_days(scored, i, page) <= NEW_DAYS).tolist()
        due, again = arranged.due[places], arranged.again[places]
        mandatory = ~(np.isnan(due) | again)
        if scored.features is not None:
            mandatory |= scored.features.numeric[at, _MANDATORY] > 0
        known = {
            "role": str(requests.attributes["role"][i]),
            "shift": str(requests.attributes["shift"][i]),
            "history": bool(requests.history_count[i]),
            "time": float(requests.time[i]),
        }
        columns = (page, source, scored.score[at], due, again, mandatory, arranged.pinned[places])
        rows = zip(evidence, new, *(column.tolist() for column in columns), strict=True)
        return [self._item(known, *row) for row in rows]

    def _item(
        self,
        known: dict[str, Any],
        evidence: int,
        new: bool,
        page: int,
        source: int,
        score: float,
        due: float,
        again: bool,
        mandatory: bool,
        pinned: bool,
    ) -> dict[str, Any]:
        page_ids, titles = self._catalogue.page_ids, self._catalogue.titles
        name = SOURCES[source] if source >= 0 else ""
        item: dict[str, Any] = {
            "page_id": page_ids[page],
            "title": titles[page],
            "score": score,
            "source": name or CATALOGUE,
            "reason": reason(
                name,
                title=titles[evidence] if evidence >= 0 else None,
                mandatory=mandatory,
                due=due,
                again=again,
                pinned=pinned,
                new=new,
                **known,
            ),
        }
        if evidence >= 0:
            item["evidence"] = Evidence(source=name, page_id=page_ids[evidence], title=titles[evidence])
        if not math.isnan(due):
            item["due"] = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds")
        return item

    def _age_days(self, scored: Scored, i: int, page: NDArray[np.int32]) -> NDArray[np.float64]:
        """Days since pages were published or, where that is unknown, opened first; NaN where neither is."""
        time, opened, published = (
            scored.requests.time[i],
            scored.opened[page],
            self._catalogue.published[page],
        )
        since = np.where(np.isnan(published), np.where(opened < time, opened, np.nan), published)
        return (time - since) / DAY

    def explain(
        self,
        items: list[dict[str, Any]],
        scored: Scored,
        part: NDArray[np.int64],
        arranged: Arrangement,
        shown: NDArray[np.int64],
    ) -> None:
        """Add what rules did to each item and, where the ranker scored it, what moved its score."""
        for item, place in zip(items, shown, strict=True):
            item["moves"] = arranged.moves[place]
        if scored.features is None:
            return
        found = contributions(
            self._ranker,
            scored.features.numeric[part],
            scored.features.categorical[part],
            arranged.order[shown],
        )
        for item, groups in zip(items, found, strict=True):
            item["contributions"] = groups

    def carousels(
        self,
        scored: Scored,
        i: int,
        part: NDArray[np.int64],
        arranged: Arrangement,
        shown: NDArray[np.int64],
        policy: Policy,
    ) -> list[dict[str, Any]]:
        """Named rows of the request's candidates, each row a list of items."""
        requests, page = scored.requests, scored.page[part]
        evidence = self._retriever.evidence(requests, i, page, scored.source[part])
        candidates = Candidates(
            score=scored.score[part],
            evidence=evidence,
            shift=scored.trends["trend_shift"][i, page],
            age_days=self._age_days(scored, i, page),
            due=arranged.due,
        )

        def arrange(at: NDArray[np.int64], score: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
            return at[policy.arrange(requests, i, page[at], score, limit, scored.asked.completed).order]

        rows = carousels(
            candidates,
            arranged.order[shown],
            arrange,
            time=float(requests.time[i]),
            shift=str(requests.attributes["shift"][i]),
            history=bool(requests.history_count[i]),
            titles=self._catalogue.titles,
        )
        return [
            {
                "key": row.key,
                "title": row.title,
                "reason": row.reason,
                "items": self(scored, i, part, row.items, arranged),
            }
            for row in rows
        ]
