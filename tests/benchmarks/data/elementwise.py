"""The same tables by Beam, event by event, as Beam programs are usually written: for comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from components.contract import columns as c
from components.contract.dataset import INTERACTION_SCHEMA, PAGE_DAY_SCHEMA, page_order
from components.preprocess.log import _LOCAL

_GAP = 30 * 60 * 10**6
_NAMES = [c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP, c.DWELL, c.RATING]
_KINDS = (c.IMPRESSION, c.VIEW, c.COMPLETE, c.SKIP)


def _rows(group: int, path: str) -> Iterator[dict[str, Any]]:
    rows = pl.DataFrame(pq.ParquetFile(path).read_row_group(group, columns=_NAMES))
    yield from rows.with_columns(pl.col(c.TIMESTAMP).dt.timestamp("us")).iter_rows(named=True)


def _cell(row: dict[str, Any], pages: dict[str, int]) -> tuple[tuple[int, int], list[int]]:
    dwell, rating = row[c.DWELL], row[c.RATING]
    values = [int(row[c.EVENT_TYPE] == kind) for kind in _KINDS]
    for number in (dwell, rating):
        values += [round((number or 0) * 1e6), int(number is not None)]
    return (pages[row[c.PAGE_ID]], row[c.TIMESTAMP] // (86_400 * 10**6)), values


def _add(cells: Iterable[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*cells, strict=True)] or [0] * 8


def _visits(person: tuple[str, Iterable[tuple[int, int]]]) -> Iterator[tuple[str, int, int, int, int]]:
    name, visits = person
    seen: set[int] = set()
    session, last = -1, None
    for time, page in sorted(visits):
        session += last is None or time - last > _GAP
        last = time
        if page not in seen:
            yield name, page, time, len(seen), session
            seen.add(page)
    # Sessions are numbered through the log: how many there are is told by a row without a page.
    yield name, -1, 0, 0, session


def write(folder: Path, target: Path) -> None:
    """Run the program and write ``interactions`` and ``page_days``."""
    order = page_order(pl.read_parquet(folder / "pages.parquet")[c.PAGE_ID])
    pages = dict(zip(order, range(len(order)), strict=True))
    path = str(folder / "events.parquet")
    target.mkdir(parents=True, exist_ok=True)

    def keep(rows: Any, kind: str) -> Any:
        where = str(target / f"{kind}.parquet")
        return rows | f"list {kind}" >> beam.combiners.ToList() | f"write {kind}" >> beam.Map(_save, where)

    with beam.Pipeline(runner=_LOCAL) as pipeline:
        rows = (
            pipeline
            | beam.Create(range(pq.ParquetFile(path).num_row_groups))
            | beam.Reshuffle()
            | beam.FlatMap(_rows, path)
        )
        cells = rows | beam.Map(_cell, pages) | beam.CombinePerKey(_add)
        keep(cells | beam.Map(lambda cell: (*cell[0], *cell[1])), "cells")
        visits = (
            rows
            | beam.Filter(lambda row: row[c.EVENT_TYPE] in c.ENGAGEMENTS)
            | beam.Map(lambda row: (row[c.ASSOCIATE_ID], (row[c.TIMESTAMP], pages[row[c.PAGE_ID]])))
            | beam.GroupByKey()
            | beam.FlatMap(_visits)
        )
        keep(visits, "visits")
        times = (
            rows
            | "used" >> beam.Filter(lambda row: row[c.EVENT_TYPE] in c.ENGAGEMENTS)
            | beam.Map(lambda row: (row[c.TIMESTAMP],))
        )
        keep(times, "times")
    _finish(folder, target)


def _save(rows: list[tuple[Any, ...]], path: str) -> None:
    pl.DataFrame(rows, orient="row").write_parquet(path)


def _finish(folder: Path, target: Path) -> None:
    """Number associates and sessions through the log, and divide into stages."""
    cells, visits, times = (
        pl.read_parquet(target / f"{kind}.parquet") for kind in ("cells", "visits", "times")
    )
    cells.columns = PAGE_DAY_SCHEMA.names()
    sums = pl.col("dwell_sum", "rating_sum") / 1e6
    cells.with_columns(sums).cast(PAGE_DAY_SCHEMA).sort(c.PAGE, "day").write_parquet(
        target / "page_days.parquet"
    )
    visits.columns = ["who", c.PAGE, c.TIME, c.ORDINAL, c.SESSION]
    ids = pl.concat([visits["who"], pl.read_parquet(folder / "associates.parquet")[c.ASSOCIATE_ID]])
    numbered = pl.DataFrame({"who": ids.unique().sort()}).with_row_index(c.ASSOCIATE)
    visits = visits.join(numbered, on="who")
    counts = visits.filter(pl.col(c.PAGE) < 0).sort(c.ASSOCIATE).select(c.ASSOCIATE, n=pl.col(c.SESSION) + 1)
    before = counts.with_columns(before=pl.col("n").cum_sum() - pl.col("n")).drop("n")
    cuts = np.quantile(times["column_0"].to_numpy() / 1e6, (0.6, 0.8))
    seconds = pl.col(c.TIME) / 1e6
    found = (
        visits.filter(pl.col(c.PAGE) >= 0)
        .join(before, on=c.ASSOCIATE)
        .with_columns(
            pl.col(c.SESSION) + pl.col("before"),
            seconds,
            (seconds >= cuts[0]).cast(pl.Int8).add((seconds >= cuts[1]).cast(pl.Int8)).alias(c.STAGE),
        )
        .select(pl.col(name).cast(kind) for name, kind in INTERACTION_SCHEMA.items())
    )
    found.sort(c.ASSOCIATE, c.TIME, c.PAGE).write_parquet(target / "interactions.parquet")
