"""The pages that came before a request, as far as the ranker looks at them one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import DataError


class Latest(NamedTuple):
    """The latest n pages before each of B requests, as the network takes them; N candidates.

    Attributes
    ----------
    row : array of int32, shape (N,)
        Each candidate's request.
    page : array of int32, shape (B, n)
        Codes, latest first; 0 where there was no page, and for a page that is not known. Those who hold
        text give the pages' ids instead, "" where there was none.
    age : array of float32, shape (B, n)
        log(1 + hours between the page and the request); 0 where there was none.
    """

    row: NDArray[np.int32]
    page: NDArray[Any]
    age: NDArray[np.float32]

    def of(self, candidates: slice | NDArray[np.generic]) -> Latest:
        """The same for some of the candidates."""
        return self._replace(row=self.row[candidates])


class History(NamedTuple):
    """What N candidates' requests know of earlier pages; B requests, up to L pages each.

    It refers to what is there already: nothing is computed before a ranker asks.

    Attributes
    ----------
    row : array of int32, shape (N,)
        Each candidate's request.
    page : array of int32, shape (B, L)
        Rows of the catalogue, latest first; -1 pads.
    opened : array of float64, shape (B, L)
        When each was opened, epoch seconds; NaN pads.
    time : array of float64, shape (B,)
        The requests', epoch seconds.
    """

    row: NDArray[np.int32]
    page: NDArray[np.int32]
    opened: NDArray[np.float64]
    time: NDArray[np.float64]

    def latest(self, count: int) -> Latest:
        """The latest ``count`` pages, by the catalogue's codes: 0 for none, 1 for the first row.

        Raises
        ------
        DataError
            The histories are shorter, as in examples of versions that kept none.
        """
        if self.page.shape[1] < count:
            raise DataError(
                f"the ranker looks at the latest {count} pages before a request, and the histories "
                f"hold {self.page.shape[1]}; run the candidates step again"
            )
        page = self.page[:, :count]
        hours = np.where(page >= 0, (self.time[:, None] - self.opened[:, :count]) / 3600, 0)
        return Latest(self.row, page + np.int32(1), np.log1p(np.maximum(hours, 0)).astype(np.float32))

    def of(self, candidates: slice | NDArray[np.generic]) -> History:
        """The same for some of the candidates."""
        return self._replace(row=self.row[candidates])

    def hidden(self, hide: NDArray[np.bool_]) -> History:
        """The same, but some of the candidates, (N,), are of a request that knows of no page."""
        return History(
            row=np.where(hide, len(self.page), self.row).astype(np.int32),
            page=np.concatenate([self.page, np.full_like(self.page[:1], -1)]),
            opened=np.concatenate([self.opened, np.full_like(self.opened[:1], np.nan)]),
            time=np.concatenate([self.time, self.time[:1]]),
        )


NO_HISTORY = History(
    row=np.empty(0, np.int32), page=np.empty((0, 0), np.int32), opened=np.empty((0, 0)), time=np.empty(0)
)
