import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.tables import TABLES, check, empty

MOMENT = dt.datetime(2026, 9, 1, 8, 0, 0, 250_000, tzinfo=dt.UTC)


def events(**columns):
    rows = max(len(values) for values in columns.values())
    base = {
        c.ASSOCIATE_ID: ["A"] * rows,
        c.PAGE_ID: ["P"] * rows,
        c.EVENT_TYPE: ["view"] * rows,
        c.TIMESTAMP: [1_788_249_600] * rows,
    }
    return pl.DataFrame(base | columns, strict=False)


@pytest.mark.parametrize(
    "given",
    [
        "2026-09-01T08:00:00.25Z",
        "2026-09-01T08:00:00.250000+00:00",
        "2026-09-01 10:00:00.25+02:00",
        "2026-09-01T06:30:00.25-0130",
        " 2026-09-01 08:00:00.250 ",
        "1788249600.25",
        "1788249600250",
        "1788249600250000",
        "1788249600250000000",
        1_788_249_600.25,
        1_788_249_600_250,
        1_788_249_600_250_000,
        1_788_249_600_250_000_000,
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(dt.timezone(dt.timedelta(hours=2))),
    ],
    ids=repr,
)
def test_each_way_to_write_a_time(given):
    found = check("events", events(timestamp=[given]))
    assert found.rows[c.TIMESTAMP].to_list() == [MOMENT]


def test_times_are_told_apart_value_by_value():
    found = check(
        "events", events(timestamp=["1788249600", "1788249600000", "2026-09-01", "2026-09-01T08:00"])
    )
    assert found.rows[c.TIMESTAMP].dt.epoch("s").to_list() == [
        1_788_249_600,
        1_788_249_600,
        1_788_220_800,
        1_788_249_600,
    ]


@pytest.mark.parametrize(
    "text", ["soon", "2026-13-01", "2026-02-30", "2026-09-01T25:00", "01/09/2026", "inf", "2026-09-01Tnoon"]
)
def test_no_time(text):
    found = check("events", events(timestamp=[text, "2026-09-01"]))
    assert found.rows.height == 1
    assert found.bad["column"].to_list() == ["timestamp"]
    assert found.bad["reason"][0].startswith("timestamp: no time;")
    assert f"(found '{text}')" in found.bad["reason"][0]


@given(st.datetimes(min_value=dt.datetime(1973, 4, 1), max_value=dt.datetime(2199, 1, 1)))
def test_any_instant_survives_iso_text_and_microseconds(moment):
    moment = moment.replace(tzinfo=dt.UTC)
    micros = (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    found = check("events", events(timestamp=[moment.isoformat(), str(micros)]))
    assert found.rows[c.TIMESTAMP].to_list() == [moment, moment]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("progress", 45.0, "progress: must be within 0 and 1 (found '45.0')"),
        ("progress", -0.1, "progress: must be within 0 and 1"),
        ("rating", 6, "rating: must be within 1 and 5 (found '6')"),
        ("rating", "good", "rating: no finite number (found 'good')"),
        ("dwell_seconds", -3, "dwell_seconds: must be at least 0 (found '-3')"),
        ("dwell_seconds", float("inf"), "dwell_seconds: no finite number (found 'inf')"),
        ("position", 1.5, "position: no whole number of 0 or more"),
        ("event_type", "look", "event_type: unknown type, must be one of impression, view"),
        ("associate_id", "  ", "associate_id: empty"),
        ("page_id", None, "page_id: empty"),
        ("page_id", "P\x001", "page_id: control characters"),
        ("associate_id", "A\n1", "associate_id: control characters"),
        ("associate_id", "a" * 257, "associate_id: longer than 256 characters"),
        ("timestamp", -5, "timestamp: before 1970"),
    ],
)
def test_bad_event(column, value, words):
    found = check("events", events(**{column: [value]}))
    assert found.rows.is_empty()
    assert found.bad["reason"][0].startswith(words)
    assert f'"{column}"' in found.bad["row"][0]


@pytest.mark.parametrize("value", ["a" * 256, "Zoë 7", "north/17", "\x0cA1 "])
def test_ids_as_requests_may_hold_them(value):
    assert check("events", events(associate_id=[value])).bad.is_empty()


def test_nan_is_null():
    found = check("events", events(dwell_seconds=[float("nan"), 3.0], rating=["NaN", ""]))
    assert found.bad.is_empty()
    assert found.rows["dwell_seconds"].to_list() == [None, 3.0]
    assert found.rows["rating"].to_list() == [None, None]


def test_ids_are_trimmed_text_whatever_their_type():
    assert check("events", events(associate_id=[7, 8])).rows[c.ASSOCIATE_ID].to_list() == ["7", "8"]
    assert check("events", events(associate_id=[7.0, 8.0])).rows[c.ASSOCIATE_ID].to_list() == ["7", "8"]
    assert check("events", events(associate_id=[" 07 ", "8"])).rows[c.ASSOCIATE_ID].to_list() == ["07", "8"]
    found = check("events", events(associate_id=[7.0, float("nan")]))
    assert found.bad["reason"].to_list() == ["associate_id: empty (found 'NaN')"]


