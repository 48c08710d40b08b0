import gzip
import json
import types

import polars as pl
import pytest

from components.contract.errors import DataError, WaymarkError
from components.contract.tables import TABLES
from components.ingest.component import ingest
from components.ingest.step import run

EVENTS = [
    {"associate_id": "A1", "page_id": "P1", "event_type": "view", "timestamp": "2026-09-01T08:00:00Z"},
    {"associate_id": "A1", "page_id": "P2", "event_type": "complete", "timestamp": "2026-09-02T08:00:00Z"},
    {"associate_id": "A2", "page_id": "P1", "event_type": "view", "timestamp": "2026-09-01T07:00:00Z"},
]
PAGES = [{"page_id": "P1", "title": "One"}, {"page_id": "P2", "title": "Two"}]
ASSOCIATES = [{"associate_id": "A1", "role": "cashier"}]


class Place:
    """A data folder and what ingest makes of it."""

    def __init__(self, root):
        self.data = root / "data"
        self.data.mkdir()
        self.tables, self.quarantine = root / "tables", root / "quarantine"

    def put(self, name, content):
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            frame = pl.DataFrame(content, infer_schema_length=None)
            if ".csv" in name:
                content = frame.write_csv()
            elif name.endswith(".json"):
                content = json.dumps(content)
            elif ".jsonl" in name or ".ndjson" in name:
                content = "\n".join(json.dumps(row) for row in content)
            else:
                frame.write_parquet(path)
                return self
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return self

    def run(self, **settings):
        self.figures = run(self.data, self.tables, self.quarantine, {"ingest": settings})
        return self

    def table(self, name):
        return pl.read_parquet(self.tables / f"{name}.parquet")

    @property
    def bad(self):
        return pl.read_parquet(self.quarantine / "quarantine.parquet")

    @property
    def report(self):
        return json.loads((self.tables / "report.json").read_text())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl", "ndjson", "json", "csv.gz", "jsonl.gz"])
def test_formats_give_the_same_tables(place, suffix):
    place.put(f"events.{suffix}", EVENTS).put(f"pages.{suffix}", PAGES).put(
        f"associates.{suffix}", ASSOCIATES
    )
    place.run()
    events = place.table("events")
    assert events.select("associate_id", "page_id", "event_type").rows() == [
        ("A2", "P1", "view"),
        ("A1", "P1", "view"),
        ("A1", "P2", "complete"),
    ]
    for name, spec in TABLES.items():
        assert place.table(name).schema == spec.schema
    assert place.table("pages")["title"].to_list() == ["One", "Two"]
    assert place.table("associates")["role"].to_list() == ["cashier"]
    assert place.bad.is_empty()
    assert place.figures["events"] == 3
    assert place.report["span"] == {"first": 1788246000.0, "last": 1788336000.0}
    assert [len(digest) for digest in place.report["files"].values()] == [64] * 3


