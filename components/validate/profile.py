"""A day in numbers: what each day's check compares, counted from its events and the associates then known."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.validate.statistics import bins

# figure: "events.event_type", "events.hour|region=North", ...; key: the value or bin.
SCHEMA = pl.Schema({"day": pl.Date, "figure": pl.String, "key": pl.String, "count": pl.Int64})
PRESENT, ABSENT = "present", "absent"
KNOWN, UNKNOWN = "known", "unknown"
_PEOPLE = ("role", "department", "region", "shift")
_GROUPS = ("region", "shift")
_MOST_GROUPS = 50
_NUMBERS = (c.DWELL, c.PROGRESS, c.RATING)
_MAYBE = (*_NUMBERS, c.POSITION, c.REQUEST_ID)
# What of an id is the same for many: the letters before its number.
_FORM = r"^(\D{0,12})"
_FOLDER = "days"


def folder(home: Path) -> Path:
    """Where HOME keeps what validation knows from run to run."""
    return home / "validation"


def profile(events: Path, associates: Path | None, days: Iterable[datetime.date]) -> pl.DataFrame:
    """Count each day's figures.

    Parameters
    ----------
    events : Path
        The events table; one day of it is held at a time.
    associates : Path, optional
    days : iterable of date
        UTC days. One without events has the figure ``events`` of 0.

    Returns
    -------
    polars.DataFrame
        ``SCHEMA``.
    """
    people = _people(associates)
    return pl.concat(
        [pl.DataFrame(schema=SCHEMA), *(_day(rows, people, day) for day, rows in _days(events, days))]
    )


def _days(events: Path, days: Iterable[datetime.date]) -> Iterator[tuple[datetime.date, pl.DataFrame]]:
    wanted = [c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP, *_MAYBE]
    scan = pl.scan_parquet(events)
    names = [name for name in wanted if name in scan.collect_schema()]
    for day in days:
        yield day, scan.select(names).filter(within(day)).collect()


def within(first: datetime.date, last: datetime.date | None = None) -> pl.Expr:
    """Whether an event is of a day, or of the days to ``last``; row groups of other days are not read."""
    start = datetime.datetime.combine(first, datetime.time(), datetime.UTC)
    end = datetime.datetime.combine(last or first, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
    return pl.col(c.TIMESTAMP).is_between(start, end, closed="left")


def _people(associates: Path | None) -> pl.DataFrame:
    """Attributes of the associates, as text; without a table, none is known."""
    nobody = pl.DataFrame(schema={c.ASSOCIATE_ID: pl.String})
    if associates is None:
        return nobody
    scan = pl.scan_parquet(associates)
    schema = scan.collect_schema()
    names = [name for name in (*_PEOPLE, "store") if schema.get(name) not in (None, pl.Null)]
    if c.ASSOCIATE_ID not in schema:
        return nobody
    return (
        scan.select(c.ASSOCIATE_ID, *(pl.col(name).cast(pl.String) for name in names))
        .unique(c.ASSOCIATE_ID)
        .collect()
    )


def _day(rows: pl.DataFrame, people: pl.DataFrame, day: datetime.date) -> pl.DataFrame:
    parts = [_single("events", rows.height)]
    if rows.height and c.ASSOCIATE_ID in rows.columns:
        parts += [*_of_events(rows), *_of_people(rows, people)]
    return pl.concat(parts).select(pl.lit(day).alias("day"), "figure", "key", "count")


def _single(figure: str, count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"figure": [figure], "key": [""], "count": [count]}, schema_overrides={"count": pl.Int64}
    )


def _counted(rows: pl.DataFrame, value: pl.Expr, figure: str, weight: str | None = None) -> pl.DataFrame:
    size = pl.len() if weight is None else pl.col(weight).sum()
    keyed = rows.group_by(value.cast(pl.String).alias("key")).agg(size.cast(pl.Int64).alias("count"))
    return keyed.drop_nulls("key").select(pl.lit(figure).alias("figure"), "key", "count")


def _of_events(rows: pl.DataFrame) -> list[pl.DataFrame]:
    parts = []
    if c.EVENT_TYPE in rows.columns:
        parts.append(_counted(rows, pl.col(c.EVENT_TYPE), f"events.{c.EVENT_TYPE}"))
    # A column of another type is the schema's to find.
    numbers = [name for name in _NUMBERS if name in rows.columns and rows.schema[name].is_numeric()]
    parts += [_counted(rows, pl.col(name).map_batches(bins, pl.String), f"events.{name}") for name in numbers]
    ids = [name for name in (c.ASSOCIATE_ID, c.PAGE_ID) if rows.schema.get(name) == pl.String]
    parts += [_counted(rows, pl.col(name).str.extract(_FORM), f"form.{name}") for name in ids]
    if c.EVENT_TYPE in rows.columns:
        maybe = [name for name in _MAYBE if name in rows.columns]
        there = rows.group_by(c.EVENT_TYPE).agg(pl.len().alias("rows"), pl.col(maybe).count())
        for name in maybe:
            figure = pl.format(f"present.{name}|{{}}", c.EVENT_TYPE)
            for key, count in ((PRESENT, pl.col(name)), (ABSENT, pl.col("rows") - pl.col(name))):
                parts.append(there.select(figure.alias("figure"), pl.lit(key).alias("key"),
                                          count.cast(pl.Int64).alias("count")))  # fmt: skip
    return parts


def _of_people(rows: pl.DataFrame, people: pl.DataFrame) -> list[pl.DataFrame]:
    # Codes in place of ids: sorting and grouping by numbers is several times faster.
    coded = rows.select(c.TIMESTAMP, code=pl.col(c.ASSOCIATE_ID).cast(pl.String).rank("dense"))
    names = rows.select(pl.col(c.ASSOCIATE_ID).cast(pl.String).unique().sort())
    active = (
        coded.group_by("code")
        .len("events")
        .sort("code")
        .hstack(names)
        .join(people, on=c.ASSOCIATE_ID, how="left")
    )
    known = active[c.ASSOCIATE_ID].is_in(people[c.ASSOCIATE_ID].implode()) if people.height else None
    parts = [_single("busiest", active.select(pl.col("events").max()).item())]
    if known is not None:
        parts.append(_counted(active.with_columns(known=known), pl.when("known").then(pl.lit(KNOWN))
                              .otherwise(pl.lit(UNKNOWN)), "known"))  # fmt: skip
    parts += [_counted(active, pl.col(name), f"people.{name}") for name in _PEOPLE if name in active.columns]
    if "store" in active.columns:
        parts += [
            _counted(active, pl.col("store"), "store.people"),
            _counted(active, pl.col("store"), "store.events", "events"),
        ]
    ordered = coded.sort("code", c.TIMESTAMP)
    gap = pl.col(c.TIMESTAMP).diff().dt.total_seconds(fractional=True)
    gaps = ordered.select(gap=pl.when(pl.col("code") == pl.col("code").shift()).then(gap)).drop_nulls()
    parts.append(_counted(gaps, pl.col("gap").map_batches(bins, pl.String), "events.gap"))
    # An associate counts once an hour: one busy person is no shift of the day.
    hours = coded.select("code", hour=pl.col(c.TIMESTAMP).dt.strftime("%H")).unique()
    parts.append(_counted(hours, pl.col("hour"), "events.hour"))
    for name in _GROUPS:
        if name not in active.columns or active[name].n_unique() > _MOST_GROUPS:
            continue
        grouped = hours.join(active.select("code", name), on="code").drop_nulls(name)
        counts = grouped.group_by(name, "hour").agg(pl.len().cast(pl.Int64).alias("count"))
        parts.append(
            counts.select(
                pl.format(f"events.hour|{name}={{}}", name).alias("figure"),
                pl.col("hour").alias("key"),
                "count",
            )
        )
    return parts


def kept(home: Path) -> pl.DataFrame:
    """Read the profiles of the days that were found good, as they were seen then."""
    files = sorted((folder(home) / _FOLDER).glob("*.parquet"))
    return pl.concat([pl.DataFrame(schema=SCHEMA), *(pl.read_parquet(file) for file in files)])


def keep(home: Path, profiles: pl.DataFrame, longest: int) -> None:
    """Keep the profiles of more days, a file a day; those of days more than ``longest`` before the last go.

    Nothing in them is of one person.
    """
    from components.contract.files import atomic_file

    for part in profiles.partition_by("day"):
        with atomic_file(folder(home) / _FOLDER / f"{part['day'][0]}.parquet") as aside:
            part.write_parquet(aside, compression="zstd")
    files = sorted((folder(home) / _FOLDER).glob("*.parquet"))
    if files:
        oldest = datetime.date.fromisoformat(files[-1].stem) - datetime.timedelta(days=longest)
        for file in files:
            if datetime.date.fromisoformat(file.stem) < oldest:
                file.unlink()
