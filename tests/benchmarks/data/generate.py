"""A log of any size, as ingest would have written it: seeded, vectorised, one day in memory at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from components.contract import columns as c

PAGES, DAYS, START = 5_000, 30, 1_772_323_200  # 2026-03-01, UTC
_EVENTS_PER_ASSOCIATE, _PER_SESSION = 50, 5
_SHARES = {
    c.IMPRESSION: 0.35,
    c.VIEW: 0.40,
    c.COMPLETE: 0.15,
    c.SKIP: 0.04,
    c.RATE: 0.03,
    c.LIKE: 0.03,
}


def ids(prefix: str, numbers: np.ndarray, width: int) -> pl.Series:
    """Texts such as A0000017."""
    return pl.select(pl.lit(prefix) + pl.Series(numbers).cast(pl.String).str.zfill(width)).to_series()


def day_of(day: int, size: int, associates: int, seed: int, first_id: int = 0) -> pl.DataFrame:
    """One day's events in time order: bursts of five, popular pages more often."""
    draw = np.random.default_rng([seed, day])
    sessions = -(-size // _PER_SESSION)
    start = draw.integers(0, 85_000 * 10**6, sessions)
    pause = draw.exponential(60e6, (sessions, _PER_SESSION)).astype(np.int64)
    time = np.minimum(start[:, None] + np.cumsum(pause, axis=1), 86_400 * 10**6 - 1).ravel()[:size]
    who = np.repeat(draw.integers(0, associates, sessions), _PER_SESSION)[:size]
    weight = 1 / np.arange(1, PAGES + 1) ** 0.8
    page = np.searchsorted(np.cumsum(weight) / weight.sum(), draw.random(size))
    kinds = list(_SHARES)
    kind = np.searchsorted(np.cumsum(list(_SHARES.values()))[:-1], draw.random(size), side="right")
    order = np.argsort(time, kind="stable")
    time, who, page, kind = time[order], who[order], page[order], kind[order]
    opened = kind == kinds.index(c.VIEW)
    rated = kind == kinds.index(c.RATE)
    dwell = np.where(opened, np.round(draw.exponential(90, size), 1), np.nan)
    return pl.DataFrame(
        {
            c.EVENT_ID: ids("E", first_id + np.arange(size), 11),
            c.ASSOCIATE_ID: ids("A", who, 7),
            c.PAGE_ID: ids("P", page, 4),
            c.EVENT_TYPE: pl.Series(kinds).gather(kind),
            c.TIMESTAMP: pl.Series((START + 86_400 * day) * 10**6 + time).cast(pl.Datetime("us", "UTC")),
            c.DWELL: pl.Series(dwell).fill_nan(None),
            c.RATING: pl.Series(np.where(rated, draw.integers(1, 6, size), np.nan)).fill_nan(None),
        }
    )


def write_tables(folder: Path, events: int, seed: int = 1, days: int = DAYS) -> None:
    """Write ``events.parquet``, ``pages.parquet`` and ``associates.parquet``.

    Parameters
    ----------
    folder : Path
    events : int
        Spread evenly over the days; fifty for each associate.
    seed : int
    days : int
    """
    folder.mkdir(parents=True, exist_ok=True)
    associates = max(1, events // _EVENTS_PER_ASSOCIATE)
    bounds = np.linspace(0, events, days + 1).astype(int)
    writer = None
    for day in range(days):
        rows = day_of(day, int(bounds[day + 1] - bounds[day]), associates, seed, int(bounds[day])).to_arrow()
        writer = writer or pq.ParquetWriter(folder / "events.parquet", rows.schema, compression="zstd")
        # Row groups as Polars' streaming sink, ingest's way, leaves them.
        writer.write_table(rows, row_group_size=122_880)
    writer.close()
    pl.DataFrame({c.PAGE_ID: ids("P", np.arange(PAGES), 4)}).write_parquet(folder / "pages.parquet")
    people = {c.ASSOCIATE_ID: ids("A", np.arange(associates), 7), "role": ["clerk"] * associates}
    pl.DataFrame(people).write_parquet(folder / "associates.parquet")
