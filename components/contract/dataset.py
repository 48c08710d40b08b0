"""The preprocessed dataset: what the preprocess step writes and every later step reads.

A folder of Parquet tables. Associates and pages are numbered by their row in their table;
interactions hold one row for each (associate, page) pair, at its first engagement.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.files import atomic_folder

PAGE_SCHEMA = pl.Schema(
    {
        c.PAGE_ID: pl.String(),
        "title": pl.String(),
        "body": pl.String(),
        "topic": pl.String(),
        "format": pl.String(),
        "duration_seconds": pl.Float64(),
        "published_at": pl.Float64(),
        "updated_at": pl.Float64(),
        "retired": pl.Boolean(),
        "roles": pl.List(pl.String()),
        "mandatory_for": pl.List(pl.String()),
        "due_days": pl.Float64(),
        "prerequisites": pl.List(pl.String()),
        "recertify_days": pl.Float64(),
        c.LOCALE: pl.List(pl.String()),
        "labels": pl.List(pl.String()),
    }
)
ASSOCIATE_SCHEMA = pl.Schema(
    {
        c.ASSOCIATE_ID: pl.String,
        "role": pl.String,
        "department": pl.String,
        "store": pl.String,
        "region": pl.String,
        "shift": pl.String,
        "cohort": pl.String,
        "hired_at": pl.Float64,
        c.LOCALE: pl.String,
    }
)
INTERACTION_SCHEMA = pl.Schema(
    {
        c.ASSOCIATE: pl.Int32,
        c.PAGE: pl.Int32,
        c.TIME: pl.Float64,
        c.ORDINAL: pl.Int32,
        c.SESSION: pl.Int32,
        c.STAGE: pl.Int8,
    }
)
PAGE_DAY_SCHEMA = pl.Schema(
    {
        c.PAGE: pl.Int32,
        "day": pl.Int32,
        "impressions": pl.Float64,
        "views": pl.Float64,
        "completions": pl.Float64,
        "skips": pl.Float64,
        "dwell_sum": pl.Float64,
        "dwell_count": pl.Float64,
        "rating_sum": pl.Float64,
        "rating_count": pl.Float64,
    }
)
COMPLETION_SCHEMA = pl.Schema({c.ASSOCIATE: pl.Int32, c.PAGE: pl.Int32, c.TIME: pl.Float64})
_TABLES: dict[str, pl.Schema] = {
    "pages": PAGE_SCHEMA,
    "associates": ASSOCIATE_SCHEMA,
    "interactions": INTERACTION_SCHEMA,
    "page_days": PAGE_DAY_SCHEMA,
    "completions": COMPLETION_SCHEMA,
}
# What datasets of earlier versions lack: a table, and a column of others.
_LATER_TABLES, _LATER_COLUMNS = ("completions",), (c.LOCALE, "labels", "cohort", "updated_at")


def page_order(page_ids: pl.Series) -> pl.Series:
    """Sort page ids so that ids of one form keep the order of their numbers.

    Examples
    --------
    >>> page_order(pl.Series(["10", "P1", "9", "A12", "A2"])).to_list()
    ['9', '10', 'A2', 'A12', 'P1']
    """
    page_id = pl.col(c.PAGE_ID)
    form = page_id.str.replace_all(r"\d+", "")
    return page_ids.alias(c.PAGE_ID).to_frame().sort(form, page_id.str.len_chars(), page_id)[c.PAGE_ID]


def _filled(table: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Add columns that an earlier version did not write, at their place and without values."""
    later = [name for name in _LATER_COLUMNS if name in schema and name not in table.columns]
    if not later:
        return table
    added = table.with_columns(pl.lit(None, schema[name]).alias(name) for name in later)
    return added.select(*(name for name in schema if name in added.columns), pl.exclude(schema.names()))


@dataclass(frozen=True)
class Dataset:
    """Tables of one preprocessed log.

    Attributes
    ----------
    pages : polars.DataFrame
        ``PAGE_SCHEMA``, in :func:`page_order`. Times are epoch seconds, UTC.
    associates : polars.DataFrame
        ``ASSOCIATE_SCHEMA``, sorted by id; holds every associate with an event.
    interactions : polars.DataFrame
        ``INTERACTION_SCHEMA``, sorted by (associate, time, page). ``ordinal`` counts the
        associate's earlier interactions; ``stage`` says what the row is used for.
    page_days : polars.DataFrame
        ``PAGE_DAY_SCHEMA``: feedback sums of each page and UTC day (days since the epoch).
    meta : dict
        ``protocol`` ("time" or "lastout"), ``cuts`` (epoch seconds at which stages 1 and 2
        begin, for "time"), ``span`` (first and last event), ``sources`` (hashes of the input),
        ``completed_by`` (see :attr:`openings_complete`).
    completions : polars.DataFrame
        ``COMPLETION_SCHEMA``, sorted by (associate, page): when each page was completed last.
    """

    pages: pl.DataFrame
    associates: pl.DataFrame
    interactions: pl.DataFrame
    page_days: pl.DataFrame
    meta: dict[str, Any]
    completions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=COMPLETION_SCHEMA))

    def __post_init__(self) -> None:
        for name, schema in _TABLES.items():
            found = getattr(self, name).schema
            if dict(found) != dict(schema):
                raise DataError(f"dataset table {name}: expected {dict(schema)}, found {dict(found)}")

    @classmethod
    def load(cls, path: Path | str) -> Dataset:
        """Read a dataset folder.

        Raises
        ------
        DataError
            A table is missing or has other columns.
        """
        path = Path(path)
        try:
            tables = {
                name: _filled(pl.read_parquet(path / f"{name}.parquet"), schema)
                for name, schema in _TABLES.items()
                if name not in _LATER_TABLES or (path / f"{name}.parquet").exists()
            }
            meta = json.loads((path / "meta.json").read_text())
        except FileNotFoundError as error:
            raise DataError(f"{path} is no preprocessed dataset: {error}") from error
        return cls(**tables, meta=meta)

    def save(self, path: Path | str) -> None:
        """Write the dataset folder, whole or not at all."""
        with atomic_folder(path) as aside:
            for name in _TABLES:
                getattr(self, name).write_parquet(aside / f"{name}.parquet", compression="zstd")
            (aside / "meta.json").write_text(json.dumps(self.meta, indent=1))

    @property
    def n_pages(self) -> int:
        """Number of pages in the catalogue."""
        return self.pages.height

    @property
    def openings_complete(self) -> bool:
        """Whether opening a page counts as completing it, because nobody ever logged a completion."""
        return bool(self.meta.get("completed_by", c.VIEW) == c.VIEW)

    @cached_property
    def page_ids(self) -> NDArray[np.str_]:
        """Page ids in row order, shape (pages,)."""
        return self.pages[c.PAGE_ID].to_numpy().astype(np.str_)

    def before(self, stage: int) -> pl.DataFrame:
        """Interactions that a source fitted for ``stage`` may see."""
        return self.interactions.filter(pl.col(c.STAGE) < stage)

    def column(self, name: str) -> NDArray[Any]:
        """One column of the interactions as an array."""
        return self.interactions[name].to_numpy()
