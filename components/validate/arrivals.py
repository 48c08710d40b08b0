"""How rows came: on time, late, twice or bad; from ingest's report and the counts of the last run."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from components.validate.findings import Finding
from components.validate.profile import SCHEMA
from components.validate.settings import ValidateSettings

_SEEN, _SEEN_DAY = "seen", "seen.day"
_BAD = ("read", "bad", "duplicates", "forgotten")
_SHOWN = 3


def report(tables: Path) -> dict[str, Any]:
    """Read ingest's report; empty where there is none."""
    file = tables / "report.json"
    return orjson.loads(file.read_bytes()) if file.is_file() else {}


def count(
    ingested: Mapping[str, Any], days: pl.DataFrame, kept: pl.DataFrame, day: datetime.date
) -> pl.DataFrame:
    """Count the rows that are new since the last run.

    Parameters
    ----------
    ingested : mapping
        Ingest's report, of the whole log.
    days : polars.DataFrame
        ``day`` and ``events`` of the whole log now.
    kept : polars.DataFrame
        Profiles of earlier runs.
    day : datetime.date
        The run's newest whole day, to which the rows are ascribed.

    Returns
    -------
    polars.DataFrame
        Profile rows: ``arrivals`` by kind, where an earlier run can be compared with, and what this
        run saw, for the next one.
    """
    if not ingested:
        return pl.DataFrame(schema=SCHEMA)
    totals = {name: int(ingested["tables"]["events"][name]) for name in _BAD}
    recent = days.filter(pl.col("day") > day - datetime.timedelta(days=14))
    seen = {str(date): count for date, count in recent.rows()}
    rows = [(_SEEN, name, number) for name, number in totals.items()]
    rows += [(_SEEN_DAY, name, number) for name, number in seen.items()]
    last = kept.filter(pl.col("figure") == _SEEN)["day"].max()
    if last is not None:
        then = kept.filter(pl.col("day") == last)
        before = dict(then.filter(pl.col("figure") == _SEEN).select("key", "count").rows())
        new = {name: number - before.get(name, 0) for name, number in totals.items()}
        # A whole day that has grown since had rows to come; the day of that run was not over.
        earlier = dict(then.filter(pl.col("figure") == _SEEN_DAY).select("key", "count").rows())
        late = sum(
            max(0, seen[name] - number)
            for name, number in earlier.items()
            if name in seen and name <= str(last)
        )
        if new["read"] > 0 and min(new.values()) >= 0:
            on_time = max(0, new["read"] - new["bad"] - new["duplicates"] - new["forgotten"] - late)
            rows += [
                ("arrivals", "on time", on_time),
                ("arrivals", "late", late),
                ("arrivals", "bad", new["bad"]),
                ("arrivals", "twice", new["duplicates"]),
            ]
    frame = pl.DataFrame(
        rows, schema={"figure": pl.String, "key": pl.String, "count": pl.Int64}, orient="row"
    )
    return frame.select(pl.lit(day).alias("day"), "figure", "key", "count")


def quarantined(ingested: Mapping[str, Any], settings: ValidateSettings) -> list[Finding]:
    """Tables of which much is in quarantine."""
    found = []
    for table, figures in ingested.get("tables", {}).items():
        read, bad = figures["read"], figures["bad"]
        if bad <= settings.bad_share * read:
            continue
        reasons = [row for row in ingested["bad_by_reason"] if row["table"] == table]
        shown = "; ".join(f"{row['rows']:,} x {row['reason']}" for row in reasons[:_SHOWN])
        far = f"{bad:,} of {read:,} rows, {bad / read:.1%}, reported above {settings.bad_share:.1%}"
        advice = "python -m components.ingest inspect, mend the source, or replay"
        where = f"table = '{table}' of quarantine.parquet"
        found.append(Finding("warn", table, "", "quarantine", f"bad rows: {shown}", far, advice, where))
    return found
