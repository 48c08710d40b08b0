"""Rows of requests against the contract's own check of tables."""

import json

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.tables import TABLES, check
from components.contract.time import DAY
from serving import rows as module
from serving.rows import read_rows
from serving.stores.base import StoredEvent

LATER = 2e11  # The year 8307.
GOOD = {c.ASSOCIATE_ID: "A1", c.PAGE_ID: "P1", c.EVENT_TYPE: "view", c.TIMESTAMP: "2026-11-24T08:00:00Z"}


def by_table(row):
    """What the contract's check makes of a row, as text in a table."""
    fields = TABLES["events"].kinds
    text = {name: None if row.get(name) is None else str(row[name]) for name in fields}
    found = check("events", pl.DataFrame([text], schema=dict.fromkeys(fields, pl.String)))
    if found.rows.height:
        if found.rows[c.TIMESTAMP].dt.epoch("us").item() / 1e6 > LATER:
            return "timestamp: more than a day in the future"
        return {name: value for name, value in found.rows.row(0, named=True).items() if value is not None}
    return found.bad["reason"].item()


def same(row):
    (found,), expected = read_rows([row], LATER), by_table(row)
    if isinstance(expected, str):
        assert found == expected
    else:
        assert isinstance(found, StoredEvent), found
        assert found.time == expected[c.TIMESTAMP].timestamp()
        assert orjson.loads(found.row) == orjson.loads(orjson.dumps(expected))
        assert found[:4] == tuple(
            expected[name] for name in (c.EVENT_ID, c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE)
        )


TEXT = st.text(max_size=8) | st.sampled_from(
    [
        "NaN",
        "nan",
        " A ",
        "\x1fA",
        "A\x85",
        "\u00a0A",
        "A\x00",
        "ÄÖ 7",
        "",
        " ",
        "7.0",
        "View",
        "VIEW ",
        "1e3",
    ]
)
TIMES = (
    st.datetimes(timezones=st.none() | st.timezones()).map(lambda one: one.isoformat())
    | st.datetimes().map(str)
    | st.from_regex(module._TIME, fullmatch=True)
    | st.from_regex(
        r"[12][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]+)?Z?", fullmatch=True
    )
    | st.floats(0, 1e18)
    | st.integers(0, 10**18)
    | st.integers(0, 2**34).map(lambda number: number / 4)
    | st.integers(0, 2**50).map(lambda number: number + 0.5)
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70) | st.integers(-1, 6)
VALUES = st.none() | TEXT | NUMBERS


@st.composite
def event_rows(draw):
    """Rows that are mostly good, with any value in some places."""
    usual = {
        c.EVENT_ID: TEXT | st.integers(),
        c.ASSOCIATE_ID: TEXT | st.integers(),
        c.PAGE_ID: TEXT,
        c.EVENT_TYPE: st.sampled_from(c.EVENT_TYPES),
        c.TIMESTAMP: TIMES,
        c.DWELL: NUMBERS,
        c.PROGRESS: st.floats(0, 1),
        c.RATING: st.integers(1, 5),
        c.REQUEST_ID: TEXT,
        c.POSITION: st.integers(0, 9) | st.floats(0, 3) | NUMBERS,
        c.RELEASE: TEXT,
    }
    row = {}
    for name, values in usual.items():
        kind = draw(st.integers(0, 9))
        if kind < 7 or (kind == 7 and name in GOOD):
            row[name] = draw(values)
        elif kind > 8:
            row[name] = draw(VALUES)
    return row


@settings(max_examples=1500)
@given(event_rows())
def test_a_row_is_read_as_a_table_is(row):
    same(row)


@settings(max_examples=300)
@given(st.lists(event_rows(), max_size=5))
def test_rows_do_not_depend_on_each_other(rows):
    assert read_rows(rows, LATER) == [read_rows([row], LATER)[0] for row in rows]


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-24T08:00:00Z",
        "2026-11-24T08:00:00.5+01:30",
        "2026-11-24T08:00:00.123456-05:00",
        "2026-11-24T08:00:00",
        "2026-11-24T08:00:60Z",
        "2026-02-30T08:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:30:00+01:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        1795507200,
        1795507200.25,
        1795507200123,
        1795507200123.4565,
        8_999_999_999.999999,
        9_000_000_000,
        99_999_999_999,
        100_000_000_000,
        0,
    ],
)
def test_times(stamp):
    same({**GOOD, c.TIMESTAMP: stamp})


def test_the_usual_row_needs_no_table(monkeypatch):
    monkeypatch.setattr(module, "check", None)
    row = {
        **GOOD,
        c.EVENT_ID: "e1",
        c.DWELL: 12,
        c.PROGRESS: 0.5,
        c.RATING: None,
        c.REQUEST_ID: "q",
        c.POSITION: 3,
        c.RELEASE: "r",
    }
    (found,) = read_rows([row], LATER)
    assert found == StoredEvent(
        "e1",
        "A1",
        "P1",
        "view",
        1795507200.0,
        '{"event_id":"e1","associate_id":"A1","page_id":"P1","event_type":"view",'
        '"timestamp":"2026-11-24T08:00:00+00:00","dwell_seconds":12.0,"progress":0.5,"request_id":"q",'
        '"position":3,"release":"r"}',
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (7, "an object is expected"),
        ({**GOOD, "x" * 300: 1}, "x" * 100 + ": unknown field"),
        ({**GOOD, c.RATING: True}, "rating: text or a number is expected"),
        ({**GOOD, c.PAGE_ID: ["P"]}, "page_id: text or a number is expected"),
        ({**GOOD, c.PAGE_ID: "p" * 257}, "page_id: longer than 256 characters"),
        ({**GOOD, c.TIMESTAMP: 1795507200 + 86401}, "timestamp: more than a day in the future"),
        ({**GOOD, c.TIMESTAMP: 1e300}, "timestamp: no time"),
    ],
)
def test_bad_rows_say_why(row, problem):
    (found,) = read_rows([row], 1795507200 + DAY)
    assert found.startswith(problem)


def test_places_are_kept():
    rows = [5, GOOD, {**GOOD, c.EVENT_TYPE: "look"}, {**GOOD, c.EVENT_TYPE: " View "}]
    found = read_rows(rows, LATER)
    assert [isinstance(one, StoredEvent) for one in found] == [False, True, False, True]
    assert found[1][:5] == found[3][:5]
    assert json.loads(found[3].row)[c.EVENT_TYPE] == "view"
