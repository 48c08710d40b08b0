"""Whole runs of TFDV: a clean log has no finding, each seeded fault is found and graded."""

import shutil
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from components.contract import columns as c
from components.contract.errors import DataError, WaymarkError
from components.contract.notify import WEBHOOK
from components.validate.acknowledge import last
from components.validate.component import validate
from components.validate.step import run
from tests.support.webhook import Webhook

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, EVENTS, ASSOCIATES, PAGES = 35, 7_000, 300, 60


def academy(seed=0):
    """A believable log: five weeks, quiet Sundays, every column of the contract."""
    random = np.random.default_rng(seed)
    weekday = np.arange(DAYS) % 7
    share = np.where(weekday == 6, 0.0, 1.0)
    day = random.choice(DAYS, EVENTS, p=share / share.sum())
    hour = random.normal(13, 3, EVENTS).clip(6, 22)
    micros = (day * 86_400_000_000 + hour * 3_600_000_000).astype(np.int64)
    kind = random.choice(
        ["impression", "view", "complete", "skip", "rating", "like"],
        EVENTS,
        p=[0.45, 0.3, 0.1, 0.1, 0.03, 0.02],
    )
    viewed = np.isin(kind, ["view", "complete"])
    events = pl.DataFrame(
        {
            c.EVENT_ID: [f"e{i}" for i in range(EVENTS)],
            c.ASSOCIATE_ID: [f"A{i}" for i in random.integers(0, ASSOCIATES, EVENTS)],
            c.PAGE_ID: [f"P{i}" for i in random.integers(0, PAGES, EVENTS)],
            c.EVENT_TYPE: kind,
            c.TIMESTAMP: pl.Series(int(START.timestamp() * 1e6) + micros).cast(pl.Datetime("us", "UTC")),
            c.DWELL: pl.Series(np.where(viewed, random.exponential(90, EVENTS), np.nan)).fill_nan(None),
            c.PROGRESS: pl.Series(np.where(viewed, random.random(EVENTS), np.nan)).fill_nan(None),
            c.RATING: pl.Series(np.where(kind == "rating", random.integers(1, 6, EVENTS), np.nan)).fill_nan(
                None
            ),
            c.REQUEST_ID: pl.Series([None] * EVENTS, dtype=pl.String),
            c.POSITION: pl.Series(np.where(kind == "impression", random.integers(0, 10, EVENTS), -1)).cast(
                pl.Int32
            ),
            c.RELEASE: pl.Series([None] * EVENTS, dtype=pl.String),
        }
    ).with_columns(pl.when(pl.col(c.POSITION) >= 0).then(c.POSITION).alias(c.POSITION))
    pages = pl.DataFrame(
        {
            c.PAGE_ID: [f"P{i}" for i in range(PAGES)],
            "title": [f"How to do task {i}" for i in range(PAGES)],
            "body": ["Lift with the knees. " * (1 + i % 5) for i in range(PAGES)],
            "topic": [["safety", "till", "stock"][i % 3] for i in range(PAGES)],
            "duration_seconds": random.uniform(60, 900, PAGES),
            "published_at": [START] * PAGES,
            "retired": [False] * PAGES,
            "roles": [["clerk", "baker"] if i % 2 else [] for i in range(PAGES)],
            "prerequisites": [None] * PAGES,
            "difficulty": [["easy", "hard"][i % 2] for i in range(PAGES)],
        },
        schema_overrides={"prerequisites": pl.List(pl.String)},
    )
    associates = pl.DataFrame(
        {
            c.ASSOCIATE_ID: [f"A{i}" for i in range(ASSOCIATES)],
            "role": random.choice(["clerk", "baker", "driver"], ASSOCIATES, p=[0.6, 0.3, 0.1]),
            "store": [f"S{i % 12}" for i in range(ASSOCIATES)],
            "shift": random.choice(["day", "night"], ASSOCIATES),
            "hired_at": [START] * ASSOCIATES,
        }
    )
    return {"events": events.sort(c.TIMESTAMP, c.EVENT_ID), "pages": pages, "associates": associates}


def write(folder, tables):
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A HOME whose current release was built from a clean log of another week's draw."""
    home = tmp_path_factory.mktemp("home")
    release = home / "releases" / "r1"
    release.mkdir(parents=True)
    (home / "current").symlink_to("releases/r1")
    tables = write(home / "tables", academy(seed=1))
    run(tables, home / "none", release / "statistics", home / "report.html")
    return home


