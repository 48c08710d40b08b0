"""Feedback sums of each page, as whole numbers that add up in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.contract import columns as c

# Decimal numbers are summed in whole millionths: integers add up to the same in whatever order they
# come, floats do not.
MILLIONTHS = 1_000_000
# Far beyond any real dwell time; keeps a sum of many within 64 bits.
_LARGEST = 1e8

_KINDS = {
    "impressions": c.IMPRESSION,
    "views": c.VIEW,
    "completions": c.COMPLETE,
    "skips": c.SKIP,
}
_DECIMALS = {"dwell": c.DWELL, "rating": c.RATING}
DECIMALS = tuple(f"{name}_sum" for name in _DECIMALS)
SUMS = ("events", *_KINDS, "dwell_sum", "dwell_count", "rating_sum", "rating_count")


def millionths(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Round to whole millionths; what is not a finite number counts as 0.

    Examples
    --------
    >>> millionths(np.array([1.5, np.nan])).tolist()
    [1500000, 0]
    """
    finite = np.clip(np.where(np.isfinite(values), values, 0), -_LARGEST, _LARGEST)
    return np.rint(finite * MILLIONTHS).astype(np.int64)


def numbers(events: pa.Table, name: str) -> NDArray[np.float64]:
    """Give a column as floats; NaN where it is null or absent."""
    if name not in events.column_names:
        return np.full(len(events), np.nan)
    return events[name].cast(pa.float64()).to_numpy()


def add_up(events: pa.Table, page: NDArray[np.int32], pages: int) -> dict[str, NDArray[np.int64]]:
    """Add up the events of each page.

    Parameters
    ----------
    events : pyarrow.Table
    page : array of int32, shape (events,)
    pages : int

    Returns
    -------
    dict of str to array of int64, shape (pages,)
        One of each of ``SUMS``.

    Examples
    --------
    >>> events = pa.table({"event_type": ["view", "skip", "view"], "dwell_seconds": [1.5, None, 2.0]})
    >>> found = add_up(events, np.array([1, 1, 0], np.int32), 2)
    >>> found["views"].tolist(), found["dwell_sum"].tolist(), found["dwell_count"].tolist()
    ([1, 1], [2000000, 1500000], [1, 1])
    """
    kind = pc.index_in(events[c.EVENT_TYPE], value_set=pa.array(_KINDS.values())).fill_null(len(_KINDS))
    width = len(_KINDS) + 1
    counts = np.bincount(page * width + kind.to_numpy(), minlength=pages * width).reshape(pages, width)
    sums = {"events": counts.sum(axis=1), **dict(zip(_KINDS, counts.T, strict=False))}
    for name, column in _DECIMALS.items():
        values = numbers(events, column)
        there = np.flatnonzero(np.isfinite(values))
        total = np.zeros(pages, np.int64)
        np.add.at(total, page[there], millionths(values[there]))
        sums |= {f"{name}_sum": total, f"{name}_count": np.bincount(page[there], minlength=pages)}
    return {name: sums[name].astype(np.int64) for name in SUMS}
