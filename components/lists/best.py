"""The best pages of each associate, exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.eligibility import Eligibility
from components.contract.encoding import text
from components.contract.query_tower import QueryTower
from components.contract.requests import Requests
from components.contract.sources import Vectors

# Associates scored at a time: their scores of 5,000 pages take 40 MB.
BLOCK = 2048


def best(scores: NDArray[np.float32], size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns of the ``size`` largest scores of each row, best first, and the scores; -1 and 0 pad.

    Equal scores go by column. What scores minus infinity is left out. All passes over whole rows are
    a partition, a comparison and a search for what is true; only what is kept is sorted.

    Parameters
    ----------
    scores : array of float32, shape (N, P)
    size : int

    Examples
    --------
    >>> rows, found = best(np.array([[1, 3, 3, 2], [-np.inf, 5, -np.inf, -np.inf]], np.float32), 2)
    >>> rows.tolist(), found.tolist()
    ([[1, 2], [1, -1]], [[3.0, 3.0], [5.0, 0.0]])
    """
    rows, pages = scores.shape
    width = min(size, pages)
    if not width or not rows:
        return np.full((rows, size), -1), np.zeros((rows, size), np.float32)
    limit = np.partition(scores, pages - width, axis=1)[:, pages - width, None]
    kept = np.flatnonzero(scores >= limit)
    counts = np.bincount(kept // pages, minlength=rows)
    if (counts > width).any():
        kept = _without_ties(scores, limit, kept, width)
    column = (kept % pages).reshape(rows, width)
    value = scores.ravel()[kept].reshape(rows, width)
    # Columns ascend, so a stable sort leaves equal scores in their order.
    order = np.argsort(-value, axis=1, kind="stable")
    column, value = np.take_along_axis(column, order, axis=1), np.take_along_axis(value, order, axis=1)
    none = np.isneginf(value)
    found = np.full((rows, size), -1), np.zeros((rows, size), np.float32)
    found[0][:, :width], found[1][:, :width] = np.where(none, -1, column), np.where(none, 0, value)
    return found


def _without_ties(
    scores: NDArray[np.float32], limit: NDArray[np.float32], kept: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Of what equals the limit, keep the first of each row, so that each row keeps ``width``."""
    row = kept // scores.shape[1]
    ties = scores.ravel()[kept] == limit.ravel()[row]
    above = np.bincount(row[~ties], minlength=len(scores))
    count = np.cumsum(ties)
    begins = np.searchsorted(row, np.arange(len(scores)))
    number = count - (count[begins] - ties[begins])[row]
    return kept[~ties | (number <= (width - above)[row])]


class Lister:
    """Lists of all associates of a dataset by the two-tower model, as of its last event.

    Parameters
    ----------
    dataset : Dataset
    vectors : Vectors
    tower : QueryTower
    size : int
        Pages of a list.
    """

    def __init__(self, dataset: Dataset, vectors: Vectors, tower: QueryTower, size: int) -> None:
        self._associates, self._size = dataset.associates, size
        self._vectors = np.ascontiguousarray(vectors.align(dataset.page_ids).vectors.T)
        self._tower = tower.align(dataset.page_ids)
        self._eligible = Eligibility(dataset.pages)
        self._known = self._vectors.any(axis=0)
        self._time = float((dataset.meta.get("span") or [0.0])[-1])
        self._page, self._when = dataset.column(c.PAGE), dataset.column(c.TIME)
        count = np.bincount(dataset.column(c.ASSOCIATE), minlength=dataset.associates.height)
        # Interactions lie by associate: those of one begin here.
        self._starts = np.concatenate([[0], np.cumsum(count)])

    def requests(self, first: int, stop: int) -> Requests:
        """What some associates would ask for at the end of the log."""
        who = self._associates[first:stop]
        start, end = self._starts[first:stop], self._starts[first + 1 : stop + 1]
        steps = np.arange(self._tower.history_size)
        place = end[:, None] - 1 - steps
        valid = place >= start[:, None]
        place = np.where(valid, place, 0)
        known = len(self._page) > 0
        seen = slice(self._starts[first], self._starts[stop])
        return Requests(
            time=np.full(len(who), self._time),
            associate_id=text(who[c.ASSOCIATE_ID]),
            attributes={name: text(who[name]) for name in c.REQUEST_ATTRIBUTES},
            history_page=np.where(valid, self._page[place] if known else -1, np.int32(-1)),
            history_time=np.where(valid, self._when[place] if known else np.nan, np.nan),
            history_count=(end - start).astype(np.int32),
            seen_row=np.repeat(np.arange(len(who), dtype=np.int32), end - start),
            seen_page=self._page[seen],
            target=np.full(len(who), -1, np.int32),
            tenure_days=np.full(len(who), np.nan),
        )

    def scores(self, requests: Requests) -> NDArray[np.float32]:
        """Cosine of query and page; minus infinity where a page must not be shown or has no vector."""
        query = self._tower(
            self._tower.encode_associates(requests.associate_id),
            self._tower.encode_attributes(requests.attributes),
            requests.history_page,
            requests.time[:, None] - requests.history_time,
        )
        scores = query @ self._vectors
        np.copyto(scores, -np.inf, where=~(self._eligible(requests) & self._known))
        scores[requests.seen_row, requests.seen_page] = -np.inf
        return scores

    def part(self, first: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Pages and scores of the associates from row ``first`` on, ``BLOCK`` at most."""
        stop = min(first + BLOCK, self._associates.height)
        return best(self.scores(self.requests(first, stop)), self._size)

    def parts(self, workers: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """All lists, in the order of the associates; ``workers`` threads work on as many blocks."""
        firsts = range(0, self._associates.height, BLOCK)
        with ThreadPoolExecutor(workers) as pool:
            # Some at a time: lists that nobody has taken yet do not pile up.
            for at in range(0, len(firsts), 4 * workers):
                yield from pool.map(self.part, firsts[at : at + 4 * workers])
