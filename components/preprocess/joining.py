"""What the groups of associates, and the parts, say together: numbers through the whole log, and its cuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import polars as pl

from components.contract import columns as c
from components.contract.dataset import COMPLETION_SCHEMA, INTERACTION_SCHEMA
from components.preprocess import log, parts
from components.preprocess.parts import Part
from components.preprocess.sessions import MICROSECONDS


def join_shards(work: str, ids: pl.Series) -> tuple[pl.DataFrame, int]:
    """Number associates by the dataset's table, sessions through the whole log; count sessions.

    Returns
    -------
    polars.DataFrame
        All interactions, sorted by (associate, time, page), without their stage.
    int
    """
    rows = []
    sessions = np.zeros(len(ids), np.int64)
    for known in log.collect(work, "associates"):
        rows.append(ids.search_sorted(known[c.ASSOCIATE_ID]).to_numpy())
        sessions[rows[-1]] = known["sessions"].to_numpy()
    held = np.zeros(len(ids), np.int64)
    for row, part in zip(rows, log.collect(work, "interactions"), strict=True):
        held[row] = np.bincount(part[c.ASSOCIATE].to_numpy(), minlength=len(row))
    starts, sessions_before = np.cumsum(held) - held, np.cumsum(sessions) - sessions
    schema = pl.Schema({name: dtype for name, dtype in INTERACTION_SCHEMA.items() if name != c.STAGE})
    columns = {name: np.empty(held.sum(), np.int64 if name == c.TIME else np.int32) for name in schema}
    for row, part in zip(rows, log.collect(work, "interactions"), strict=True):
        associate, ordinal = row[part[c.ASSOCIATE].to_numpy()], part[c.ORDINAL].to_numpy()
        # An associate's rows are in one group, in order: where each goes is known without sorting.
        place = starts[associate] + ordinal
        columns[c.ASSOCIATE][place] = associate
        columns[c.PAGE][place] = part[c.PAGE].to_numpy()
        columns[c.TIME][place] = part[c.TIME].to_numpy()
        columns[c.ORDINAL][place] = ordinal
        columns[c.SESSION][place] = part[c.SESSION].to_numpy() + sessions_before[associate]
    joined = pl.DataFrame(columns).with_columns(pl.col(c.TIME) / MICROSECONDS)
    return joined.cast(schema).select(*schema), int(sessions.sum())


def join_completions(work: str, ids: pl.Series) -> pl.DataFrame:
    """Number associates by the dataset's table; last completions, sorted by (associate, page)."""
    found = []
    for known, part in zip(log.collect(work, "associates"), log.collect(work, "completions"), strict=True):
        row = ids.search_sorted(known[c.ASSOCIATE_ID])
        found.append(part.with_columns(row.gather(part[c.ASSOCIATE]).alias(c.ASSOCIATE)))
    joined = pl.concat(found).with_columns(pl.col(c.TIME) / MICROSECONDS)
    return joined.cast(COMPLETION_SCHEMA).sort(c.ASSOCIATE, c.PAGE)


def time_cuts(folder: str, found: Sequence[Part], quantiles: Sequence[float]) -> list[float]:
    """Find the times before which the given shares of all engagement events lie.

    Exact, without all times in memory: only parts around a cut are read.

    Parameters
    ----------
    folder : str
        Of the parts.
    found : sequence of Part
    quantiles : sequence of float
        Shares between 0 and 1.

    Returns
    -------
    list of float
        Epoch seconds, interpolated linearly between neighbouring events (as ``numpy.quantile``);
        empty without events.
    """
    found = [part for part in found if part.engagements]
    total = sum(part.engagements for part in found)
    if not total:
        return []
    times = cache(lambda number: parts.read_times(folder, found[number]))

    def up_to(moment: int) -> int:
        """How many events are at or before a moment."""
        count = 0
        for number, part in enumerate(found):
            if part.first <= moment < part.last:
                count += int(np.searchsorted(times(number), moment, side="right"))
            elif part.last <= moment:
                count += part.engagements
        return count

    def ranked(rank: int) -> float:
        """Epoch seconds of the event with so many before it, by bisection."""
        low, high = min(part.first for part in found), max(part.last for part in found)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if up_to(middle) > rank else (middle + 1, high)
        return low / MICROSECONDS

    return [_between(ranked, share * (total - 1)) for share in quantiles]


def _between(ranked: Callable[[int], float], place: float) -> float:
    low = int(place)
    before, weight = ranked(low), place - low
    if not weight:
        return before
    after = ranked(low + 1)
    # As NumPy does it, so that rounding is the same.
    step = after - before
    return after - step * (1 - weight) if weight >= 0.5 else before + step * weight