def found(tmp_path, tables, home, **chosen):
    """Run on tables; give the findings by (check, table.column) and their severity, and the error."""
    folder = write(tmp_path / "tables", tables)
    if home.is_dir() and home != tmp_path / "home":
        home = shutil.copytree(home, tmp_path / "home", symlinks=True, dirs_exist_ok=True)
    error = None
    try:
        run(folder, home, tmp_path / "statistics", tmp_path / "report.html", {"validate": chosen})
    except DataError as raised:
        error = str(raised)
    assert (tmp_path / "report.html").stat().st_size < 200_000
    _, seen = last(home)
    for finding in seen:
        assert (str(finding) in (error or "")) == (finding.severity == "stop")
    return {(f.check, f"{f.table}.{f.column}".rstrip(".")): f.severity for f in seen}, error


def test_a_clean_log_has_no_finding(tmp_path, home):
    findings, error = found(tmp_path, academy(), home, date=date(2026, 4, 6))
    assert findings == {}
    assert error is None
    text = (tmp_path / "report.html").read_text()
    assert "No findings" in text
    assert "dwell_seconds" in text
    assert "<script" not in text
    assert 'src="' not in text
    assert sorted(path.name for path in (tmp_path / "statistics").iterdir()) == [
        "associates.pb",
        "events.pb",
        "pages.pb",
    ]


def on_events(*expressions):
    return lambda tables: tables | {"events": tables["events"].with_columns(*expressions)}


def role_mix(tables):
    role = pl.when(pl.int_range(pl.len()) % 10 < 8).then(pl.lit("driver")).otherwise("role").alias("role")
    return tables | {"associates": tables["associates"].with_columns(role)}


def without(table, *names):
    return lambda tables: tables | {table: tables[table].drop(*names)}


def only_events(condition):
    return lambda tables: tables | {"events": tables["events"].filter(condition)}


def spike(tables):
    day = tables["events"].filter(pl.col(c.TIMESTAMP).dt.date() == date(2026, 3, 17))
    return tables | {"events": pl.concat([tables["events"], *[day] * 7]).sort(c.TIMESTAMP)}


def flood(tables):
    script = pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("A7")).otherwise(c.ASSOCIATE_ID)
    return on_events(script.alias(c.ASSOCIATE_ID))(tables)


def sometimes(other, column, every):
    chosen = pl.int_range(pl.len()) % every == 0
    return pl.when(chosen & pl.col(column).is_not_null()).then(other).otherwise(column).alias(column)