def test_event_ids_do_not_depend_on_the_format(place, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    second = Place(other)
    rows = [event | {"position": 3, "dwell_seconds": 2.5} for event in EVENTS]
    place.put("events.csv", rows).put("pages.csv", PAGES).run()
    second.put("events.jsonl", rows).put("pages.csv", PAGES).run()
    assert place.table("events").equals(second.table("events"))


def test_folder_of_mixed_parts_partitioned_by_date(place):
    place.put("events/date=2026-09-01/part-0.parquet", [EVENTS[0], EVENTS[2]])
    place.put("events/date=2026-09-02/part-0.csv", [EVENTS[1]])
    place.put("events/date=2026-09-03/part-0.jsonl", [EVENTS[1] | {"associate_id": 9}])
    place.put("events/date=2026-09-04/part-0.jsonl", "").put("events/_SUCCESS", "").put(
        "events/.part.csv.crc", "x"
    )
    place.put("pages.parquet/part-0.parquet", PAGES).run()
    assert sorted(place.table("events")["associate_id"]) == ["9", "A1", "A1", "A2"]


def test_no_associates_table(place):
    place.put("events.csv", EVENTS).put("pages.csv", PAGES).run()
    assert place.table("associates").is_empty()
    assert place.table("associates").schema == TABLES["associates"].schema


def test_no_page_text(place):
    place.put("events.csv", EVENTS).put("pages.csv", "page_id\nP1\nP2\n").run()
    assert place.table("pages")["body"].to_list() == [None, None]


def test_one_user(place):
    place.put("events.csv", EVENTS[:1]).put("pages.csv", PAGES).run()
    assert place.figures["events"] == 1
    assert place.figures["days"] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("associate_id,page_id,event_type,timestamp\n", r"no event is left of the 0 rows"),
        ("", r"events\.csv is empty \(0 bytes\)"),
        ("associate_id,page_id,timestamp\nA,P1,1\n", r"'event_type' is missing in .*events\.csv"),
    ],
)
def test_empty_log(place, content, words):
    place.put("events.csv", content).put("pages.csv", PAGES)
    with pytest.raises(DataError, match=words):
        place.run()
    assert not place.tables.exists()


def test_missing_tables(place):
    with pytest.raises(DataError, match=r"pages: no pages\.parquet, .* in .*data"):
        place.run()
    place.put("pages.csv", PAGES)
    with pytest.raises(DataError, match=r"events: no events\.parquet"):
        place.run()
    place.data = place.data / "absent"
    with pytest.raises(DataError, match=r"no folder .*absent"):
        place.run()


def test_a_table_that_is_there_twice(place):
    place.put("events.csv", EVENTS).put("events/part.csv", EVENTS).put("pages.csv", PAGES)
    with pytest.raises(DataError, match=r"found events and events\.csv"):
        place.run()


def test_unreadable_file(place):
    place.put("events.parquet", "no parquet").put("pages.csv", PAGES)
    with pytest.raises(DataError, match=r"events\.parquet cannot be read as \.parquet"):
        place.run()


def test_duplicate_events_count_once(place):
    rows = [event | {"event_id": name} for event, name in zip(EVENTS, ["E1", "E2", "E1"], strict=True)]
    place.put("events/a.csv", [*rows, *EVENTS]).put("events/b.jsonl", EVENTS).put("pages.csv", PAGES).run()
    # E1 is kept at its earlier time; the three events without an id appear once each.
    assert place.figures["events"] == 5
    assert place.figures["events_duplicate"] == 4
    assert place.bad.is_empty()
    assert place.table("events").filter(event_id="E1")["associate_id"].to_list() == ["A2"]


def test_events_of_unknown_pages(place):
    place.put("events.csv", [*EVENTS, *EVENTS, EVENTS[0] | {"page_id": "gone"}]).put("pages.csv", PAGES).run()
    assert place.bad.select("table", "column", "reason").rows() == [
        ("events", "page_id", "page_id: not in the pages table (found 'gone')")
    ]
    assert json.loads(place.bad["row"][0])["page_id"] == "gone"
    assert place.report["bad_by_reason"] == [
        {"table": "events", "column": "page_id", "reason": "page_id: not in the pages table", "rows": 1}
    ]


def test_times_in_seconds_milliseconds_and_iso(place):
    times = ["1788249600", "1788249600000", "2026-09-01T08:00:00Z"]
    rows = [EVENTS[0] | {"timestamp": time, "event_id": time} for time in times]
    place.put("events.csv", rows).put("pages.csv", PAGES).run()
    assert place.table("events")["timestamp"].dt.epoch("s").to_list() == [1_788_249_600] * 3
    mixed = "\n".join(
        json.dumps(row | {"timestamp": t})
        for row, t in zip(rows, [1788249600, 1788249600000, times[2]], strict=True)
    )
    place.put("events.csv", rows)
    (place.data / "events.csv").unlink()
    place.put("events.jsonl", mixed).run()
    assert place.table("events")["timestamp"].dt.epoch("s").to_list() == [1_788_249_600] * 3


