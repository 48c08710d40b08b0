from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from components.candidates.outcomes import outcomes, unknown
from components.contract.time import DAY

HOUR = 3600.0
PAGES = pl.DataFrame({"page_id": ["P0", "P1", "P2"], "duration_seconds": [100.0, None, 60.0]})
EVENTS = [
    # Anna was shown two pages, opened P0 for 50 s of 100, and completed it an hour later.
    ("anna", "P2", "impression", 0.9, None, 0),
    ("anna", "P0", "impression", 0.9, None, 1),
    ("anna", "P0", "view", 1.0, 50.0, 1),
    ("anna", "P0", "complete", 2.0, None, None),
    # Bob opened P1, which has no duration, for 130 s; the mean of all visits is 90 s.
    ("bob", "P1", "view", 1.0, 130.0, None),
    # Two days later counts no more.
    ("bob", "P1", "complete", 50.0, None, None),
    # Anna's list of the day before is not what she looked at.
    ("anna", "P1", "impression", -23.0, None, 0),
]


@pytest.fixture
def tables(tmp_path):
    names = ("associate_id", "page_id", "event_type", "timestamp", "dwell_seconds", "position")
    frame = pl.DataFrame(EVENTS, schema=names, orient="row")
    times = pl.from_epoch((pl.col("timestamp") * HOUR + DAY * 10).cast(pl.Int64), time_unit="s")
    frame.with_columns(times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).write_parquet(
        tmp_path / "events.parquet"
    )
    return tmp_path


@dataclass
class Asked:
    """What outcomes read of requests."""

    associate_id: np.ndarray
    target: np.ndarray
    time: np.ndarray

    def __len__(self):
        return len(self.time)


def asked(*rows):
    associates, targets, hours = zip(*rows, strict=True)
    return Asked(np.array(associates), np.array(targets, np.int32), np.array(hours) * HOUR + DAY * 10)


def test_what_came_of_the_targets(tables):
    found = outcomes(tables, asked(("anna", 0, 1.0), ("bob", 1, 1.0)), PAGES)
    assert found.completion.tolist() == [1, 0]
    assert found.dwell.tolist() == [0.5, 1.0]


def test_places_in_the_latest_list(tables):
    found = outcomes(tables, asked(("bob", 1, 1.0), ("anna", 0, 1.0)), PAGES)
    row = np.array([0, 0, 1, 1, 1], np.int32)
    page = np.array([0, 2, 0, 1, 2], np.int32)
    assert found.positions(row, page).tolist() == [-1, -1, 1, -1, 0]
    # The list is half an hour old at most.
    late = outcomes(tables, asked(("anna", 0, 1.5)), PAGES)
    assert late.positions(np.zeros(1, np.int32), np.zeros(1, np.int32)).tolist() == [-1]


def test_nothing_is_read_from_after_the_end(tables):
    found = outcomes(tables, asked(("anna", 0, 1.0)), PAGES, until=DAY * 10 + 1.5 * HOUR)
    assert np.isnan(found.completion).all()
    assert found.dwell.tolist() == [0.5]


def test_a_log_that_knows_neither(tmp_path, tables):
    events = pl.read_parquet(tables / "events.parquet").filter(event_type="view")
    events.with_columns(pl.lit(None, pl.Float64).alias("dwell_seconds")).write_parquet(
        tmp_path / "events.parquet"
    )
    for found in (outcomes(tmp_path, asked(("bob", 1, 1.0)), PAGES), unknown(asked(("bob", 1, 1.0)))):
        assert np.isnan(found.completion).all()
        assert np.isnan(found.dwell).all()
        assert found.positions(np.zeros(2, np.int32), np.arange(2, dtype=np.int32)).tolist() == [-1, -1]
