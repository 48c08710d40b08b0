"""First engagements and sessions of one shard of associates, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Interactions:
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


def first_engagements(
    associate: NDArray[np.int32], page: NDArray[np.int32], time: NDArray[np.int64], gap: int
) -> Interactions:
    """Find each associate's first engagement with each page, and the session it fell in.

    Parameters
    ----------
    associate, page : array of int32, shape (events,)
        Of every engagement event, repeats included, in any order; associates are 0 .. A - 1,
        each with an event.
    time : array of int64, shape (events,)
        Epoch microseconds.
    gap : int
        Microseconds; a longer pause starts a new session.

    Examples
    --------
    An associate opens page 1, after 10 µs page 0, and page 0 again after 31 µs; then page 2.

    >>> day = first_engagements(np.zeros(4, np.int32), np.array([1, 0, 0, 2], np.int32),
    ...                         np.array([0, 10, 41, 50]), gap=30)
    >>> day.page.tolist(), day.ordinal.tolist(), day.session.tolist(), day.sessions.tolist()
    ([1, 0, 2], [0, 1, 2], [0, 0, 1], [2])
    """
    order = np.lexsort((page, time, associate))
    associate, page, time = associate[order], page[order], time[order]
    starts = np.diff(associate, prepend=-1) != 0
    _, per_associate = np.unique(associate, return_counts=True)
    breaks = starts | (np.diff(time, prepend=time[:1]) > gap)
    number = np.cumsum(breaks) - 1
    session = number - np.repeat(number[starts], per_associate)
    # np.unique gives the first position of each pair: its earliest event.
    width = int(page.max(initial=0)) + 1
    _, first = np.unique(associate.astype(np.int64) * width + page, return_index=True)
    first.sort()
    kept = associate[first]
    _, start, count = np.unique(kept, return_index=True, return_counts=True)
    return Interactions(
        associate=kept,
        page=page[first],
        time=time[first],
        ordinal=(np.arange(len(first)) - np.repeat(start, count)).astype(np.int32),
        session=session[first].astype(np.int32),
        sessions=np.bincount(associate[breaks]).astype(np.int32),
    )