FAULTS = {
    "progress in percent": (on_events(pl.col(c.PROGRESS) * 100), {("range", "events.progress"): "stop"}),
    "a few wrong progresses": (
        on_events(sometimes(pl.lit(1.5), c.PROGRESS, 300)),
        {("range", "events.progress"): "warn"},
    ),
    "dwell in milliseconds": (on_events(pl.col(c.DWELL) * 1000), {("range", "events.dwell_seconds"): "stop"}),
    "unknown event types": (
        on_events(sometimes(pl.lit("look"), c.EVENT_TYPE, 20)),
        {("domain", "events.event_type"): "stop"},
    ),
    "a few unknown event types": (
        on_events(sometimes(pl.lit("look"), c.EVENT_TYPE, 500)),
        {("domain", "events.event_type"): "warn"},
    ),
    "role mix shifted": (role_mix, {("drift", "associates.role"): "stop"}),
    "hours shifted": (
        on_events(pl.col(c.TIMESTAMP).dt.offset_by("9h")),
        {("drift", "events.timestamp"): "stop"},
    ),
    "views exported as completions": (
        on_events(sometimes(pl.lit("complete"), c.EVENT_TYPE, 5)),
        {("drift", "events.event_type"): "warn"},
    ),
    "a missing day": (
        only_events(pl.col(c.TIMESTAMP).dt.date() != date(2026, 3, 18)),
        {("missing_day", "events.timestamp"): "warn"},
    ),
    "a day loaded eight times": (spike, {("spike", "events.timestamp"): "warn"}),
    "one associate floods": (flood, {("flood", "events.associate_id"): "warn"}),
    "an empty log": (only_events(pl.lit(False)), {("empty", "events"): "stop", ("volume", "events"): "warn"}),
    "a required column is missing": (
        without("events", c.PAGE_ID),
        {("missing", "events.page_id"): "stop"},
    ),
    "dwell as text": (
        on_events(pl.format("{} s", c.DWELL).alias(c.DWELL)),
        {("type", "events.dwell_seconds"): "stop"},
    ),
    "time as text": (
        on_events(pl.col(c.TIMESTAMP).cast(pl.String)),
        {("type", "events.timestamp"): "stop"},
    ),
    "ids missing in some rows": (
        on_events(sometimes(None, c.ASSOCIATE_ID, 10)),
        {("presence", "events.associate_id"): "stop"},
    ),
    "roles are gone": (without("associates", "role"), {("drift", "associates.role"): "warn"}),
    "most events are gone": (
        only_events(pl.int_range(pl.len()) % 5 == 0),
        {("volume", "events"): "warn"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(tmp_path, home, fault):
    spoil, expected = FAULTS[fault]
    findings, error = found(tmp_path, spoil(academy()), home)
    assert {key: findings.get(key) for key in expected} == expected
    assert (error is not None) == ("stop" in expected.values())
    # What is sound is not blamed: a unit fault shows as drift too, but of the same column.
    assert {place for _, place in findings} <= {place for _, place in expected}


def tiny(tables):
    return {
        "events": tables["events"].head(3).with_columns(pl.lit("A1").alias(c.ASSOCIATE_ID)),
        "pages": tables["pages"].head(2),
        "associates": tables["associates"].head(0),
    }


LITTLE = {
    "three events of one associate": tiny,
    "only what is required": lambda tables: {
        "events": tables["events"].select(c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP),
        "pages": tables["pages"].select(c.PAGE_ID),
    },
    "columns without a value": lambda tables: (
        tables
        | {
            "events": tables["events"].with_columns(
                *(pl.lit(None, pl.Float64).alias(name) for name in (c.DWELL, c.PROGRESS, c.RATING)),
                pl.lit(None).alias(c.POSITION),
            ),
            "associates": pl.DataFrame(),
        }
    ),
    "one event a day for years": lambda tables: (
        tables
        | {
            "events": tables["events"]
            .head(300)
            .with_columns(pl.col(c.TIMESTAMP).first() + pl.duration(days=pl.int_range(pl.len()) ** 2 // 90))
        }
    ),
}


@pytest.mark.parametrize("case", LITTLE)
def test_little_data_is_no_fault(tmp_path, case):
    findings, error = found(tmp_path, LITTLE[case](academy()), tmp_path / "no home")
    assert findings == {}
    assert error is None


def test_severity_can_be_chosen(tmp_path, home):
    tables = role_mix(only_events(pl.lit(False))(academy()))
    chosen = {"empty": "warn", "drift": "ignore", "volume": "stop"}
    findings, error = found(tmp_path, tables, home, severity=chosen)
    assert findings == {("empty", "events"): "warn", ("volume", "events"): "stop"}
    assert "far fewer rows than before" in error


def test_a_missing_pages_table_stops(tmp_path):
    tables = {name: table for name, table in academy().items() if name == "events"}
    findings, error = found(tmp_path, tables, tmp_path / "no home")
    assert findings == {("missing", "pages"): "stop"}
    assert "pages: the table is missing" in error


def test_people_are_told_of_what_stops_the_run(tmp_path, monkeypatch):
    webhook = Webhook()
    monkeypatch.setenv(WEBHOOK, webhook.url)
    found(tmp_path / "clean", tiny(academy()), tmp_path / "no home")
    assert webhook.posted == []
    tables = {name: table for name, table in academy().items() if name == "events"}
    _, error = found(tmp_path / "bad", tables, tmp_path / "no home")
    (told,) = webhook.posted
    assert told == {"text": f"Waymark, validate: {error}", "step": "validate"}
    webhook.close()


def test_damaged_statistics_are_reported(tmp_path):
    folder = tmp_path / "home" / "current" / "statistics"
    folder.mkdir(parents=True)
    (folder / "events.pb").write_bytes(b"\xff\xff\xff not statistics")
    findings, error = found(tmp_path, tiny(academy()), tmp_path / "home")
    assert findings == {("baseline", "statistics"): "warn"}
    assert error is None


def test_words_of_the_log_cannot_write_into_the_report(tmp_path):
    tables = on_events(sometimes(pl.lit("<script>alert(1)</script>"), c.EVENT_TYPE, 5))(academy())
    found(tmp_path, tables, tmp_path / "no home")
    text = (tmp_path / "report.html").read_text()
    assert "&lt;script&gt;" in text
    assert "<script" not in text


def test_unknown_checks_are_named(tmp_path):
    with pytest.raises(WaymarkError, match=r"settings\.validate\.severity"):
        run(tmp_path, tmp_path, tmp_path / "s", tmp_path / "r", {"validate": {"severity": {"drfit": "warn"}}})


def test_component(tmp_path):
    class Artifact:
        def __init__(self, path):
            self.path = str(path)
            self.logged = {}

        def log_metric(self, name, value):
            self.logged[name] = value

    tables = write(tmp_path / "tables", tiny(academy()))
    metrics = Artifact(tmp_path / "metrics")
    outputs = Artifact(tmp_path / "statistics"), Artifact(tmp_path / "report.html"), metrics
    validate.python_func(Artifact(tables), str(tmp_path / "home"), {}, *outputs)
    assert metrics.logged["events_rows"] == 3
    assert metrics.logged["findings_warn"] == 0
