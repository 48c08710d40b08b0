"""Quarantine: look into it, bring rows back, lose and double nothing."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from components.contract.errors import DataError
from components.ingest import step
from components.ingest.__main__ import app

PAGES = pl.DataFrame({"page_id": ["P1", "P2"], "roles": [["baker"], ["driver", "baker"]]})
EVENTS = pl.DataFrame(
    {
        "event_id": ["E1", "E2", "E3", "E4", None, "E6"],
        "associate_id": ["A1", "A1", "A2", "A2", "A3", ""],
        "page_id": ["P1", "P2", "P9", "P1", "P9", "P1"],
        "event_type": ["view", "view", "view", "opened", "view", "view"],
        "timestamp": ["2026-09-01T08:00:00Z"] * 6,
        "progress": [0.5, 40.0, 0.25, 0.1, 0.75, 1.0],
    }
)


class Place:
    def __init__(self, root):
        self.data, self.out = root / "data", root / "out"
        for name, rows in (("pages", PAGES), ("events", EVENTS)):
            (self.data / name).mkdir(parents=True)
            rows.write_parquet(self.data / name / "part-0.parquet")

    @property
    def quarantine(self):
        return self.out / "quarantine.parquet"

    def ingest(self):
        step.run(self.data, self.out / "tables", self.out, {"ingest": {"max_bad_share": 1}})
        return pl.read_parquet(self.out / "tables/events.parquet").sort("event_id")

    def call(self, *words, code=0):
        found = CliRunner().invoke(app, [str(word) for word in words], terminal_width=300)
        assert found.exit_code == code, found.output
        return found.output

    def replay(self, *words):
        return self.call("replay", self.quarantine, "--data", self.data, *words)

    def parts(self):
        return sorted(self.data.glob("events/replayed-*.parquet"))


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    assert made.ingest()["event_id"].to_list() == ["E1"]
    return made


def test_inspect_counts_by_reason_with_examples(place):
    found = json.loads(place.call("inspect", place.quarantine, "--examples", 1, "--json"))
    counts = {row["reason"].split(",")[0]: row["rows"] for row in found}
    assert counts == {
        "page_id: not in the pages table": 2,
        "progress: must be within 0 and 1": 1,
        "event_type: unknown type": 1,
        "associate_id: empty": 1,
    }
    assert json.loads(found[0]["examples"][0])["event_id"] == "E3"
    assert len(found[0]["examples"]) == 1
    only = json.loads(place.call("inspect", place.quarantine, "--only", "progress", "--json"))
    assert [row["rows"] for row in only] == [1]


def test_rows_come_back_once_their_page_is_there(place):
    pl.DataFrame({"page_id": ["P9"]}).write_parquet(place.data / "pages/part-1.parquet")
    assert "2 of 5 rows came back" in place.replay()
    assert pl.read_parquet(place.quarantine).height == 3
    [part] = place.parts()
    events = place.ingest()
    # The source's own rows are good now too: each event counts once.
    assert events.height == 3
    assert events.filter(pl.col("page_id") == "P9")["progress"].sort().to_list() == [0.25, 0.75]
    assert set(pl.read_parquet(part)["event_id"]) < set(events["event_id"])


def test_rows_come_back_mended(place):
    told = place.replay("--only", "progress", "--fix", "progress=CAST(progress AS DOUBLE) / 100")
    assert "1 of 1 rows came back" in told
    mapped = "event_type=CASE WHEN event_type = 'opened' THEN 'view' ELSE event_type END"
    assert "1 of 1 rows came back" in place.replay("--only", "opened", "--fix", mapped)
    assert pl.read_parquet(place.quarantine)["column"].sort().to_list() == [
        "associate_id",
        "page_id",
        "page_id",
    ]
    events = place.ingest().filter(pl.col("event_id").is_in(["E2", "E4"]))
    assert events.select("event_id", "event_type", "progress").rows() == [
        ("E2", "view", 0.4),
        ("E4", "view", 0.1),
    ]


def test_a_dry_run_writes_nothing(place):
    before = place.quarantine.read_bytes()
    said = place.replay("--dry-run", "--fix", "progress=CAST(progress AS DOUBLE) / 100")
    assert "1 of 5 rows would come back" in said
    assert place.quarantine.read_bytes() == before
    assert place.parts() == []


def test_a_crash_between_the_two_writes_loses_and_doubles_nothing(place):
    fix = ("--only", "progress", "--fix", "progress=CAST(progress AS DOUBLE) / 100")
    before = place.quarantine.read_bytes()
    place.replay(*fix)
    place.quarantine.write_bytes(before)  # as if it had died before the quarantine was written
    place.replay(*fix)
    assert len(place.parts()) == 1
    assert pl.read_parquet(place.quarantine).height == 4
    assert place.ingest()["event_id"].to_list() == ["E1", "E2"]


def test_pages_come_back_with_their_lists_and_other_columns(tmp_path):
    place = Place(tmp_path)
    rows = PAGES.with_columns(due_days=pl.Series(["3", "x"]), level=pl.Series(["easy", "hard"]))
    rows.write_parquet(place.data / "pages/part-0.parquet")
    place.ingest()
    assert "1 of 1 rows came back" in place.replay("--only", "due_days", "--fix", "due_days=NULL")
    place.ingest()
    pages = pl.read_parquet(place.out / "tables/pages.parquet").select("page_id", "roles", "level")
    assert pages.rows() == [("P1", ["baker"], "easy"), ("P2", ["driver", "baker"], "hard")]


def test_rows_that_ingest_cut_stay(tmp_path):
    place = Place(tmp_path)
    body = pl.DataFrame({"page_id": ["P3"], "body": ["x" * 5000], "due_days": ["soon"]})
    body.write_parquet(place.data / "pages/part-1.parquet")
    place.ingest()
    assert "none of 1 rows is good now" in place.replay("--only", "due_days", "--fix", "due_days=NULL")
    assert pl.read_parquet(place.quarantine).filter(pl.col("table") == "pages").height == 1


def test_a_table_in_one_file_is_left_alone(place):
    (place.data / "events/part-0.parquet").rename(place.data / "events.parquet")
    (place.data / "events").rmdir()
    found = CliRunner().invoke(app, ["replay", str(place.quarantine), "--data", str(place.data), "--fix",
                                     "progress=CAST(progress AS DOUBLE) / 100"])  # fmt: skip
    assert isinstance(found.exception, DataError)
    assert "is one file" in str(found.exception)


def test_what_is_no_quarantine_is_refused(place):
    found = CliRunner().invoke(app, ["inspect", str(place.data / "events/part-0.parquet")])
    assert isinstance(found.exception, DataError)
    found = CliRunner().invoke(
        app, ["replay", str(place.quarantine), "--data", str(place.data), "--fix", "x"]
    )
    assert "COLUMN=SQL" in str(found.exception)
