"""Puts scored candidates into words: items with reasons and evidence, explanations, carousels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contract.features import NUMERIC
from components.contract.ranking import BoundRanker
from components.contract.retrieval import SOURCES, Retriever
from components.contract.time import DAY
from serving.carousels import NEW_DAYS, Candidates, carousels
from serving.catalogue import Catalogue
from serving.explain import contributions
from serving.reasons import Evidence, reason
from serving.rules.arrangement import Arrangement
from serving.scoring import CATALOGUE, Scored

_MANDATORY = NUMERIC.index("mandatory")


class Shown(NamedTuple):
    """A list of pages to be shown.

    Attributes
    ----------
    i : int
        The request.
    part : array of int64
        Positions of the request's candidates among all of the batch.
    places : array of int64 or list of int
        Within ``part``: the pages, in the order in which they are shown.
    arranged : Arrangement
        Of ``part``.
    """

    i: int
    part: NDArray[np.int64]
    places: NDArray[np.int64] | list[int]
    arranged: Arrangement


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

    def __call__(self, scored: Scored, shown: Sequence[Shown]) -> list[list[dict[str, Any]]]:
        """Lists of items, all made at once."""
        requests = scored.requests
        at = np.concatenate([one.part[one.places] for one in shown])
        row, page, source = scored.row[at], scored.page[at], scored.source[at]
        due, again, pinned = (
            np.concatenate([getattr(one.arranged, name)[one.places] for one in shown])
            for name in ("due", "again", "pinned")
        )
        mandatory = ~(np.isnan(due) | again)
        if scored.features is not None:
            mandatory |= scored.features.numeric[at, _MANDATORY] > 0
        columns = (
            self._retriever.evidence(requests, row, page, source),
            self._age_days(scored, row, page) <= NEW_DAYS,
            page,
            source,
            scored.score[at],
            due,
            again,
            mandatory,
            pinned,
        )
        rows = zip(*(column.tolist() for column in columns), strict=True)
        role, shift = requests.attributes["role"].tolist(), requests.attributes["shift"].tolist()
        history, time = requests.history_count.tolist(), requests.time.tolist()
        lists = []
        for i, _, places, _ in shown:
            known = {"role": role[i], "shift": shift[i], "history": bool(history[i]), "time": time[i]}
            lists.append([self._item(known, *next(rows)) for _ in range(len(places))])
        return lists

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

    def _age_days(
        self, scored: Scored, row: int | NDArray[np.int32], page: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Days since pages were published or, where that is unknown, opened first; NaN where neither is."""
        time, opened, published = (
            scored.requests.time[row],
            scored.opened[page],
            self._catalogue.published[page],
        )
        since = np.where(np.isnan(published), np.where(opened < time, opened, np.nan), published)
        return (time - since) / DAY

    def explain(
        self,
        items: list[dict[str, Any]],
        scored: Scored,
        shown: Shown,
        order: NDArray[np.int64],
    ) -> None:
        """Add what rules did to each item and, where the ranker scored it, what moved its score.

        ``order`` are the items' places in the arrangement's order.
        """
        for item, place in zip(items, order, strict=True):
            item["moves"] = shown.arranged.moves[place]
        if scored.features is None:
            return
        found = contributions(
            self._ranker,
            scored.features.numeric[shown.part],
            scored.features.categorical[shown.part],
            scored.features.history.of(shown.part),
            np.asarray(shown.places),
        )
        for item, groups in zip(items, found, strict=True):
            item["contributions"] = groups

    def carousels(self, scored: Scored, shown: Shown) -> list[dict[str, Any]]:
        """Named rows of the request's candidates, each row a list of items."""
        i, part, places, arranged = shown
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
            return at[scored.rulings.arrange(i, page[at], score, limit).order]

        rows = carousels(
            candidates,
            np.asarray(places),
            arrange,
            time=float(requests.time[i]),
            shift=str(requests.attributes["shift"][i]),
            history=bool(requests.history_count[i]),
            titles=self._catalogue.titles,
        )
        lists = self(scored, [Shown(i, part, row.items, arranged) for row in rows]) if rows else []
        return [
            {"key": row.key, "title": row.title, "reason": row.reason, "items": items}
            for row, items in zip(rows, lists, strict=True)
        ]
