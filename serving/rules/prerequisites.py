"""Which pages an associate should open before others."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c


class Prerequisites:
    """Prerequisites over one catalogue; those that it does not hold ask for nothing.

    A prerequisite is missing when the associate has not opened it but may see it: what nobody lets
    the associate open (retired, blocked, for another role) hides nothing.

    Parameters
    ----------
    pages : polars.DataFrame
        Columns ``page_id`` and ``prerequisites``.
    """

    def __init__(self, pages: pl.DataFrame):
        rows = {page_id: row for row, page_id in enumerate(pages[c.PAGE_ID])}
        self._needs = [
            [rows[one] for one in needed or [] if one in rows and rows[one] != row]
            for row, needed in enumerate(pages["prerequisites"].to_list())
        ]
        counts = [len(needed) for needed in self._needs]
        self._owner = np.repeat(np.arange(len(counts)), counts)
        self._needed = np.array([one for needed in self._needs for one in needed], np.int64)

    def waiting(self, missing: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Pages with a prerequisite among the ``missing`` ones, (P,) bool."""
        return self._owner[missing[self._needed]]

    def instead(self, page: int, missing: NDArray[np.bool_]) -> int:
        """What to open first: ``page`` itself if nothing is missing; -1 where pages ask for each other."""
        passed = {page}
        while True:
            ahead = next((one for one in self._needs[page] if missing[one]), None)
            if ahead is None:
                return page
            if ahead in passed:
                return -1
            passed.add(ahead)
            page = ahead

    def circular(self) -> list[int]:
        """Pages that can never be opened, because they or those before them ask for each other."""
        waiting = [set(needed) for needed in self._needs]
        behind: list[list[int]] = [[] for _ in waiting]
        for owner, needed in zip(self._owner.tolist(), self._needed.tolist(), strict=True):
            behind[needed].append(owner)
        ready = [page for page, needed in enumerate(waiting) if not needed]
        for page in ready:
            for owner in behind[page]:
                waiting[owner].discard(page)
                if not waiting[owner]:
                    ready.append(owner)
        return [page for page, needed in enumerate(waiting) if needed]
