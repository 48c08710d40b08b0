from datetime import date, datetime, timedelta

import polars as pl
import pytest

from components.contract import columns as c
from components.validate import volume
from components.validate.settings import ValidateSettings

MONDAY = datetime(2026, 3, 2)


def log(path, per_day, stores=None):
    """Write a log with so many events on each day, by associates in turn."""
    times = [
        MONDAY + timedelta(days=day, seconds=i) for day, count in enumerate(per_day) for i in range(count)
    ]
    events = pl.DataFrame({c.TIMESTAMP: times}, schema={c.TIMESTAMP: pl.Datetime("us")}).with_columns(
        pl.col(c.TIMESTAMP).dt.replace_time_zone("UTC"),
        pl.format("A{}", pl.int_range(pl.len()) % 100).alias(c.ASSOCIATE_ID),
    )
    events.write_parquet(path / "events.parquet")
    if stores:
        ids = [f"A{i}" for i in range(100)]
        pl.DataFrame({c.ASSOCIATE_ID: ids, "store": stores}).write_parquet(path / "associates.parquet")
    return {file.stem: file for file in path.glob("*.parquet")}


def checks(tables, **chosen):
    return [finding.check for finding in volume.find(tables, ValidateSettings(**chosen))]


def test_days_without_events_are_counted(tmp_path):
    days = volume.daily_events(log(tmp_path, [2, 0, 1])["events"])
    assert days.rows() == [(date(2026, 3, 2), 2), (date(2026, 3, 3), 0), (date(2026, 3, 4), 1)]


@pytest.mark.parametrize(
    ("per_day", "expected"),
    [
        ([40] * 10, []),
        ([40] * 4 + [0] + [40] * 5, ["missing_day"]),
        ([40, 40, 40, 40, 40, 40, 0] * 4 + [40], []),  # closed on Sundays
        ([40, 40, 40, 40, 40, 40, 0] * 3 + [40, 0, 40, 40, 40, 40, 0, 40], ["missing_day"]),
        ([40] * 9 + [200], []),  # five times is not more than five times
        ([40] * 9 + [201], ["spike"]),
        ([3, 0, 5, 0, 9, 90, 1], []),  # too few a day to tell
        ([1], []),
    ],
)
def test_gaps_and_spikes(tmp_path, per_day, expected):
    assert checks(log(tmp_path, per_day)) == expected


@pytest.mark.parametrize(("day", "expected"), [(2, []), (5, []), (6, ["stale"]), (1, []), (0, ["stale"])])
def test_staleness_is_judged_by_the_day_of_the_run(tmp_path, day, expected):
    # The last event is of 3 March: two days of events from the 2nd.
    run_day = date(2026, 3, 1) + timedelta(days=day)
    assert checks(log(tmp_path, [1, 1]), date=run_day) == expected


def test_a_store_that_floods(tmp_path):
    stores = ["loud"] * 3 + [f"S{i % 9}" for i in range(97)]
    quiet = log(tmp_path, [1_000], stores)
    assert checks(quiet) == []
    events = pl.read_parquet(quiet["events"])
    turn = pl.int_range(pl.len())
    loud = pl.when(turn % 5 == 0).then(pl.format("A{}", turn % 3)).otherwise(c.ASSOCIATE_ID)
    events.with_columns(loud.alias(c.ASSOCIATE_ID)).write_parquet(quiet["events"])
    assert checks(quiet, flood_share=0.15) == ["flood"]
