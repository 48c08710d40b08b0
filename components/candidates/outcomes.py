"""What came of the pages that were opened, and where pages stood in the list that was shown.

Both are for learning only: they are known after the request, so no feature may read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.encoding import find, text
from components.contract.requests import Requests
from components.contract.time import DAY

# What comes of a page is looked for this long after its first opening.
_AFTER = DAY
# An answer is what its associate looks at for this long.
_SHOWN = 1800.0
# Positions are kept in a byte.
_LAST_POSITION = 126


@dataclass(frozen=True)
class Outcomes:
    """Of B requests, and the lists shown just before them.

    Attributes
    ----------
    completion : array of float32, shape (B,)
        1 where the target was completed within a day, 0 where not; NaN where the log knows no
        completions.
    dwell : array of float32, shape (B,)
        Time spent on the target within a day, as a share of the page's usual time, at most 1; NaN
        where the log has none.
    shown : array of int64, shape (S,)
        Request * pages + page of what was shown, ascending.
    place : array of int8, shape (S,)
        Positions of these; 0 is the top.
    pages : int
    """

    completion: NDArray[np.float32]
    dwell: NDArray[np.float32]
    shown: NDArray[np.int64]
    place: NDArray[np.int8]
    pages: int

    def positions(self, row: NDArray[np.int32], page: NDArray[np.int32]) -> NDArray[np.int8]:
        """Positions of N candidates in the lists that were shown; -1 for what was not."""
        if not len(self.shown):
            return np.full(len(row), -1, np.int8)
        asked = row.astype(np.int64) * self.pages + page
        at = np.minimum(np.searchsorted(self.shown, asked), len(self.shown) - 1)
        return np.where(self.shown[at] == asked, self.place[at], np.int8(-1))


def unknown(requests: Requests) -> Outcomes:
    """Outcomes where there is no log to look in."""
    nothing = np.full(len(requests), np.nan, np.float32)
    return Outcomes(nothing, nothing, np.empty(0, np.int64), np.empty(0, np.int8), 0)


def outcomes(
    tables: Path | str,
    requests: Requests,
    pages: pl.DataFrame,
    until: float = np.inf,
) -> Outcomes:
    """Look the outcomes of requests up in the log.

    Parameters
    ----------
    tables : path
        The checked tables; ``events.parquet`` is read.
    requests : Requests
        With targets.
    pages : polars.DataFrame
        The dataset's. A page's usual time is its duration, or where that is unknown the mean of all visits.
    until : float
        Epoch seconds; events from then on are not looked at.
    """
    path = Path(tables) / "events.parquet"
    page_ids = text(pages[c.PAGE_ID])
    usual = pages["duration_seconds"].to_numpy().astype(np.float64)
    asked = pl.DataFrame(
        {
            "request": np.arange(len(requests), dtype=np.int64),
            c.ASSOCIATE_ID: requests.associate_id.tolist(),
            c.PAGE_ID: page_ids[requests.target].tolist(),
            "asked": requests.time,
        }
    )
    events = (
        pl.scan_parquet(path)
        .with_columns(pl.col(c.TIMESTAMP).dt.epoch("us").truediv(1e6).alias(c.TIME))
        .filter(pl.col(c.TIME) < until)
    )
    completion, dwell = _of_targets(events, asked, requests, usual)
    shown = _shown(events, asked, page_ids)
    key = shown["request"].to_numpy() * len(page_ids) + shown[c.PAGE].to_numpy()
    order = np.argsort(key)
    return Outcomes(
        completion=completion,
        dwell=dwell,
        shown=key[order],
        place=shown[c.POSITION].to_numpy().astype(np.int8)[order],
        pages=len(page_ids),
    )


def _of_targets(
    events: pl.LazyFrame, asked: pl.DataFrame, requests: Requests, usual: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    known = events.select(
        (pl.col(c.EVENT_TYPE) == c.COMPLETE).any().alias("completions"), pl.col(c.DWELL).mean().alias("dwell")
    ).collect()
    after = pl.col(c.TIME).is_between(pl.col("asked"), pl.col("asked") + _AFTER)
    found = (
        events.select(c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIME, c.DWELL)
        .join(asked.lazy(), on=[c.ASSOCIATE_ID, c.PAGE_ID])
        .filter(after)
        .group_by("request")
        .agg(
            (pl.col(c.EVENT_TYPE) == c.COMPLETE).any().alias("completed"),
            pl.col(c.DWELL).sum().alias("seconds"),
            pl.col(c.DWELL).is_not_null().any().alias("timed"),
        )
        .collect(engine="streaming")
    )
    completion, dwell = np.full((2, len(requests)), np.nan, np.float32)
    rows = found["request"].to_numpy()
    if known["completions"].item():
        completion[:] = 0
        completion[rows] = found["completed"].to_numpy()
    timed = found["timed"].to_numpy()
    if timed.any():
        at = rows[timed]
        expected = usual[requests.target[at]]
        expected = np.where(np.isnan(expected), known["dwell"].item(), expected)
        dwell[at] = np.minimum(found["seconds"].to_numpy()[timed] / np.maximum(expected, 1), 1)
    return completion, dwell


def _shown(events: pl.LazyFrame, asked: pl.DataFrame, page_ids: NDArray[np.str_]) -> pl.DataFrame:
    """The latest list that each request's associate was shown: request, page, position."""
    lists = (
        events.filter(pl.col(c.EVENT_TYPE) == c.IMPRESSION, pl.col(c.POSITION).is_not_null())
        .select(c.ASSOCIATE_ID, c.PAGE_ID, c.POSITION, c.TIME)
        .join(asked.lazy().select(c.ASSOCIATE_ID).unique(), on=c.ASSOCIATE_ID, how="semi")
        .collect(engine="streaming")
    )
    times = lists.select(c.ASSOCIATE_ID, c.TIME, pl.col(c.TIME).alias("shown")).unique().sort(c.TIME)
    latest = (
        asked.sort("asked")
        .join_asof(
            times,
            left_on="asked",
            right_on=c.TIME,
            by=c.ASSOCIATE_ID,
            tolerance=_SHOWN,
            check_sortedness=False,
        )
        .drop_nulls("shown")
    )
    shown = latest.select("request", c.ASSOCIATE_ID, "shown").join(
        lists, left_on=[c.ASSOCIATE_ID, "shown"], right_on=[c.ASSOCIATE_ID, c.TIME]
    )
    ids = shown[c.PAGE_ID].to_numpy().astype(np.str_)
    page = find(page_ids, ids, np.argsort(page_ids))
    return (
        shown.with_columns(pl.Series(c.PAGE, page), pl.col(c.POSITION).clip(0, _LAST_POSITION))
        .filter(pl.col(c.PAGE) >= 0)
        .group_by("request", c.PAGE)
        .agg(pl.col(c.POSITION).min())
    )
