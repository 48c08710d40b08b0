"""Neighbour lists of several sources side by side, so that one gather reads what all say of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.sources import Neighbours

# Entries of lists that are summed at a time: what they take stays in the cache, and memory bounded.
_ENTRIES = 2**18


class Lists:
    """Neighbour lists of some sources over one catalogue of P pages.

    Attributes
    ----------
    index : array of int32, shape (P + 1, K)
        Rows of the neighbours, the lists of all sources after one another. The last row, which -1
        means, is that of no page.
    score : array of float32, shape (P + 1, K)
        0 where padded.
    owner : array of int64, shape (K,)
        Which of the sources an entry belongs to.
    """

    def __init__(self, index: NDArray[np.int32], score: NDArray[np.float32], owner: NDArray[np.int64]):
        self.index, self.score, self.owner = index, score, owner

    @classmethod
    def side_by_side(cls, lists: Sequence[Neighbours]) -> Lists:
        """Put lists over the same catalogue together."""
        owner = np.repeat(np.arange(len(lists)), [one.index.shape[1] for one in lists])
        index = np.concatenate([np.maximum(one.index, 0) for one in lists], axis=1)
        score = np.concatenate([np.where(one.index >= 0, one.score, 0) for one in lists], axis=1)
        nothing = np.zeros((1, len(owner)))
        return cls(
            np.concatenate([index, nothing], dtype=np.int32, casting="unsafe"),
            np.concatenate([score, nothing], dtype=np.float32, casting="unsafe"),
            owner,
        )

    def part(self, first: int, stop: int) -> Lists:
        """Some of the sources, without copying."""
        columns = slice(*np.searchsorted(self.owner, [first, stop]))
        return Lists(self.index[:, columns], self.score[:, columns], self.owner[columns] - first)

    def copy(self, page: NDArray[np.int32], planes: NDArray[np.float32], at: NDArray[np.int64]) -> None:
        """Copy the lists of one page of each request into planes of zeros.

        Parameters
        ----------
        page : array of int32, shape (B,)
            -1 for none.
        planes : array of float32, shape (Q, B, P)
        at : array of int64
            The plane of each source.
        """
        _, batch, pages = planes.shape
        score = self.score[page]
        row, entry = score.nonzero()
        place = (at[self.owner[entry]] * batch + row) * pages + self.index[page[row], entry]
        planes.reshape(-1)[place] = score[row, entry]

    def sums(
        self, page: NDArray[np.int32], weight: NDArray[np.float32]
    ) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Sum the weighted lists of several pages of each request.

        Parameters
        ----------
        page, weight : arrays, shape (B, L)
            -1 pads.

        Yields
        ------
        rows : slice
            Some of the requests.
        sums : array of float64, shape (sources, rows, P)
        """
        pages, sources = len(self.index) - 1, int(self.owner[-1]) + 1
        block = max(1, _ENTRIES // max(1, page.shape[1] * len(self.owner)))
        for start in range(0, len(page), block):
            rows = slice(start, start + block)
            some = page[rows]
            place = self.index[some] + self._plane(len(some), pages)
            value = self.score[some] * weight[rows, :, None]
            cells = sources * len(some) * pages
            total = np.bincount(place.ravel(), value.ravel(), minlength=cells)
            yield rows, total.reshape(sources, len(some), pages)

    def _plane(self, batch: int, pages: int) -> NDArray[np.int64]:
        """Where the entries of each source and request begin among all sums, (B, 1, K)."""
        return (self.owner * batch + np.arange(batch)[:, None, None]) * pages
