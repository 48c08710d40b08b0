"""When mandatory pages are due, and completed ones again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.requests import Requests
from components.contract.time import DAY
from serving.rules.rules import Rules


class Due(NamedTuple):
    """Pages with a date for one associate; m of them, each once.

    Attributes
    ----------
    page : array of int32, shape (m,)
    when : array of float64, shape (m,)
        Epoch seconds.
    mandatory : array of bool, shape (m,)
        Required for the associate's role.
    again : array of bool, shape (m,)
        Completed before: the date is that of the next time.
    """

    page: NDArray[np.int32]
    when: NDArray[np.float64]
    mandatory: NDArray[np.bool_]
    again: NDArray[np.bool_]

    def take(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Due:
        """Some of them, or all in another order."""
        return Due(self.page[kept], self.when[kept], self.mandatory[kept], self.again[kept])


class Done(NamedTuple):
    """Pages that an associate completed before a request, and when last, epoch seconds; m of them.

    Attributes
    ----------
    page : array of int32, shape (m,)
    when : array of float64, shape (m,)
    """

    page: NDArray[np.int32]
    when: NDArray[np.float64]

    @classmethod
    def before(cls, completed: Mapping[int, float], time: float) -> Done:
        """Of all completions those before a time."""
        page = np.fromiter(completed.keys(), np.int32, len(completed))
        when = np.fromiter(completed.values(), np.float64, len(completed))
        past = when < time
        return cls(page, when) if past.all() else cls(page[past], when[past])


class _Required(NamedTuple):
    """Mandatory pages of a role, when they were published and updated, and seconds until they are due."""

    page: NDArray[np.int32]
    published: NDArray[np.float64]
    updated: NDArray[np.float64]
    given: NDArray[np.float64]


_NONE = _Required(np.empty(0, np.int32), np.empty(0), np.empty(0), np.empty(0))
_NOTHING = Due(np.empty(0, np.int32), np.empty(0), np.empty(0, bool), np.empty(0, bool))


def opened_pages(requests: Requests, i: int) -> NDArray[np.int32]:
    """All pages that the associate of request ``i`` opened before it."""
    if len(requests) == 1:
        return requests.seen_page
    first, last = np.searchsorted(requests.seen_row, [i, i + 1])
    return requests.seen_page[first:last]


class DueDates:
    """Dates over one catalogue.

    A mandatory page is due ``due_days`` after the latest of three: the associate was hired, the page
    was published, the page was updated last. Where none is known there is no date. An update after
    the request is not looked at: the page counts as it stood. A completed page is due again
    ``recertify_days`` after it was completed, whatever was updated since.

    Parameters
    ----------
    rules : Rules
    pages : polars.DataFrame
        Columns ``mandatory_for``, ``due_days``, ``published_at``, ``updated_at`` and ``recertify_days``.
    """

    def __init__(self, rules: Rules, pages: pl.DataFrame):
        self._opened_is_done = rules.mandatory.until == "opened"
        self._window = rules.due_within_days * DAY
        given = pages["due_days"].to_numpy().astype(np.float64) * DAY
        published = pages["published_at"].to_numpy().astype(np.float64)
        updated = pages["updated_at"].to_numpy().astype(np.float64)
        self._valid = pages["recertify_days"].to_numpy().astype(np.float64) * DAY
        if not rules.completed.recertify:
            self._valid[:] = np.nan
        table = pages.select(pl.col("mandatory_for").list.unique()).with_row_index("page")
        self._required = {}
        for (role,), found in table.explode("mandatory_for").drop_nulls().group_by("mandatory_for"):
            rows = np.sort(found["page"].to_numpy()).astype(np.int32)
            self._required[str(role)] = _Required(rows, published[rows], updated[rows], given[rows])

    def __call__(self, requests: Requests, i: int, completed: Done) -> Due:
        """Dates of request ``i``."""
        page, published, updated, given = self._required.get(str(requests.attributes["role"][i]), _NONE)
        done, finished = completed
        if not len(page) and not len(done):
            return _NOTHING
        required = len(page)
        when = np.fmax(requests.time[i] - requests.tenure_days[i] * DAY, published)
        np.fmax(when, updated, out=when, where=updated <= requests.time[i])
        when += given
        if self._opened_is_done:
            when[np.isin(page, opened_pages(requests, i))] = np.nan
        again = np.zeros(required, bool)
        if len(done):
            expires = finished + self._valid[done]
            # Dates of pages that are done give way to those of the next time.
            at = page.searchsorted(done)
            at[at == required] = 0
            known = page[at] == done if required else at != at
            when[at[known]], again[at[known]] = expires[known], True
            others = ~known & (~np.isnan(expires))
            if others.any():
                page = np.concatenate([page, done[others]])
                when = np.concatenate([when, expires[others]])
                again = np.concatenate([again, np.ones(len(page) - required, bool)])
        mandatory = np.arange(len(page)) < required
        dated = ~np.isnan(when)
        found = Due(page, when, mandatory, again)
        return found if dated.all() else found.take(dated)

    def soon(self, dates: Due, time: float) -> Due:
        """Those of the dates that are past or near at a time, the earliest first."""
        near = np.flatnonzero(dates.when <= time + self._window)
        return dates.take(near[dates.when[near].argsort(kind="stable")])
