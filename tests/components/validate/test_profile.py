from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from components.contract import columns as c
from components.validate import profile
from components.validate.day import Day

MONDAY = date(2026, 3, 2)
EIGHT = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
def tables(tmp_path):
    events = pl.DataFrame(
        {
            c.ASSOCIATE_ID: ["A1", "A1", "A2", "X9", "A1"],
            c.PAGE_ID: ["P1", "P2", "P1", "Q7", "P1"],
            c.EVENT_TYPE: ["view", "view", "complete", "view", "view"],
            c.TIMESTAMP: [EIGHT, EIGHT + timedelta(seconds=10), EIGHT + timedelta(hours=1), EIGHT,
                          EIGHT + timedelta(days=2)],
            c.DWELL: [40.0, None, None, 3.0, 5.0],
        }
    )  # fmt: skip
    associates = pl.DataFrame(
        {c.ASSOCIATE_ID: ["A1", "A2", "A3"], "role": ["clerk", "baker", "clerk"], "store": ["S1", "S2", "S2"],
         "shift": ["day", "night", "day"]}
    )  # fmt: skip
    events.write_parquet(tmp_path / "events.parquet")
    associates.write_parquet(tmp_path / "associates.parquet")
    return tmp_path / "events.parquet", tmp_path / "associates.parquet"


def figures(rows, day):
    found = {}
    for figure, key, count in rows.filter(pl.col("day") == day).select("figure", "key", "count").rows():
        found.setdefault(figure, {})[key] = count
    return found


def test_a_day_is_counted(tables):
    days = [MONDAY + timedelta(days=i) for i in range(3)]
    rows = profile.profile(*tables, days)
    found = figures(rows, MONDAY)
    assert found["events"] == {"": 4}
    assert found["events.event_type"] == {"view": 3, "complete": 1}
    assert found["events.dwell_seconds"] == {"32": 1, "2": 1}
    assert found["present.dwell_seconds|view"] == {"present": 2, "absent": 1}
    assert found["form.page_id"] == {"P": 3, "Q": 1}
    assert found["people.role"] == {"clerk": 1, "baker": 1}
    assert found["known"] == {"known": 2, "unknown": 1}
    assert found["store.people"] == {"S1": 1, "S2": 1}
    assert found["store.events"] == {"S1": 2, "S2": 1}
    assert found["busiest"] == {"": 2}
    assert found["events.gap"] == {"8": 1}
    # A1 counts once in the hour.
    assert found["events.hour"] == {"08": 2, "09": 1}
    assert found["events.hour|shift=day"] == {"08": 1}
    assert figures(rows, days[1]) == {"events": {"": 0}}
    assert figures(rows, days[2])["events"] == {"": 1}


def test_without_associates_nobody_is_known(tables):
    found = figures(profile.profile(tables[0], None, [MONDAY]), MONDAY)
    assert found["busiest"] == {"": 2}
    assert not {"known", "people.role", "store.people"} & found.keys()


def test_profiles_are_kept_for_a_while_and_hold_nobody(tables, tmp_path):
    days = [MONDAY + timedelta(days=i) for i in range(3)]
    rows = profile.profile(*tables, days)
    assert profile.kept(tmp_path).is_empty()
    profile.keep(tmp_path, rows, 1)
    kept = profile.kept(tmp_path)
    assert kept["day"].unique().sort().to_list() == days[1:]
    assert not {"A1", "A2", "X9"} & set(rows["key"])


def test_counts_of_a_figure_line_up_with_its_days(tables):
    days = [MONDAY + timedelta(days=i) for i in range(3)]
    day = Day(days[2], tuple(days[:2]), profile.profile(*tables, days), 0.01, 0.1)
    keys, counts = day.counts("events.event_type")
    assert keys == ["complete", "view"]
    assert counts.tolist() == [[1, 3], [0, 0], [0, 1]]
    # A value may have any name.
    keys, counts = day.counts("events.hour|shift=day")
    assert counts.tolist() == [[1], [0], [1]]