def test_content_names_an_event_without_an_id():
    ids = check("events", events(page_id=["P", "P", "Q"])).rows[c.EVENT_ID]
    assert ids[0] == ids[1] != ids[2]
    kept = check("events", events(event_id=["E1", None, ""], page_id=["P", "P", "P"])).rows[c.EVENT_ID]
    assert kept.to_list() == ["E1", ids[0], ids[0]]


@pytest.mark.parametrize(
    "given", [["a", "b c"], '["a", "b c"]', "['a', 'b c']", "a|b c", "a, b c", " a | | b c"]
)
def test_lists(given):
    pages = pl.DataFrame({"page_id": ["P"], "roles": [given], "prerequisites": [""], "mandatory_for": [None]})
    found = check("pages", pages).rows
    assert found["roles"].to_list() == [["a", "b c"]]
    assert found["prerequisites"].to_list() == [None]
    assert found["mandatory_for"].to_list() == [None]


def test_a_page_may_have_one_locale_or_several_and_an_associate_one():
    pages = check(
        "pages", pl.DataFrame({"page_id": ["P", "Q", "R"], "locale": ["en-GB", "en|pl", None]})
    ).rows
    assert pages["locale"].to_list() == [["en-GB"], ["en", "pl"], None]
    people = check("associates", pl.DataFrame({"associate_id": ["A", "B"], "locale": [" en-GB ", ""]})).rows
    assert people["locale"].to_list() == ["en-GB", None]


def test_flags_and_extra_columns():
    pages = pl.DataFrame(
        {
            "page_id": ["1", "2", "3", "4"],
            "retired": ["TRUE", "0", "", "maybe"],
            "difficulty": ["x", None, "y", "z"],
            "score": [float("nan"), 1.0, 2.0, 3.0],
        }
    )
    found = check("pages", pages)
    assert found.rows["retired"].to_list() == [True, False, False]
    assert found.rows["difficulty"].to_list() == ["x", None, "y"]
    assert found.rows["score"].to_list() == [None, 1.0, 2.0]
    assert found.bad["reason"].to_list() == ["retired: no truth value; give true or false (found 'maybe')"]


def test_the_first_good_row_holds_a_key():
    pages = pl.DataFrame({"page_id": ["P", "P", "P", "Q"], "duration_seconds": [-1.0, 2.0, 3.0, 4.0]})
    found = check("pages", pages, taken=pl.Series(["Q"]))
    assert found.rows["duration_seconds"].to_list() == [2.0]
    assert found.bad["reason"].to_list() == [
        "duration_seconds: must be at least 0 (found '-1.0')",
        "page_id: already used by an earlier row (found 'P')",
        "page_id: already used by an earlier row (found 'Q')",
    ]


def test_long_bodies_are_cut_at_a_character():
    found = check("pages", pl.DataFrame({"page_id": ["P", "Q"], "body": ["ab€d", "abc"]}), max_body_bytes=4)
    assert found.rows["body"].to_list() == ["ab", "abc"]
    assert found.cut == 1


def test_unknown_pages():
    found = check("events", events(page_id=["P", "Z"]), known_pages=pl.Series(["P"]))
    assert found.rows[c.PAGE_ID].to_list() == ["P"]
    assert found.bad["reason"].to_list() == ["page_id: not in the pages table (found 'Z')"]


def test_missing_column_is_named():
    with pytest.raises(
        DataError, match=r"'event_type' is missing in log\.csv \(found: associate_id, page_id\)"
    ):
        check("events", pl.DataFrame({"associate_id": ["A"], "page_id": ["P"]}), where="log.csv")


@pytest.mark.parametrize("table", sorted(TABLES))
def test_good_rows_have_the_contract_types(table):
    required = {name: ["x"] for name in TABLES[table].required}
    if table == "events":
        required |= {"event_type": ["view"], "timestamp": ["2026-09-01"]}
    assert check(table, pl.DataFrame(required)).rows.schema == empty(table).schema == TABLES[table].schema


_cell = st.one_of(
    st.none(), st.text(max_size=12), st.integers(-(10**20), 10**20).map(str), st.floats().map(str)
)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(TABLES["events"].kinds, _cell)), min_size=1, max_size=8))
def test_every_row_is_kept_or_explained(rows):
    raw = pl.DataFrame(rows, schema=dict.fromkeys(TABLES["events"].kinds, pl.String))
    found = check("events", raw)
    assert found.rows.height + found.bad.height == len(rows)
    assert found.rows.select(pl.col(*TABLES["events"].required).is_null().any()).row(0) == (False,) * 4
    assert all(
        reason.startswith(f"{column}: ") for column, reason in found.bad.select("column", "reason").rows()
    )


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(TABLES["pages"].kinds, _cell)), min_size=1, max_size=8))
def test_every_page_is_kept_or_explained(rows):
    raw = pl.DataFrame(rows, schema=dict.fromkeys(TABLES["pages"].kinds, pl.String))
    found = check("pages", raw)
    assert found.rows.height + found.bad.height == len(rows)
    assert found.rows["page_id"].is_unique().all()
