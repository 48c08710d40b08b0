"""What a store was drained into: answers as impressions, and tombstones of forgotten people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.tables import TABLES, empty, word
from components.ingest.reading import batches


def tombstones(files: Sequence[tuple[str, Path]]) -> pl.Series:
    """Ids of associates who asked to be forgotten, from tables with a column ``associate_id``."""
    ids = [pl.Series(c.ASSOCIATE_ID, [], pl.String)]
    for name, path in files:
        for batch in batches(name, path):
            if c.ASSOCIATE_ID not in batch.rows.columns:
                raise DataError(f"tombstones: no column {c.ASSOCIATE_ID} in {name}. Name it so.")
            person = word(c.ASSOCIATE_ID, batch.rows.schema[c.ASSOCIATE_ID])
            ids.append(batch.rows.select(person.alias(c.ASSOCIATE_ID)).to_series())
    return pl.concat(ids).drop_nulls()


def shown(
    files: Sequence[tuple[str, Path]], events: pl.LazyFrame, forgotten: pl.Series, known_pages: pl.Series
) -> pl.LazyFrame:
    """Impressions of the answers that were given, as events.

    Where the front end reported what it showed of an answer, its events stand and these do not count.

    Parameters
    ----------
    files : sequence of (str, Path)
        Parquet files of ``impressions`` (``docs/data-contract.md``).
    events : polars.LazyFrame
        All other events.
    forgotten, known_pages : polars.Series
        Rows of these associates, and of other pages than these, are left out.

    Returns
    -------
    polars.LazyFrame
        In the types of events; one row for each page of an answer, with an id made of both.
    """
    if not files:
        return empty("events").lazy()
    reported = events.filter(pl.col(c.EVENT_TYPE) == c.IMPRESSION).select(c.REQUEST_ID).drop_nulls().unique()
    keep = pl.col(c.PAGE_ID).is_in(known_pages.implode()) & ~pl.col(c.ASSOCIATE_ID).is_in(forgotten.implode())
    given = pl.scan_parquet([path for _, path in files], hive_partitioning=False).filter(keep)
    rows = given.join(reported, on=c.REQUEST_ID, how="anti").with_columns(
        pl.format("{}/{}", c.REQUEST_ID, c.PAGE_ID).alias(c.EVENT_ID),
        pl.lit(c.IMPRESSION).alias(c.EVENT_TYPE),
        *(pl.lit(None, pl.Float64).alias(name) for name in (c.DWELL, c.PROGRESS, c.RATING)),
    )
    return rows.select(TABLES["events"].schema.names()).unique(c.EVENT_ID)
