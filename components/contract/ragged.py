"""Rows of unequal length that lie one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def gather(
    offsets: NDArray[np.int64], rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where the entries of some rows stand, and which of these rows each belongs to.

    Parameters
    ----------
    offsets : array of int64, shape (R + 1,)
        Where each row's entries begin and end.
    rows : array of int, shape (B,)
        The rows asked for, in any order.

    Examples
    --------
    >>> at, row = gather(np.array([0, 2, 3]), np.array([1, 0]))
    >>> at.tolist(), row.tolist()
    ([2, 0, 1], [0, 1, 1])
    """
    lengths = offsets[rows + 1] - offsets[rows]
    starts = np.cumsum(lengths) - lengths
    at = np.repeat(offsets[rows] - starts, lengths) + np.arange(lengths.sum())
    return at, np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
