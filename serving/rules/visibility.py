"""Which pages an associate may be shown, and which rule hides the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.eligibility import Eligibility
from components.contract.requests import Requests
from components.contract.time import DAY
from serving.rules.due import Done, Due, opened_pages
from serving.rules.prerequisites import Prerequisites
from serving.rules.rules import Rules
from serving.rules.selection import Views


class Visibility:
    """What rules hide and give back.

    Parameters
    ----------
    rules : Rules
    pages : polars.DataFrame
        The dataset's pages; P of them.
    views : Views
        Of the same rules and pages.
    """

    def __init__(self, rules: Rules, pages: pl.DataFrame, views: Views):
        self._rules, self._views = rules, views
        self._eligibility = Eligibility(pages)
        self._prerequisites = Prerequisites(pages)
        self._hides_waiting = rules.prerequisites == "hide"

    def allow(
        self,
        allowed: NDArray[np.bool_],
        requests: Requests,
        completed: Sequence[Done],
        soon: Sequence[Due],
    ) -> None:
        """See :meth:`serving.rules.policy.Rulings.allow`; ``soon`` holds each request's pages due soon."""
        eligible: NDArray[np.bool_] | None = None
        for i in range(len(requests)):
            row, view = allowed[i], self._views(requests, i)
            done = completed[i].page
            row[done] = False
            back = self._back(requests, i, done, soon[i])
            if len(back):
                if eligible is None:
                    eligible = self._eligibility(requests)
                row[back] = eligible[i, back]
            if view.shown is not None:
                row &= view.shown
            if self._hides_waiting:
                missing = row.copy()
                missing[opened_pages(requests, i)] = False
                missing[done] = False
                row[self._prerequisites.waiting(missing)] = False

    def missing(self, requests: Requests, i: int, completed: Done) -> NDArray[np.bool_]:
        """Pages that the associate may see and has not opened, (P,): what prerequisites wait for."""
        missing = self._eligibility(requests.take(slice(i, i + 1)))[0]
        shown = self._views(requests, i).shown
        if shown is not None:
            missing &= shown
        missing[opened_pages(requests, i)] = False
        missing[completed.page] = False
        return missing

    def waiting(self, missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pages with a prerequisite among the missing ones, (P,)."""
        found = np.zeros(len(missing), bool)
        found[self._prerequisites.waiting(missing)] = True
        return found

    def instead(self, page: int, missing: NDArray[np.bool_]) -> int:
        """See :meth:`serving.rules.prerequisites.Prerequisites.instead`."""
        return self._prerequisites.instead(page, missing)

    def hidden(self, requests: Requests, i: int, completed: Done, soon: Due) -> dict[str, int]:
        """How many pages each rule hides from one associate; several may hide the same page."""
        eligible = self._eligibility(requests.take(slice(i, i + 1)))[0]
        done = completed.page
        opened = opened_pages(requests, i)
        back = self._back(requests, i, done, soon)
        counts = {name: int((mask & eligible).sum()) for name, mask in self._views(requests, i).hides}
        counts["completed"] = int(eligible[np.setdiff1d(done, back)].sum())
        counts["opened"] = int(eligible[np.setdiff1d(opened, np.concatenate([done, back]))].sum())
        if self._hides_waiting:
            missing = self.missing(requests, i, completed)
            counts["prerequisites"] = int((self.waiting(missing) & eligible).sum())
        return {name: count for name, count in counts.items() if count}

    def _back(self, requests: Requests, i: int, done: NDArray[np.int32], soon: Due) -> NDArray[np.int32]:
        """Opened pages that may be shown again, if nothing else hides them."""
        found = [soon.page[soon.again | soon.mandatory if self._rules.mandatory.pin else soon.again]]
        if not self._rules.completed.hide:
            found.append(done)
        days = self._rules.opened.return_after_days
        if days is not None:
            late = requests.time[i] - days * DAY
            page, when = requests.history_page[i], requests.history_time[i]
            old = page[(page >= 0) & (when <= late)]
            # Of what was opened before the pages of the history no more is known than that.
            if len(page) and page[-1] >= 0 and when[-1] <= late:
                old = np.concatenate([old, np.setdiff1d(opened_pages(requests, i), page)])
            found.append(np.setdiff1d(old, done))
        return found[0] if len(found) == 1 else np.concatenate(found).astype(np.int32)
