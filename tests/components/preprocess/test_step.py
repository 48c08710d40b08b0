"""The step on whole logs, against a plain Polars program."""

import shlex
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from components.contract import columns as c
from components.contract.dataset import Dataset, page_order
from components.contract.errors import DataError, WaymarkError
from components.preprocess.component import preprocess
from components.preprocess.step import run

DAY = datetime(2026, 3, 1, tzinfo=UTC)
EVENTS = {
    c.ASSOCIATE_ID: pl.String,
    c.PAGE_ID: pl.String,
    c.EVENT_TYPE: pl.String,
    c.TIMESTAMP: pl.Datetime("us", "UTC"),
    c.DWELL: pl.Float64,
    c.RATING: pl.Float64,
}


def write(folder, events, pages=("P1", "P2", "P10"), associates=None, row_group_size=None):
    """Write the folder that ingest would; an event is (associate, page, type, minute, dwell, rating)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(a, p, k, DAY + timedelta(minutes=m), d, r) for a, p, k, m, d, r in events]
    frame = pl.DataFrame(rows, schema=EVENTS, orient="row").sort(c.TIMESTAMP)
    frame.write_parquet(folder / "events.parquet", row_group_size=row_group_size)
    table = pages if isinstance(pages, pl.DataFrame) else pl.DataFrame({c.PAGE_ID: list(pages)})
    table.write_parquet(folder / "pages.parquet")
    if associates is not None:
        associates.write_parquet(folder / "associates.parquet")
    return folder


def reference(folder, gap=30.0, quantiles=(0.6, 0.8)):
    """The same dataset, written as one would for a log that fits in memory."""
    order = page_order(pl.read_parquet(folder / "pages.parquet")[c.PAGE_ID])
    pages = pl.DataFrame({c.PAGE_ID: order, c.PAGE: np.arange(len(order), dtype=np.int32)})
    events = pl.read_parquet(folder / "events.parquet").join(pages, on=c.PAGE_ID)
    events = events.with_columns(time=pl.col(c.TIMESTAMP).dt.timestamp("us") / 1e6)
    used = events.filter(pl.col(c.EVENT_TYPE).is_in(c.ENGAGEMENTS))
    known = [used[c.ASSOCIATE_ID]]
    if (folder / "associates.parquet").exists():
        known.append(pl.read_parquet(folder / "associates.parquet")[c.ASSOCIATE_ID].cast(pl.String))
    ids = pl.concat(known).unique().sort()
    numbered = pl.DataFrame({c.ASSOCIATE_ID: ids, c.ASSOCIATE: np.arange(len(ids), dtype=np.int32)})
    used = used.join(numbered, on=c.ASSOCIATE_ID).sort(c.ASSOCIATE, c.TIME, c.PAGE)
    breaks = (pl.col(c.TIME).diff().fill_null(1e12) > gap * 60) | (pl.col(c.ASSOCIATE).diff() != 0)
    used = used.with_columns(session=breaks.fill_null(True).cum_sum().cast(pl.Int32) - 1)
    first = used.unique([c.ASSOCIATE, c.PAGE], keep="first", maintain_order=True)
    cuts = np.quantile(used[c.TIME].to_numpy(), quantiles) if used.height else np.zeros(2)
    interactions = first.select(
        c.ASSOCIATE,
        c.PAGE,
        c.TIME,
        pl.int_range(pl.len()).over(c.ASSOCIATE).cast(pl.Int32).alias(c.ORDINAL),
        c.SESSION,
        stage=(pl.col(c.TIME) >= cuts[0]).cast(pl.Int8) + (pl.col(c.TIME) >= cuts[1]).cast(pl.Int8),
    )

    def count(kind):
        return (pl.col(c.EVENT_TYPE) == kind).sum().cast(pl.Float64)

    def millionths(name):
        return ((pl.col(name).fill_null(0) * 1e6).round().cast(pl.Int64).sum() / 1e6).cast(pl.Float64)

    page_days = (
        events.group_by(c.PAGE, pl.col(c.TIMESTAMP).dt.epoch("d").alias("day"))
        .agg(
            impressions=count(c.IMPRESSION),
            views=count(c.VIEW),
            completions=count(c.COMPLETE),
            skips=count(c.SKIP),
            dwell_sum=millionths(c.DWELL),
            dwell_count=pl.col(c.DWELL).count().cast(pl.Float64),
            rating_sum=millionths(c.RATING),
            rating_count=pl.col(c.RATING).count().cast(pl.Float64),
        )
        .sort(c.PAGE, "day")
    )
    completions = (
        used.filter(pl.col(c.EVENT_TYPE) == c.COMPLETE)
        .group_by(c.ASSOCIATE, c.PAGE)
        .agg(pl.col(c.TIME).max())
        .sort(c.ASSOCIATE, c.PAGE)
    )
    return interactions, page_days, ids, completions


def preprocessed(folder, out, **chosen):
    figures = run(folder, out, {"preprocess": chosen})
    return Dataset.load(out), figures


def test_small_log_by_hand(tmp_path):
    folder = write(
        tmp_path / "tables",
        [
            ("bo", "P10", "view", 0, 5.0, None),
            ("bo", "P2", "impression", 0, None, None),
            ("bo", "P2", "like", 0, None, None),
            ("bo", "P10", "complete", 20, 7.25, None),
            ("bo", "P1", "skip", 21, None, None),
            ("bo", "P1", "view", 50, None, None),
            ("al", "P1", "view", 0, None, None),
            ("al", "P2", "rating", 24 * 60, None, 4.0),
            ("al", "gone", "view", 24 * 60, None, None),
            ("cy", "P1", "impression", 0, None, None),
        ],
        associates=pl.DataFrame({c.ASSOCIATE_ID: ["dee", "bo"], "role": ["clerk", "baker"]}),
    )
    dataset, figures = preprocessed(folder, tmp_path / "out")
    assert dataset.page_ids.tolist() == ["P1", "P2", "P10"]
    # cy only saw an impression and is in no table.
    assert dataset.associates.select(c.ASSOCIATE_ID, "role").rows() == [
        ("al", None),
        ("bo", "baker"),
        ("dee", "clerk"),
    ]
    start = DAY.timestamp()
    # bo's sessions: minutes 0 and 20, 30 minutes later P1. Engagement minutes 0 0 0 20 50 1440:
    # the 0.6 quantile is minute 20, the 0.8 quantile minute 50.
    assert dataset.interactions.rows() == [
        (0, 0, start, 0, 0, c.FIT),
        (0, 1, start + 86400, 1, 1, c.HOLDOUT),
        (1, 1, start, 0, 2, c.FIT),
        (1, 2, start, 1, 2, c.FIT),
        (1, 0, start + 3000, 2, 2, c.HOLDOUT),
    ]
    day = DAY.date().toordinal() - datetime(1970, 1, 1).toordinal()
    assert dataset.page_days.rows() == [
        (0, day, 1, 2, 0, 1, 0, 0, 0, 0),
        (1, day, 1, 0, 0, 0, 0, 0, 0, 0),
        (1, day + 1, 0, 0, 0, 0, 0, 0, 4, 1),
        (2, day, 0, 1, 1, 0, 12.25, 2, 0, 0),
    ]
    assert dataset.meta["cuts"] == pytest.approx([start + 20 * 60, start + 50 * 60])
    assert dataset.completions.rows() == [(1, 2, start + 20 * 60)]
    assert not dataset.openings_complete
    assert dataset.meta["span"] == [start, start + 86400]
    assert figures["unknown_page_events"] == 1
    assert (figures["events"], figures["engagements"], figures["sessions"]) == (10, 6, 3)


def test_lastout_protocol(tmp_path):
    events = [("a", page, "view", minute, None, None) for minute, page in enumerate(("P2", "P1", "P10"))]
    folder = write(tmp_path / "tables", [*events, ("b", "P1", "view", 9, None, None)])
    dataset, _ = preprocessed(folder, tmp_path / "out", protocol="lastout", lastout_train=1)
    assert dataset.column(c.STAGE).tolist() == [c.FIT, c.TRAIN, c.HOLDOUT, c.FIT]
    assert dataset.meta["cuts"] == []


def test_pages_and_associates_are_conformed(tmp_path):
    pages = pl.DataFrame(
        {
            c.PAGE_ID: ["10", "9"],
            "title": ["Ten", None],
            "published_at": [DAY, None],
            "updated_at": [None, DAY],
            "due_days": [3, None],
            "roles": [["clerk"], None],
            "colour": ["red", "blue"],
        },
        schema_overrides=dict.fromkeys(("published_at", "updated_at"), pl.Datetime("us", "UTC")),
    )
    associates = pl.DataFrame({c.ASSOCIATE_ID: ["a"], "hired_at": [DAY], "height": [1.8]})
    folder = write(tmp_path / "tables", [("a", "9", "view", 0, None, None)], pages, associates)
    dataset, _ = preprocessed(folder, tmp_path / "out")
    nine, ten = dataset.pages.rows(named=True)
    assert (nine[c.PAGE_ID], nine["title"], nine["retired"], nine["roles"]) == ("9", None, False, [])
    assert (ten["published_at"], ten["due_days"], ten["roles"]) == (DAY.timestamp(), 3.0, ["clerk"])
    assert (nine["updated_at"], ten["updated_at"]) == (DAY.timestamp(), None)
    assert ten["prerequisites"] == []
    assert dataset.associates["hired_at"].to_list() == [DAY.timestamp()]


@pytest.mark.parametrize("associates", [None, pl.DataFrame(), pl.DataFrame({c.ASSOCIATE_ID: ["x"]})])
@pytest.mark.parametrize("protocol", ["time", "lastout"])
def test_an_empty_log_gives_an_empty_dataset(tmp_path, associates, protocol):
    folder = write(tmp_path / "tables", [], associates=associates)
    dataset, figures = preprocessed(folder, tmp_path / "out", protocol=protocol)
    assert dataset.interactions.height == dataset.page_days.height == figures["sessions"] == 0
    assert dataset.pages.height == 3
    assert figures["associates"] == (associates is not None and associates.height)


def test_only_the_required_columns(tmp_path):
    folder = write(tmp_path / "tables", [("a", "P1", "view", 0, None, None)])
    events = pl.read_parquet(folder / "events.parquet").drop(c.DWELL, c.RATING)
    events.write_parquet(folder / "events.parquet")
    dataset, _ = preprocessed(folder, tmp_path / "out")
    assert dataset.page_days.select("views", "dwell_count", "rating_count").rows() == [(1, 0, 0)]


event = st.tuples(
    st.sampled_from(["al", "bo", "Cé", "d"]),
    st.sampled_from(["P1", "P2", "P10", "unknown"]),
    st.sampled_from(c.EVENT_TYPES),
    st.integers(-3000, 3000).map(lambda n: n * 10),
    st.none() | st.floats(0, 5000),
    st.none() | st.sampled_from([1.0, 2.5, 5.0]),
)


@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=st.lists(event, max_size=40), shards=st.sampled_from([1, 2, 16]), rows=st.integers(1, 9))
def test_equals_the_reference(tmp_path, events, shards, rows):
    table = pl.DataFrame({c.ASSOCIATE_ID: ["bo", "zed"], "role": ["baker", None]})
    folder = write(tmp_path / "tables", events, associates=table, row_group_size=rows)
    dataset, _ = preprocessed(folder, tmp_path / "out", shards=shards)
    interactions, page_days, ids, completions = reference(folder)
    assert_frame_equal(dataset.interactions, interactions, check_exact=True)
    assert_frame_equal(dataset.completions, completions, check_exact=True)
    assert dataset.openings_complete == completions.is_empty()
    assert_frame_equal(dataset.page_days, page_days, check_exact=True)
    assert dataset.associates[c.ASSOCIATE_ID].to_list() == ids.to_list()


def large_log(folder, size=60_000, associates=700, pages=40):
    """A log of several row groups, in time order."""
    random = np.random.default_rng(7)
    kind = random.choice(c.EVENT_TYPES, size)
    frame = pl.DataFrame(
        {
            c.ASSOCIATE_ID: pl.Series(random.integers(0, associates, size)).cast(pl.String),
            c.PAGE_ID: pl.Series(random.integers(0, pages + 2, size)).cast(pl.String),
            c.EVENT_TYPE: kind,
            c.TIMESTAMP: pl.Series(np.sort(random.integers(0, 200 * 86_400, size)) * 1_000_000).cast(
                pl.Datetime("us", "UTC")
            ),
            c.DWELL: pl.Series(np.where(kind == c.VIEW, random.exponential(60, size), np.nan)).fill_nan(None),
            c.RATING: pl.Series(np.where(kind == c.RATE, random.integers(1, 6, size), np.nan)).fill_nan(None),
        }
    )
    folder.mkdir()
    frame.write_parquet(folder / "events.parquet", row_group_size=9_000)
    pl.DataFrame({c.PAGE_ID: [str(page) for page in range(pages)]}).write_parquet(folder / "pages.parquet")
    return folder


def test_any_number_of_shards_gives_the_same_dataset(tmp_path):
    folder = large_log(tmp_path / "tables")
    one, _ = preprocessed(folder, tmp_path / "one", shards=1)
    many, _ = preprocessed(folder, tmp_path / "many", shards=16)
    interactions, page_days, _, completions = reference(folder)
    assert interactions.height > 10_000
    for dataset in (one, many):
        assert_frame_equal(dataset.interactions, interactions, check_exact=True)
        assert_frame_equal(dataset.page_days, page_days, check_exact=True)
        assert_frame_equal(dataset.completions, completions, check_exact=True)
    assert one.meta == many.meta
    assert one.associates.equals(many.associates)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many", "one", "tables"]


@pytest.mark.slow
def test_several_processes_give_the_same_dataset(tmp_path, monkeypatch):
    # Worker processes start through a shell: a space in the interpreter's path must not cut it.
    python = tmp_path / "a b" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    folder = large_log(tmp_path / "tables")
    options = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    one, _ = preprocessed(folder, tmp_path / "one")
    many, _ = preprocessed(
        folder, tmp_path / "many", shards=4, runner_options=options, work=str(tmp_path / "work")
    )
    assert many.interactions.equals(one.interactions)
    assert many.page_days.equals(one.page_days)
    assert not any((tmp_path / "work").iterdir())


def test_a_missing_table_is_named(tmp_path):
    folder = write(tmp_path / "tables", [])
    (folder / "pages.parquet").unlink()
    with pytest.raises(DataError, match=r"pages\.parquet is missing"):
        run(folder, tmp_path / "out")


def test_wrong_settings_are_named(tmp_path):
    with pytest.raises(WaymarkError, match="ranker_quantile must not exceed"):
        run(tmp_path, tmp_path / "out", {"preprocess": {"ranker_quantile": 0.9}})


def test_component(tmp_path):
    class Artifact:
        def __init__(self, path):
            self.path = str(path)
            self.logged = {}

        def log_metric(self, name, value):
            self.logged[name] = value

    folder = write(tmp_path / "tables", [("a", "P1", "view", 0, None, None)])
    metrics = Artifact(tmp_path / "metrics")
    preprocess.python_func(Artifact(folder), {}, Artifact(tmp_path / "out"), metrics)
    assert metrics.logged["interactions"] == Dataset.load(tmp_path / "out").interactions.height == 1
