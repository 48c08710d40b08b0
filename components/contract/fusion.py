"""What the ranks of a page in several sources' lists say together.

Ranks count from 0; arrays of ranks have one row for each source. A page that a source does not list has
the source's quota as its rank.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
# Learning Methods", SIGIR 2009: agreement of sources counts for more than a high place in one.
_RECIPROCAL = np.float32(60)
# The ranker's own sum of reciprocal ranks, in which high places weigh more, and what a high place is.
STEEP = np.float32(10)
HIGH = 10


def reciprocal_rank(rank: NDArray[np.integer]) -> NDArray[np.float32]:
    """What a listed page's rank adds to its fused score.

    Examples
    --------
    >>> reciprocal_rank(np.array([0, 40])).round(4).tolist()
    [0.016699999570846558, 0.009999999776482582]
    """
    return np.reciprocal(_RECIPROCAL + rank.astype(np.float32))


def unlisted_score(
    opened: NDArray[np.float32], most: NDArray[np.float32] | float, newness: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float64]:
    """Scores below any reciprocal rank, for pages in no list: the most opened, then the newest first.

    Parameters
    ----------
    opened : array of float32
        How often each was opened.
    most : array of float32 or float
        What that is measured against.
    newness : array of float64 or float
        0 (oldest) to 1 (newest).
    """
    return np.asarray(1e-6 * (1 + opened / most + 1e-3 * newness), np.float64)


def first_source(rank: NDArray[np.integer], quota: NDArray[np.integer]) -> NDArray[np.int32]:
    """Which source has each page highest in its list; -1 where none lists it.

    Parameters
    ----------
    rank : array of int, shape (S, N)
    quota : array of int, shape (S,)

    Examples
    --------
    >>> first_source(np.array([[3, 1, 3], [0, 1, 2]]), np.array([3, 2])).tolist()
    [1, 0, -1]
    """
    listed = rank < quota[:, None]
    first = np.where(listed, rank, np.iinfo(np.int32).max).argmin(axis=0).astype(np.int32)
    first[~listed.any(axis=0)] = -1
    return first


def rank_features(
    rank: NDArray[np.integer],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What the ranker reads of the ranks: log1p of each (S, N), high places (N,), reciprocal sum (N,)."""
    number = rank.astype(np.float32)
    high = (rank < HIGH).sum(axis=0, dtype=np.float32)
    return np.log1p(number), high, np.reciprocal(STEEP + number).sum(axis=0)
