"""The same tables by a straightforward Polars program, for a log that fits into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from components.contract import columns as c
from components.contract.dataset import page_order

_GAP_MICROSECONDS = 30 * 60 * 1_000_000


def count(kind: str) -> pl.Expr:
    """Events of a kind."""
    return (pl.col(c.EVENT_TYPE) == kind).sum().cast(pl.Float64)


def millionths(name: str) -> pl.Expr:
    """A sum that does not depend on order."""
    return (pl.col(name) * 1e6).round().cast(pl.Int64).sum() / 1e6


def interactions_and_page_days(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First engagements with sessions and stages, and each page's feedback by day."""
    order = page_order(pl.read_parquet(folder / "pages.parquet")[c.PAGE_ID])
    pages = pl.DataFrame({c.PAGE_ID: order, c.PAGE: np.arange(len(order), dtype=np.int32)})
    names = [c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP, c.DWELL, c.RATING]
    events = pl.read_parquet(folder / "events.parquet", columns=names).join(pages, on=c.PAGE_ID)
    page_days = (
        events.group_by(c.PAGE, pl.col(c.TIMESTAMP).dt.epoch("d").alias("day"))
        .agg(
            impressions=count(c.IMPRESSION),
            views=count(c.VIEW),
            completions=count(c.COMPLETE),
            skips=count(c.SKIP),
            dwell_sum=millionths(c.DWELL),
            dwell_count=pl.col(c.DWELL).count().cast(pl.Float64),
            rating_sum=millionths(c.RATING),
            rating_count=pl.col(c.RATING).count().cast(pl.Float64),
        )
        .sort(c.PAGE, "day")
    )
    used = events.filter(pl.col(c.EVENT_TYPE).is_in(c.ENGAGEMENTS))
    known = pl.read_parquet(folder / "associates.parquet")[c.ASSOCIATE_ID]
    ids = pl.concat([used[c.ASSOCIATE_ID], known]).unique().sort()
    numbered = pl.DataFrame({c.ASSOCIATE_ID: ids, c.ASSOCIATE: np.arange(len(ids), dtype=np.int32)})
    used = (
        used.join(numbered, on=c.ASSOCIATE_ID)
        .select(c.ASSOCIATE, c.PAGE, pl.col(c.TIMESTAMP).dt.timestamp("us").alias(c.TIME))
        .sort(c.ASSOCIATE, c.TIME, c.PAGE)
    )
    cuts = np.quantile(used[c.TIME].to_numpy() / 1e6, (0.6, 0.8))
    breaks = (pl.col(c.TIME).diff() > _GAP_MICROSECONDS) | (pl.col(c.ASSOCIATE).diff() != 0)
    seconds = pl.col(c.TIME) / 1e6
    found = (
        used.with_columns((breaks.fill_null(True).cum_sum() - 1).cast(pl.Int32).alias(c.SESSION))
        .unique([c.ASSOCIATE, c.PAGE], keep="first", maintain_order=True)
        .select(
            c.ASSOCIATE,
            c.PAGE,
            seconds.alias(c.TIME),
            pl.int_range(pl.len()).over(c.ASSOCIATE).cast(pl.Int32).alias(c.ORDINAL),
            c.SESSION,
            stage=(seconds >= cuts[0]).cast(pl.Int8) + (seconds >= cuts[1]).cast(pl.Int8),
        )
    )
    return found, page_days


def write(folder: Path, target: Path) -> None:
    """Run the program and write both tables."""
    target.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("interactions", "page_days"), interactions_and_page_days(folder), strict=True):
        table.write_parquet(target / f"{name}.parquet", compression="zstd")
