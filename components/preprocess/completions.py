"""When each page was completed last: summaries of some events, and what all summaries together say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Completions(NamedTuple):
    """Last completions; those of any events may be put together by :func:`last_of_each`.

    Attributes
    ----------
    associate, page : array of int32, shape (C,)
    time : array of int64, shape (C,)
        Epoch microseconds.
    """

    associate: NDArray[np.int32]
    page: NDArray[np.int32]
    time: NDArray[np.int64]


def last_of_each(found: Completions) -> Completions:
    """Keep the last completion of each associate and page, sorted by both.

    Examples
    --------
    >>> who, page, when = np.zeros(3, np.int32), np.array([7, 2, 7], np.int32), np.array([10, 20, 30])
    >>> last = last_of_each(Completions(who, page, when))
    >>> last.page.tolist(), last.time.tolist()
    ([2, 7], [20, 30])
    """
    order = np.lexsort((found.time, found.page, found.associate))
    associate, page, time = found.associate[order], found.page[order], found.time[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (np.diff(associate) != 0) | (np.diff(page) != 0)
    return Completions(associate[last], page[last], time[last])
