"""Text columns as arrays and as numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray


def text(column: pl.Series) -> NDArray[np.str_]:
    """A column of strings as an array; "" where unknown."""
    return column.fill_null("").to_numpy().astype(np.str_)


def encode(column: pl.Series) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Distinct values ("" for unknown comes first) and each row's position among them.

    Examples
    --------
    >>> values, codes = encode(pl.Series(["b", None, "a", "b"]))
    >>> values.tolist(), codes.tolist()
    (['', 'a', 'b'], [2, 0, 1, 2])
    """
    # Polars: of a million rows only the distinct ones become Python's or NumPy's texts.
    rows = column.fill_null("").alias("")
    values = pl.concat([pl.Series("", [""]), rows]).unique().sort()
    codes = rows.cast(pl.Enum(values)).to_physical().to_numpy()
    return text(values), codes.astype(np.int64)


def find(
    values: NDArray[np.str_], asked: NDArray[np.str_], sorter: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Position of each text in ``values``; -1 where it is not among them.

    Parameters
    ----------
    values : array of str, shape (V,)
        Sorted, unless ``sorter`` is given.
    asked : array of str, shape (N,)
    sorter : array of int, shape (V,), optional
        ``np.argsort(values)``.

    Examples
    --------
    >>> find(np.array(["a", "c"]), np.array(["c", "b", "a"])).tolist()
    [1, -1, 0]
    >>> values = np.array(["c", "a"])
    >>> find(values, np.array(["a", "b"]), np.argsort(values)).tolist()
    [1, -1]
    """
    if not len(values):
        return np.full(len(asked), -1, np.int64)
    place = np.minimum(np.searchsorted(values, asked, sorter=sorter), len(values) - 1)
    rows = place if sorter is None else sorter[place]
    return np.where(values[rows] == asked, rows, -1)


class Codes:
    """Numbers of a few texts, by a hash table; :func:`find` suits whole columns.

    Parameters
    ----------
    values : iterable of str
        Numbered 0, 1, ...
    missing : int
        The number of any other text.

    Examples
    --------
    >>> Codes(["", "a", "b"], missing=0)(np.array(["b", "c"])).tolist()
    [2, 0]
    """

    def __init__(self, values: Iterable[str], missing: int = -1):
        self._number = {value: number for number, value in enumerate(values)}
        self._missing = missing

    def __len__(self) -> int:
        return len(self._number)

    def __call__(self, asked: NDArray[np.str_]) -> NDArray[np.int64]:
        """Look up each text of an array of shape (N,)."""
        # A loop in Python, but a request brings one text of each kind: a search by NumPy takes longer
        # to begin than this takes for dozens of texts.
        number, missing = self._number, self._missing
        return np.array([number.get(value, missing) for value in asked.tolist()], np.int64)
