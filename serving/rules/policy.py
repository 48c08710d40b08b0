"""The rules over one catalogue: what may be shown, what must be a candidate, and in which order.

What hides a page always wins. Among what is left, pinned pages have their places, then mandatory
ones that are due; the others follow by their boosted scores, the limit of topics and diversity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.requests import Requests
from serving.rules.arrangement import Arrangement, Arranger, Standing
from serving.rules.due import Due, DueDates
from serving.rules.rules import Rules
from serving.rules.selection import Views
from serving.rules.visibility import Visibility

__all__ = ["Arrangement", "Policy"]
Completed = Sequence[Mapping[int, float]]
# Most pages with a date that one request puts on its shortlist.
_MOST_DUE = 20


class Policy:
    """Rules, compiled.

    Parameters
    ----------
    rules : Rules
    pages : polars.DataFrame
        The dataset's pages; P of them.
    vectors : array of float32, shape (P, d), optional
        By which pages are alike; without them there is no diversity.
    """

    def __init__(self, rules: Rules, pages: pl.DataFrame, vectors: NDArray[np.float32] | None = None):
        self.rules = rules
        self._views = Views(rules, pages)
        self._due = DueDates(rules, pages)
        self._visibility = Visibility(rules, pages, self._views)
        self._arranger = Arranger(rules, pages, self._visibility, vectors)
        self._replaces = rules.prerequisites == "replace"

    @property
    def arranges(self) -> bool:
        """Whether more than scores and due dates may decide on the order of pages."""
        rules = self.rules
        return bool(rules.pins or rules.boosts or self._arranger.spreads or self._replaces)

    def allow(self, allowed: NDArray[np.bool_], requests: Requests, completed: Completed) -> None:
        """Take away what rules hide, and give back what may be shown again.

        Parameters
        ----------
        allowed : array of bool, shape (B, P)
            Pages that are published, meant for the role and not yet opened (``Retriever.allowed``);
            changed in place.
        requests : Requests
        completed : sequence of mapping of int to float, length B
            Pages (rows) that each associate completed, and when last, epoch seconds. Completions at
            or after the request's time are not looked at.
        """
        soon = [self._dates(requests, i, completed)[1] for i in range(len(requests))]
        self._visibility.allow(allowed, requests, completed, soon)

    def wanted(
        self, requests: Requests, completed: Completed, allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pages that must be candidates: pinned ones and those that are due.

        Parameters
        ----------
        requests : Requests
        completed : sequence of mapping of int to float, length B
        allowed : array of bool, shape (B, P)
            After :meth:`allow`; no other pages are returned.

        Returns
        -------
        rows, pages : arrays of int32
            Rows of requests and of pages, in this order, each pair once.
        """
        rows: list[int] = []
        pages: list[int] = []
        for i in range(len(requests)):
            soon = self._dates(requests, i, completed)[1].page
            found = [page for _, page, _ in self._views(requests, i).pins]
            found += soon[allowed[i, soon]][:_MOST_DUE].tolist()
            if self._replaces and found:
                missing = self._visibility.missing(requests, i, completed[i])
                found = [self._visibility.instead(page, missing) for page in found]
            kept = sorted({page for page in found if page >= 0 and allowed[i, page]})
            rows += [i] * len(kept)
            pages += kept
        return np.array(rows, np.int32), np.array(pages, np.int32)

    def arrange(
        self,
        requests: Requests,
        i: int,
        pages: NDArray[np.int32],
        scores: NDArray[np.float32],
        limit: int,
        completed: Completed,
        *,
        explain: bool = False,
    ) -> Arrangement:
        """Order the candidates of request ``i``.

        The answer to a smaller limit is the beginning of the answer to a larger one.

        Parameters
        ----------
        requests : Requests
        i : int
        pages : array of int32, shape (n,)
            Distinct, and all of them allowed (see :meth:`allow`).
        scores : array of float32, shape (n,)
        limit : int
        completed : sequence of mapping of int to float, length B
        explain : bool
            Also count what is hidden.
        """
        dates, soon = self._dates(requests, i, completed)
        missing = self._visibility.missing(requests, i, completed[i]) if self._replaces else None
        standing = Standing(self._views(requests, i), dates, soon, missing)
        hidden = self._visibility.hidden(requests, i, completed[i], soon) if explain else {}
        return self._arranger(standing, pages, scores, limit, hidden)

    def _dates(self, requests: Requests, i: int, completed: Completed) -> tuple[Due, Due]:
        """Dates of request ``i``, and those of them that are past or near."""
        dates = self._due(requests, i, completed[i])
        return dates, self._due.soon(dates, requests.time[i])
