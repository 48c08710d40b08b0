"""First engagements and sessions: summaries of some events, and what all summaries together say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MICROSECONDS = 1_000_000


class Summary(NamedTuple):
    """What some events say of their associates; summaries of any events may be put together.

    Attributes
    ----------
    associate, page : array of int32, shape (F,)
        Each pair once, sorted.
    time : array of int64, shape (F,)
        When the pair is first engaged, epoch microseconds.
    owner : array of int32, shape (S,)
        The associate of each session; ascending.
    start, end : array of int64, shape (S,)
        First and last event of each session.
    """

    associate: NDArray[np.int32]
    page: NDArray[np.int32]
    time: NDArray[np.int64]
    owner: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


class Interactions(NamedTuple):
    """First engagements of a group of associates, sorted by (associate, time, page).

    Attributes
    ----------
    associate, page : array of int32, shape (interactions,)
    time : array of int64, shape (interactions,)
        Epoch microseconds.
    ordinal : array of int32, shape (interactions,)
        Number of the associate's earlier interactions.
    session : array of int32, shape (interactions,)
        Number of the session among the sessions of its associate.
    sessions : array of int32, shape (associates,)
        Sessions of each associate.
    """

    associate: NDArray[np.int32]
    page: NDArray[np.int32]
    time: NDArray[np.int64]
    ordinal: NDArray[np.int32]
    session: NDArray[np.int32]
    sessions: NDArray[np.int32]


def summarise(
    associate: NDArray[np.int32], page: NDArray[np.int32], time: NDArray[np.int64], gap: int
) -> Summary:
    """Find the first engagement with each page, and the sessions, of some events.

    Parameters
    ----------
    associate, page : array of int32, shape (events,)
        Of every engagement event, repeats included, in any order.
    time : array of int64, shape (events,)
        Epoch microseconds.
    gap : int
        Microseconds; a longer pause starts a new session.

    Examples
    --------
    An associate opens page 1, after 10 µs page 0, and page 0 again after 31 µs.

    >>> found = summarise(np.zeros(3, np.int32), np.array([1, 0, 0], np.int32), np.array([0, 10, 41]), 30)
    >>> found.page.tolist(), found.time.tolist(), found.start.tolist(), found.end.tolist()
    ([0, 1], [10, 0], [0, 41], [10, 41])
    """
    order = np.lexsort((time, associate))
    associate, page, time = associate[order], page[order], time[order]
    breaks = _new(associate) | (np.diff(time, prepend=time[:1]) > gap)
    first = np.flatnonzero(breaks)
    last = np.append(first[1:], len(time)) - 1 if len(first) else first
    width = int(page.max(initial=0)) + 1
    # np.unique gives the first position of each pair: its earliest event.
    _, kept = np.unique(associate.astype(np.int64) * width + page, return_index=True)
    return Summary(associate[kept], page[kept], time[kept], associate[first], time[first], time[last])


def merge(summary: Summary, gap: int) -> Interactions:
    """Say of several summaries, one after another, what one of all their events would say.

    Two events are of one session where no pause between them is longer than the gap. So sessions of
    different summaries join where they overlap or lie within the gap of each other, and that they
    do can be told from their ends alone.

    Parameters
    ----------
    summary : Summary
        Its pairs may repeat and be in any order; associates are 0 .. A - 1, each with a session.
    gap : int
        The one that the summaries were made with.

    Examples
    --------
    Sessions 0 to 10 and 60 to 70; a late event at 35 joins them, and page 0 was opened earlier.

    >>> once, who = np.zeros(3, np.int32), np.zeros(4, np.int32)
    >>> late = Summary(who, np.array([1, 0, 2, 0], np.int32), np.array([0, 10, 60, 5]),
    ...                once, np.array([0, 60, 35]), np.array([10, 70, 35]))
    >>> found = merge(late, gap=30)
    >>> found.page.tolist(), found.time.tolist(), found.session.tolist(), found.sessions.tolist()
    ([1, 0, 2], [0, 5, 60], [0, 0, 0], [1])
    """
    by_start = np.lexsort((summary.start, summary.owner))
    owner, start = summary.owner[by_start], summary.start[by_start]
    end = summary.end[np.lexsort((summary.end, summary.owner))]
    # The k-th start of an associate begins a session if the k intervals that started before have all
    # ended more than a gap ago; then they are the k that ended first, so the k-th end tells.
    breaks = _new(owner)
    breaks[1:] |= start[1:] - end[:-1] > gap
    owner, start = owner[breaks], start[breaks]

    order = np.lexsort((summary.time, summary.page, summary.associate))
    associate, page = summary.associate[order], summary.page[order]
    once = _new(associate) | _new(page)
    order = order[once]
    associate, page, time = associate[once], page[once], summary.time[order]
    order = np.lexsort((page, time, associate))
    associate, page, time = associate[order], page[order], time[order]
    begins = np.flatnonzero(_new(associate))
    place = np.arange(len(associate))
    sessions = np.bincount(owner)
    # Complex numbers are ordered by their real, then by their imaginary part; microseconds fit.
    session = np.searchsorted(_pairs(owner, start), _pairs(associate, time), side="right") - 1
    return Interactions(
        associate=associate,
        page=page,
        time=time,
        ordinal=(place - np.repeat(begins, np.diff(begins, append=len(place)))).astype(np.int32),
        session=(session - (np.cumsum(sessions) - sessions)[associate]).astype(np.int32),
        sessions=sessions.astype(np.int32),
    )


def _new(values: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each value of a sorted array differs from the one before it."""
    found = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def _pairs(number: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.complex128]:
    found = np.empty(len(number), np.complex128)
    found.real, found.imag = number, time
    return found
