"""Findings about the amount of events: gaps, spikes, floods, staleness. Warnings, by plain counts."""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.validate.findings import Check, Finding
from components.validate.settings import ValidateSettings

# A weekday seen fewer times has no usual amount of its own.
_WEEKS = 3
_SHOWN = 5
# From fewer days with news no rate can be told.
_NEWS_DAYS = 5
NO_DAYS = pl.DataFrame(schema={"day": pl.Date, "events": pl.UInt32})
_FLOOD_ASSOCIATES, _FLOOD_STORES, _FLOOD_EVENTS = 50, 5, 1000


def daily_events(events: Path) -> pl.DataFrame:
    """Count the events of each UTC day from the first to the last, days without any included.

    Returns
    -------
    polars.DataFrame
        ``day`` (Date), ``events``; empty where there are no timestamps.
    """
    scan = pl.scan_parquet(events)
    if not isinstance(scan.collect_schema().get(c.TIMESTAMP), pl.Datetime):
        return NO_DAYS
    days = scan.select(day=pl.col(c.TIMESTAMP).dt.date()).drop_nulls().group_by("day").len("events")
    return days.collect().sort("day").upsample("day", every="1d").with_columns(pl.col("events").fill_null(0))


def find(tables: dict[str, Path], settings: ValidateSettings, *, first: bool = True) -> list[Finding]:
    """Check the amounts of a log that is not empty.

    Parameters
    ----------
    tables : dict
        Parquet files of ``events``, and, where there are, ``associates`` and ``pages``.
    first : bool
        Whether the log was never looked at: gaps, spikes and floods are then looked for in all of it,
        coarsely. Later runs judge each new day (:mod:`components.validate.daily`).
    """
    days = daily_events(tables["events"])
    if days.is_empty():
        return []
    stale = [*_stale(days, settings), *_no_news(tables, settings)]
    return [*_days(days, settings), *stale, *_floods(tables, settings)] if first else stale


def _days(days: pl.DataFrame, settings: ValidateSettings) -> list[Finding]:
    weekday = pl.col("day").dt.weekday()
    usual = (
        pl.when(pl.len().over(weekday) >= _WEEKS)
        .then(pl.col("events").median().over(weekday))
        .otherwise(pl.col("events").median())
    )
    checked = days.with_columns(usual.alias("usual")).filter(pl.col("usual") >= settings.day_events)
    missing = checked.filter(pl.col("events") == 0)
    spikes = checked.filter(pl.col("events") > settings.spike_factor * pl.col("usual"))
    gap = "Ask the source for those days: trends read a gap as no interest"
    repeat = "Look for a repeated export or a script"
    checks: list[tuple[Check, pl.DataFrame, str, str]] = [
        ("missing_day", missing, "no events on", gap),
        ("spike", spikes, "far more events than usual on", repeat),
    ]
    found = []
    for check, rows, what, advice in checks:
        if rows.is_empty():
            continue
        shown = ", ".join(rows["day"].dt.to_string().head(_SHOWN))
        more = f" and {rows.height - _SHOWN} days more" if rows.height > _SHOWN else ""
        worst = rows.row(rows["events"].arg_max() or 0, named=True)
        far = f"{worst['events']:,} events where {worst['usual']:,.0f} are usual"
        found.append(_warn("events", c.TIMESTAMP, check, f"{what} {shown}{more}", far, advice))
    return found


def _stale(days: pl.DataFrame, settings: ValidateSettings) -> list[Finding]:
    if settings.date is None:
        return []
    last: datetime.date = days["day"][-1]
    age = (settings.date - last).days
    if age > settings.stale_days:
        what, far = (
            f"the last event is of {last}",
            f"{age} days before the run, usual are {settings.stale_days}",
        )
        return [_warn("events", c.TIMESTAMP, "stale", what, far, "Check that the export still runs")]
    if age < -1:
        what, far = f"the last event is of {last}, after the run", f"{-age} days ahead"
        return [
            _warn("events", c.TIMESTAMP, "stale", what, far, "Check the clocks and time zones of the source")
        ]
    return []


