"""The tables of pages and associates in the form of the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.contract.dataset import ASSOCIATE_SCHEMA, PAGE_SCHEMA, page_order
from components.preprocess.labels import cohorts, page_labels


def _conform(table: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Give a table the schema's columns: times as epoch seconds, nulls where one is absent."""

    def column(name: str, dtype: pl.DataType) -> pl.Expr:
        if name not in table.columns:
            return pl.lit(None, dtype).alias(name)
        if table.schema[name].is_temporal():
            return (pl.col(name).cast(pl.Datetime("us")).dt.timestamp("us") / 1e6).alias(name)
        return pl.col(name).cast(dtype)

    return table.select(column(name, dtype) for name, dtype in schema.items())


def read_pages(path: Path, labels: Sequence[str] | None) -> pl.DataFrame:
    """Read the catalogue, in page order.

    A page without lists of roles or prerequisites gets empty ones, and is not retired unless the
    table says so. ``labels`` names the extra columns to take them from; see :func:`page_labels`.
    """
    table = pl.read_parquet(path)
    pages = _conform(table.with_columns(page_labels(table, labels)), PAGE_SCHEMA)
    lists = [name for name, dtype in PAGE_SCHEMA.items() if isinstance(dtype, pl.List)]
    ordered = page_order(pages[c.PAGE_ID]).to_frame()
    return ordered.join(pages, on=c.PAGE_ID, how="left", maintain_order="left").with_columns(
        pl.col("retired").fill_null(False), pl.col(lists).fill_null([])
    )


def read_associates(path: Path, active: Iterable[pl.Series], cohort: Sequence[str]) -> pl.DataFrame:
    """Read the associates and add the ``active`` ones that the table does not know, sorted by id.

    ``cohort`` names the extra columns that make it; see :func:`cohorts`.
    """
    known = pl.read_parquet(path) if path.exists() else pl.DataFrame(schema={c.ASSOCIATE_ID: pl.String})
    known = _conform(known.with_columns(cohorts(known, cohort)), ASSOCIATE_SCHEMA)
    ids = pl.concat([known[c.ASSOCIATE_ID], *active]).unique().sort().to_frame()
    return ids.join(known, on=c.ASSOCIATE_ID, how="left", maintain_order="left")