def test_nan(place):
    rows = [EVENTS[0] | {"dwell_seconds": float("nan")}, EVENTS[1] | {"dwell_seconds": 4.0}]
    place.put("events.parquet", rows).put("pages.csv", PAGES).run()
    assert place.table("events")["dwell_seconds"].to_list() == [None, 4.0]


@pytest.mark.parametrize("name", ["events.jsonl", "events.json"])
def test_nan_as_python_writes_it(place, name):
    rows = [
        EVENTS[0] | {"dwell_seconds": float("nan")},
        *EVENTS[1:],
        EVENTS[0] | {"dwell_seconds": float("inf")},
    ]
    place.put(name, rows).put("pages.csv", PAGES).run(max_bad_share=0.3)
    assert place.table("events")["dwell_seconds"].to_list() == [None, None, None]
    assert place.bad["reason"].to_list() == ["dwell_seconds: no finite number (found 'Infinity')"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_lists_that_are_all_empty(place, suffix):
    place.put(f"pages.{suffix}", [{"page_id": "P1", "roles": []}, {"page_id": "P2", "roles": []}])
    place.put("events.csv", EVENTS).run()
    assert place.table("pages")["roles"].to_list() == [[], []]


def test_extra_columns_that_do_not_go_together(place):
    place.put("pages/a.parquet", [{"page_id": "P1", "skills": ["fold"]}]).put(
        "pages/b.csv", "page_id,skills\nP2,fold\n"
    )
    place.put("events.csv", EVENTS)
    with pytest.raises(DataError, match="pages: an extra column has types in different files"):
        place.run()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_body_of_ten_megabytes(place, suffix):
    body = 'He said "lift, then turn".\n' * 400_000
    assert len(body) > 10_000_000
    place.put(f"pages.{suffix}", [{"page_id": "P1", "body": body}, {"page_id": "P2", "body": "short"}])
    place.put("events.csv", EVENTS).run()
    assert place.figures["bodies_cut"] == 1
    assert place.table("pages")["body"].to_list() == [body[:1_000_000], "short"]


def test_csv_with_quotes_newlines_and_a_byte_order_mark(place):
    text = '\ufeffpage_id,title,body\r\nP1,"Say ""hello"", then\nsmile","a,b\r\nc"\r\nP2,Two,\r\n'
    place.put("pages.csv", text).put("events.csv", EVENTS).run()
    assert place.table("pages").select("page_id", "title", "body").rows() == [
        ("P1", 'Say "hello", then\nsmile', "a,b\r\nc"),
        ("P2", "Two", None),
    ]


def test_semicolons(place):
    place.put("pages.csv", "page_id;title\nP1;One, two\nP2;Two\n").put("events.csv", EVENTS).run()
    assert place.table("pages")["title"].to_list() == ["One, two", "Two"]


def test_broken_lines_go_to_quarantine(place):
    lines = "associate_id,page_id,event_type,timestamp\n" + "A1,P1,view,1788249600\n" * 5 + "A1,P1,view\n"
    place.put("events/a.csv", lines)
    good = "\n".join(map(json.dumps, EVENTS))
    place.put("events/b.jsonl", good + '\n{"associate_id": \n[1]\n').put("pages.csv", PAGES).run(
        max_bad_share=0.4
    )
    assert sorted(place.bad.select("reason", "row").rows()) == [
        ("line: line has not the 4 fields of the header", "A1,P1,view"),
        ("line: line is no JSON object", "[1]"),
        ("line: line is no JSON object", '{"associate_id":'),
    ]
    assert place.figures["events"] == 3 + 1 - 1


def test_half_the_pages_are_bad(place):
    pages = [
        {"page_id": f"P{i}", "duration_seconds": -1 if i % 2 else 60, "due_days": -1 if i == 8 else 1}
        for i in range(10)
    ]
    place.put("pages.csv", pages).put("events.csv", EVENTS)
    with pytest.raises(DataError) as error:
        place.run()
    message = str(error.value)
    assert message.startswith(
        "pages: 6 of 10 rows are bad (60%, allowed 20%). The worst column is 'duration_seconds': 5 rows"
    )
    assert "duration_seconds: must be at least 0 (found '-1')" in message
    assert not place.tables.exists()
    assert place.bad.height == 6
    place.put("events.csv", [EVENTS[0] | {"page_id": "P2"}]).run(max_bad_share=0.6)
    assert place.figures["pages"] == 4


def test_extra_columns_of_pages_stay_and_of_events_go(place):
    place.put("pages/a.csv", "page_id,level\nP1,3\n").put(
        "pages/b.parquet", [{"page_id": "P2", "level": 4, "x": 1.5}]
    )
    place.put("events.csv", [event | {"device": "till"} for event in EVENTS]).run()
    assert place.table("pages").select("page_id", "level", "x").rows() == [
        ("P1", "3", None),
        ("P2", "4", 1.5),
    ]
    assert "device" not in place.table("events").columns


def test_forgotten_people_leave_no_trace(place, tmp_path):
    (tmp_path / "drained").mkdir()
    (tmp_path / "drained" / "tombstones.csv").write_text("associate_id\nA2\n")
    place.put("events.csv", [*EVENTS, EVENTS[2] | {"event_type": "nonsense"}]).put("pages.csv", PAGES)
    place.put("associates.csv", [*ASSOCIATES, {"associate_id": "A2", "role": "baker"}]).run(
        feedback=str(tmp_path / "drained")
    )
    assert place.table("events")["associate_id"].unique().to_list() == ["A1"]
    assert place.table("associates")["associate_id"].to_list() == ["A1"]
    assert place.bad.is_empty()
    assert place.report["tables"]["events"]["forgotten"] == 2


@pytest.fixture
def home(place, tmp_path):
    """HOME whose store was drained: two events, one of them in the data too, and two answers."""
    from components.contract.tables import TABLES, check

    place.put("events.csv", [event | {"event_id": f"e{i}"} for i, event in enumerate(EVENTS)])
    place.put("pages.csv", PAGES)
    drained = [
        EVENTS[0] | {"event_id": "e0"},
        {
            "event_id": "i1",
            "associate_id": "A1",
            "page_id": "P2",
            "event_type": "impression",
            "timestamp": "2026-09-03T08:00:00Z",
            "request_id": "r1",
        },
    ]
    part = tmp_path / "home" / "feedback" / "events" / "date=2026-09-03" / "claim.parquet"
    part.parent.mkdir(parents=True)
    check("events", pl.DataFrame(drained)).rows.select(TABLES["events"].schema.names()).write_parquet(part)
    shown = [("r1", "A1", "P1"), ("r1", "A1", "P2"), ("r2", "A1", "P1"), ("r2", "A1", "P2")]
    shown += [("r3", None, "P1"), ("r4", "A3", "P1"), ("r5", "A1", "P9")]
    frame = pl.DataFrame(shown, schema=["request_id", "associate_id", "page_id"], orient="row").with_columns(
        pl.lit("2026-09-04T08:00:00Z").str.to_datetime(time_unit="us", time_zone="UTC").alias("timestamp"),
        pl.lit(3, pl.Int32).alias("position"),
        release=pl.lit("R1"),
        score=pl.lit(0.5),
    )
    for day in (4, 5):
        # A claim that a store gave twice, after it was restored from a copy.
        part = tmp_path / "home" / "feedback" / "impressions" / f"date=2026-09-0{day}" / "claim.parquet"
        part.parent.mkdir(parents=True)
        frame.write_parquet(part)
    pl.DataFrame({"associate_id": ["A3"]}).write_parquet(
        tmp_path / "home" / "feedback" / "tombstones.parquet"
    )
    return tmp_path / "home"


def test_what_a_store_was_drained_into_is_read(place, home):
    figures = run(place.data, place.tables, place.quarantine, None, home)
    events = place.table("events")
    assert events["event_id"].to_list() == ["e2", "e0", "e1", "i1", "r2/P1", "r2/P2"]
    # Of r1 the front end told what it showed; r3 went to nobody, A3 is forgotten, there is no P9.
    made = events.filter(pl.col("event_id").str.starts_with("r2")).row(0, named=True)
    assert (made["event_type"], made["request_id"], made["release"]) == ("impression", "r2", "R1")
    assert made["position"] == 3
    assert (figures["events_duplicate"], figures["impressions_shown"], figures["events_bad"]) == (1, 2, 0)
    assert place.report["tables"]["events"]["shown"] == 2
    parts = sorted(name.removeprefix(f"{home}/feedback/") for name in place.report["files"] if "home" in name)
    assert parts == [
        "events/date=2026-09-03/claim.parquet",
        "impressions/date=2026-09-04/claim.parquet",
        "impressions/date=2026-09-05/claim.parquet",
        "tombstones.parquet",
    ]


def test_a_setting_names_another_folder(place, home, tmp_path):
    (tmp_path / "none").mkdir()
    figures = run(
        place.data, place.tables, place.quarantine, {"ingest": {"feedback": str(tmp_path / "none")}}, home
    )
    assert (figures["events"], figures["impressions_shown"]) == (3, 0)
    with pytest.raises(DataError, match=r"settings\.ingest\.feedback: .*no folder .*nowhere"):
        place.run(feedback=str(tmp_path / "nowhere"))


def test_a_home_that_was_never_drained(place, tmp_path):
    place.put("events.csv", EVENTS).put("pages.csv", PAGES)
    assert run(place.data, place.tables, place.quarantine, None, tmp_path)["events"] == 3


def test_two_runs_give_the_same_bytes(place, tmp_path):
    place.put("events/b.csv", EVENTS[:2]).put("events/a.csv", EVENTS[1:]).put("pages.csv", PAGES).run()
    first = (place.tables / "events.parquet").read_bytes()
    place.run()
    assert (place.tables / "events.parquet").read_bytes() == first


def test_a_filesystem_of_beam(place):
    from apache_beam.io.localfilesystem import LocalFileSystem

    class Shelf(LocalFileSystem):
        """Local files under a scheme of their own, as a bucket would be."""

        @classmethod
        def scheme(cls):
            return "shelf"

        def match(self, patterns, limits=None):
            found = super().match([pattern.removeprefix("shelf:/") for pattern in patterns], limits)
            for result in found:
                for meta in result.metadata_list:
                    meta.path = f"shelf:/{meta.path}"
            return found

        def open(self, path, mime_type="application/octet-stream", compression_type="auto"):
            return super().open(path.removeprefix("shelf:/"), mime_type, compression_type)

    place.put("events/date=2026-09-01/part.jsonl.gz", EVENTS).put("pages.csv", PAGES)
    figures = run(f"shelf:/{place.data}/", place.tables, place.quarantine)
    assert figures["events"] == 3
    assert any(name.startswith("shelf://") for name in place.report["files"])
    with pytest.raises(DataError, match="cannot read nowhere://bucket"):
        run("nowhere://bucket/data", place.tables, place.quarantine)


def test_unknown_setting_is_named(place):
    with pytest.raises(WaymarkError, match=r"settings\.ingest\.max_bad"):
        place.run(max_bad=1)


def test_component(place):
    place.put("events.csv", EVENTS).put("pages.csv", PAGES)
    logged = {}
    ingest.python_func(
        data=str(place.data),
        settings={},
        tables=types.SimpleNamespace(path=str(place.tables)),
        quarantine=types.SimpleNamespace(path=str(place.quarantine)),
        metrics=types.SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert logged["events"] == 3
    assert place.table("events").height == 3