def _no_news(tables: dict[str, Path], settings: ValidateSettings) -> list[Finding]:
    """Tables to which nobody has been added for longer than chance explains: exports that stopped.

    In the 60 days up to the newest, a share of days had some (counted with one more of each kind); the
    chance that so many days in a row have none follows, and must be below that of a false alarm.
    """
    if settings.date is None:
        return []
    found = []
    for table, column, what in (("associates", "hired_at", "hire"), ("pages", "published_at", "new page")):
        scan = pl.scan_parquet(tables[table]) if table in tables else pl.LazyFrame()
        if not isinstance(scan.collect_schema().get(column), pl.Datetime):
            continue
        past = scan.select(day=pl.col(column).dt.date()).drop_nulls().filter(pl.col("day") < settings.date)
        days = past.unique().collect()["day"].sort()
        newest: datetime.date | None = days.max()  # type: ignore[assignment]
        recent = days.filter(days > newest - datetime.timedelta(days=60)) if newest else days
        if newest is None or len(recent) < _NEWS_DAYS:
            continue
        span = (newest - recent[0]).days + 1
        share = (len(recent) + 1) / (span + 2)
        gap = (settings.date - newest).days - 1
        chance = (1 - share) ** max(0, gap)
        if gap <= settings.stale_days or chance >= settings.false_alarms_per_year / 365.25 / 10:
            continue
        far = f"{gap} whole days without any, where {share:.0%} of days had some: chance {chance:.0e}"
        advice = "Export the table anew"
        found.append(_warn(table, column, "stale", f"the newest {what} is of {newest}", far, advice))
    return found


def _floods(tables: dict[str, Path], settings: ValidateSettings) -> list[Finding]:
    events = pl.scan_parquet(tables["events"])
    if c.ASSOCIATE_ID not in events.collect_schema():
        return []
    counts = (
        events.group_by(c.ASSOCIATE_ID)
        .len("events")
        .collect()
        .sort("events", c.ASSOCIATE_ID, descending=True)
    )
    total = counts["events"].sum()
    if total < _FLOOD_EVENTS or counts.height < _FLOOD_ASSOCIATES:
        return []
    found = []
    name, top = counts.row(0)
    if top / total > settings.flood_share:
        what = f"associate {name} made a large share of all events"
        far = f"{top / total:.0%} of {total:,}, reported above {settings.flood_share:.0%}"
        advice = "A test account or a script? Leave it out of the export"
        found.append(_warn("events", c.ASSOCIATE_ID, "flood", what, far, advice))
    associates = pl.scan_parquet(tables["associates"]) if "associates" in tables else None
    if associates is not None and {c.ASSOCIATE_ID, "store"} <= set(associates.collect_schema()):
        known = associates.select(c.ASSOCIATE_ID, "store").drop_nulls().collect()
        shares = (
            known.join(counts, on=c.ASSOCIATE_ID, how="left")
            .group_by("store")
            .agg(people=pl.len() / known.height, events=pl.col("events").sum() / total)
            .sort("events", "store", descending=True)
        )
        if shares.height >= _FLOOD_STORES:
            name, people, share = shares.row(0)
            if share > max(settings.flood_share, settings.flood_factor * people):
                what, far = (
                    f"store {name} floods the log",
                    f"{share:.0%} of events by {people:.1%} of associates",
                )
                advice = "A shared login or a repeated upload? Check that store's export"
                found.append(_warn("associates", "store", "flood", what, far, advice))
    return found


def against(rows: dict[str, int], before: dict[str, int], settings: ValidateSettings) -> list[Finding]:
    """Compare the number of rows with the current release's.

    Examples
    --------
    >>> [finding.how_far for finding in against({"events": 900}, {"events": 9000}, ValidateSettings())]
    ['900 rows, 9,000 before']
    """
    found = []
    for table in rows.keys() & before.keys():
        now, then = rows[table], before[table]
        enough = max(now, then) >= settings.day_events
        if enough and max(now, then) > settings.volume_factor * min(now, then):
            what = "far fewer rows than before" if now < then else "far more rows than before"
            advice = "Check that the export is whole and holds each row once"
            found.append(_warn(table, "", "volume", what, f"{now:,} rows, {then:,} before", advice))
    return sorted(found, key=lambda finding: finding.table)


def _warn(table: str, column: str, check: Check, what: str, how_far: str, advice: str) -> Finding:
    return Finding("warn", table, column, check, what, how_far, advice)
