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
from serving.rules.due import Done, DueDates
from serving.rules.rules import Rules
from serving.rules.selection import Views
from serving.rules.visibility import Visibility

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
        self.views = Views(rules, pages)
        self.due = DueDates(rules, pages)
        self.visibility = Visibility(rules, pages, self.views)
        self.arranger = Arranger(rules, pages, self.visibility, vectors)
        self.replaces = rules.prerequisites == "replace"

    @property
    def arranges(self) -> bool:
        """Whether more than scores and due dates may decide on the order of pages."""
        rules = self.rules
        return bool(rules.pins or rules.boosts or self.arranger.spreads or self.replaces)

    def __call__(self, requests: Requests, completed: Completed) -> Rulings:
        """The rules applied to B requests.

        Parameters
        ----------
        requests : Requests
        completed : sequence of mapping of int to float, length B
            Pages (rows) that each associate completed, and when last, epoch seconds. Completions at
            or after the request's time are not looked at.
        """
        return Rulings(self, requests, completed)


class Rulings:
    """The rules applied to B requests; made by :class:`Policy`.

    Parameters
    ----------
    policy : Policy
    requests : Requests
    completed : sequence of mapping of int to float, length B
    """

    def __init__(self, policy: Policy, requests: Requests, completed: Completed):
        self._policy, self._requests = policy, requests
        times = requests.time.tolist()
        self._done = [Done.before(pages, time) for pages, time in zip(completed, times, strict=True)]
        self._dates = [policy.due(requests, i, done) for i, done in enumerate(self._done)]
        # What is past or near.
        self._soon = [policy.due.soon(dates, time) for dates, time in zip(self._dates, times, strict=True)]

    def allow(self, allowed: NDArray[np.bool_]) -> None:
        """Take away what rules hide, and give back what may be shown again.

        Parameters
        ----------
        allowed : array of bool, shape (B, P)
            Pages that are published, meant for the role and not yet opened (``Retriever.allowed``);
            changed in place.
        """
        self._policy.visibility.allow(allowed, self._requests, self._done, self._soon)

    def wanted(self, allowed: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pages that must be candidates: pinned ones and those that are due.

        Parameters
        ----------
        allowed : array of bool, shape (B, P)
            After :meth:`allow`; no other pages are returned.

        Returns
        -------
        rows, pages : arrays of int32
            Rows of requests and of pages, in this order, each pair once.
        """
        views, visibility = self._policy.views, self._policy.visibility
        rows: list[int] = []
        pages: list[int] = []
        for i, soon in enumerate(self._soon):
            found = [page for _, page, _ in views(self._requests, i).pins]
            found += soon.page[allowed[i, soon.page]][:_MOST_DUE].tolist()
            if self._policy.replaces and found:
                missing = visibility.missing(self._requests, i, self._done[i])
                found = [visibility.instead(page, missing) for page in found]
            kept = sorted({page for page in found if page >= 0 and allowed[i, page]})
            rows += [i] * len(kept)
            pages += kept
        return np.array(rows, np.int32), np.array(pages, np.int32)

    def arrange(
        self,
        i: int,
        pages: NDArray[np.int32],
        scores: NDArray[np.float32],
        limit: int,
        *,
        explain: bool = False,
    ) -> Arrangement:
        """Order the candidates of request ``i``.

        The answer to a smaller limit is the beginning of the answer to a larger one.

        Parameters
        ----------
        i : int
        pages : array of int32, shape (n,)
            Distinct, and all of them allowed (see :meth:`allow`).
        scores : array of float32, shape (n,)
        limit : int
        explain : bool
            Also count what is hidden.
        """
        policy, given = self._policy, (self._requests, i, self._done[i])
        missing = policy.visibility.missing(*given) if policy.replaces else None
        standing = Standing(policy.views(self._requests, i), self._dates[i], self._soon[i], missing)
        hidden = policy.visibility.hidden(*given, self._soon[i]) if explain else {}
        return policy.arranger(standing, pages, scores, limit, hidden)
