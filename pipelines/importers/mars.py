"""MARS-EN, a real workplace e-learning log, into the data contract.

Source: Hafsa (2022), E-learning Recommender System Dataset v2.0, Harvard Dataverse,
doi:10.7910/DVN/BMY3UD (CC0 1.0).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.files import atomic_file

_ITEM = r"'([^']*)'|\"([^\"]*)\""


def import_mars(source: Path, out: Path) -> dict[str, int]:
    """Write ``events.parquet``, ``pages.parquet`` and ``associates.parquet``.

    Views and watch events both become engagements: a watch event is ``complete`` at 100 %, else
    ``view``, with its share as ``progress``. Left out are ``rating`` (the watch percentage again,
    rescaled), ``nb_views`` (a total over the whole period, so it holds the future) and the items'
    ``created_at`` (a year, no publication date). The topic of a page is its first software, the
    label that most pages have (95 %); Software, Theme, Job and Difficulty are kept as extra columns.

    Parameters
    ----------
    source : Path
        Folder with the four CSV files.
    out : Path
        Folder to write; made if it is missing.

    Returns
    -------
    dict
        Numbers of events, pages, associates and distinct (associate, page) pairs.

    Raises
    ------
    DataError
        A file or column of the data set is missing.
    """
    tables = {"events": _events(source), "pages": _pages(source), "associates": _associates(source)}
    for name, frame in tables.items():
        with atomic_file(out / f"{name}.parquet") as aside:
            frame.write_parquet(aside, compression="zstd")
    pairs = tables["events"].select(pl.struct(c.ASSOCIATE_ID, c.PAGE_ID).n_unique()).item()
    return {name: frame.height for name, frame in tables.items()} | {"pairs": pairs}


def _read(source: Path, name: str, columns: list[str]) -> pl.DataFrame:
    path = source / name
    try:
        return pl.read_csv(path, columns=columns, infer_schema=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: give the folder that holds the MARS-EN files.") from error
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is not the MARS-EN file: {error}") from error


def _events(source: Path) -> pl.DataFrame:
    views = _read(source, "implicit_ratings_en.csv", ["user_id", "item_id", "created_at"])
    # Some rows are alike to the second; each counts in the published protocol, so each gets an id.
    views = views.with_columns(pl.format("view-{}", pl.int_range(pl.len())).alias(c.EVENT_ID))
    watched = _read(
        source, "explicit_ratings_en.csv", ["user_id", "item_id", "watch_percentage", "created_at"]
    ).with_columns(
        pl.format("watch-{}", pl.int_range(pl.len())).alias(c.EVENT_ID),
        progress=pl.col("watch_percentage").cast(pl.Float64) / 100,
    )
    return (
        pl.concat([views, watched.drop("watch_percentage")], how="diagonal")
        .select(
            c.EVENT_ID,
            pl.col("user_id").alias(c.ASSOCIATE_ID),
            pl.col("item_id").alias(c.PAGE_ID),
            pl.when(pl.col(c.PROGRESS) >= 1)
            .then(pl.lit(c.COMPLETE))
            .otherwise(pl.lit(c.VIEW))
            .alias(c.EVENT_TYPE),
            pl.col("created_at").str.to_datetime("%Y-%m-%d %H:%M:%S", time_zone="UTC").alias(c.TIMESTAMP),
            c.PROGRESS,
        )
        .sort(c.TIMESTAMP, pl.col(c.ASSOCIATE_ID).cast(pl.Int64), pl.col(c.PAGE_ID).cast(pl.Int64))
    )


def _pages(source: Path) -> pl.DataFrame:
    labels = ["Software", "Theme", "Job"]
    items = _read(
        source, "items_en.csv", ["item_id", "name", "description", "Difficulty", *labels, "duration", "type"]
    )
    # The labels are lists as Python prints them.
    lists = [
        pl.col(name).str.extract_all(_ITEM).list.eval(pl.element().str.strip_chars("'\"")) for name in labels
    ]
    return items.with_columns(lists).select(
        pl.col("item_id").alias(c.PAGE_ID),
        pl.col("name").alias("title"),
        pl.col("description").alias("body"),
        pl.col("Software").list.first().alias("topic"),
        pl.col("type").alias("format"),
        pl.col("duration").cast(pl.Float64).alias("duration_seconds"),
        pl.col("Difficulty").replace("N/A", None).alias("difficulty"),
        *(pl.col(name).alias(name.lower()) for name in labels),
    )


def _associates(source: Path) -> pl.DataFrame:
    return _read(source, "users_en.csv", ["user_id", "job"]).select(
        pl.col("user_id").alias(c.ASSOCIATE_ID), pl.col("job").replace("N/A", None).alias("role")
    )
