"""Which page of a history a source started from when it proposed a page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.contract.kernels import Kernel, library
from components.contract.lists import Lists


class Evidence:
    """Finds the page of a history that most made a source propose a candidate.

    Parameters
    ----------
    lists : Lists
        Neighbour lists over P pages.
    list_of : mapping of int to int
        The list that a source proposes from, for sources that do.
    latest : set of int
        Sources that look at the latest pages alone.
    vectors : array of float32, shape (P, D)
        By which one more source goes.
    by_vectors : int
        That source.
    weights : pair of arrays of float32
        By place in the history, for other sources and for those of ``latest``.
    """

    def __init__(
        self,
        lists: Lists,
        list_of: Mapping[int, int],
        latest: set[int],
        vectors: NDArray[np.float32],
        by_vectors: int,
        weights: tuple[NDArray[np.float32], NDArray[np.float32]],
    ):
        self._lists, self._latest, self._vectors, self._by_vectors = lists, latest, vectors, by_vectors
        self._list_of, self._weights = list_of, weights
        # The columns in which a source's list lies; where it has none, nowhere. The last row: no source.
        size = max(list_of, default=-1) + 2
        self._begin, self._end = np.zeros(size, np.int32), np.zeros(size, np.int32)
        for source, place in list_of.items():
            self._begin[source], self._end[source] = np.searchsorted(lists.owner, [place, place + 1])
        self._size = np.full(size, len(weights[0]), np.int32)
        self._size[list(latest)] = len(weights[1])
        self._weight = np.zeros((size, max(map(len, weights))), np.float32)
        for source in range(size):
            weight = weights[source in latest]
            self._weight[source, : len(weight)] = weight
        kernels = library()
        self._evidence = kernels and Kernel(kernels, "evidence", "i" * 4 + "p" * 10)

    def __call__(
        self,
        history: NDArray[np.int32],
        row: NDArray[np.integer],
        page: NDArray[np.int32],
        source: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        """Pages of the histories, (n,); -1 where no single page speaks for a candidate.

        Parameters
        ----------
        history : array of int32, shape (B, L)
            Latest pages first; -1 pads, after the pages.
        row : array of int, shape (n,)
            Whose candidate it is.
        page, source : arrays of int32, shape (n,)
            Candidates, and the source that each is owed to; -1 for none.
        """
        if self._evidence:
            found = self._compiled(self._evidence, history, row, page, source)
        else:
            found = np.full(len(page), -1, np.int32)
            for of, place in self._list_of.items():
                at = np.flatnonzero(source == of)
                if len(at):
                    lists = self._lists.part(place, place + 1)
                    asked = history[row[at]]
                    same = lists.index[asked] == page[at, None, None]
                    said = np.where(same, lists.score[asked], 0).sum(axis=2)
                    found[at] = _strongest(asked, said, self._weights[of in self._latest])
        at = np.flatnonzero(source == self._by_vectors)
        if len(at):
            asked = history[row[at]]
            said = (self._vectors[asked] @ self._vectors[page[at], :, None])[..., 0]
            found[at] = _strongest(asked, said, self._weights[0])
        return found

    def _compiled(
        self,
        evidence: Kernel,
        history: NDArray[np.int32],
        row: NDArray[np.integer],
        page: NDArray[np.int32],
        source: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        history = np.ascontiguousarray(history)
        place = np.where(source < len(self._begin), source, -1)
        of, begin, end, size = row.astype(np.int32), self._begin[place], self._end[place], self._size[place]
        weight, page = self._weight[place], np.ascontiguousarray(page)
        found = np.empty(len(page), np.int32)
        sizes = (len(page), history.shape[1], weight.shape[1], self._lists.index.shape[1])
        lists = self._lists.index, self._lists.score
        evidence(*sizes, history, of, page, begin, end, size, weight, *lists, found)
        return found


def _strongest(
    history: NDArray[np.int32], said: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.int32]:
    """The page, (n,), of which most is said, (n, L); -1 where nothing is."""
    places = min(len(weight), history.shape[1])
    history, value = history[:, :places], said[:, :places] * weight[:places]
    value[history < 0] = 0
    best = value.argmax(axis=1)
    at = np.arange(len(history)), best
    return np.where(value[at] > 0, history[at], -1)
