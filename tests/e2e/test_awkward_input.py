"""Logs that lack things: every step runs, and the server answers."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.release import load
from serving.engine import Engine
from serving.payloads import Context, Instance

pytestmark = pytest.mark.slow
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
FAST = {
    "two_tower": {"epochs": 1},
    "skip_gram": {"epochs": 1},
    "ranker": {"epochs": 1, "ablations": False, "refit": False},
}


def log(associates: int, each: int, pages: int, seed: int = 1) -> pl.DataFrame:
    """Every associate opens ``each`` pages, some of them again, in sessions of a few."""
    draw = np.random.default_rng(seed)
    rows = [
        {
            "associate_id": f"A{a}",
            "page_id": f"P{draw.integers(pages)}",
            "event_type": str(
                draw.choice(["view", "complete", "impression", "skip"], p=[0.5, 0.3, 0.1, 0.1])
            ),
            "timestamp": START + timedelta(hours=float(n * 7 + a % 5), minutes=float(draw.integers(25))),
        }
        for a in range(associates)
        for n in range(each)
    ]
    return pl.DataFrame(rows)


def catalogue(pages: int) -> pl.DataFrame:
    return pl.DataFrame({"page_id": [f"P{i}" for i in range(pages)]})


def write(folder, events: pl.DataFrame, pages: pl.DataFrame):
    folder.mkdir(parents=True)
    events.write_parquet(folder / "events.parquet")
    pages.write_parquet(folder / "pages.parquet")
    return folder


def answer(root, **instance):
    engine = Engine(load(root / "home"))
    context = Context(time=engine.last_event + 60)
    return engine.recommend([Instance(context=context, **instance)])[0]


def test_ids_and_times_alone_are_enough(tmp_path, run_steps):
    """No associates, no text, no attributes: only what the contract demands."""
    data = write(tmp_path / "data", log(30, 14, 25), catalogue(25))
    root = run_steps(data, tmp_path, FAST)
    assert len(answer(root, associate_id="A3", limit=5)["items"]) == 5
    assert answer(root, associate_id="nobody")["fallback"] == "cold_start"
    figures = json.loads((root / "work" / "evaluation.json").read_text())
    assert figures["two_stage"]["requests"] > 0


def test_a_log_with_one_user(tmp_path, run_steps):
    events = log(1, 40, 30, seed=5).with_columns(pl.lit("view").alias("event_type"))
    root = run_steps(write(tmp_path / "data", events, catalogue(30)), tmp_path, FAST)
    assert answer(root, associate_id="A0", limit=3)["items"]


def test_a_log_with_one_event_says_what_is_missing(tmp_path, run_steps):
    data = write(
        tmp_path / "data", log(1, 1, 1).with_columns(pl.lit("view").alias("event_type")), catalogue(1)
    )
    with pytest.raises(DataError, match="longer log"):
        run_steps(data, tmp_path, FAST)


def test_an_empty_log_is_refused(tmp_path, run_steps):
    data = write(tmp_path / "data", log(1, 1, 1).clear(), catalogue(3))
    with pytest.raises(DataError, match="events"):
        run_steps(data, tmp_path, FAST)


def test_half_bad_pages_stop_the_run_and_name_the_column(tmp_path, run_steps):
    pages = pl.DataFrame({"page_id": ["P0", None, "P2", None], "title": list("abcd")})
    data = write(tmp_path / "data", log(4, 6, 3), pages)
    with pytest.raises(DataError, match="page_id"):
        run_steps(data, tmp_path, FAST)


def test_the_order_of_a_sources_input_does_not_matter(tmp_path, run_steps):
    """Shuffled, duplicated, in seconds, milliseconds and ISO text, with unknown pages: same release."""
    events = log(25, 14, 20, seed=9).with_columns(pl.int_range(pl.len()).cast(pl.String).alias("event_id"))
    plain = run_steps(write(tmp_path / "a" / "data", events, catalogue(20)), tmp_path / "a", FAST)
    iso = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    seconds = pl.col("timestamp").dt.epoch("s").cast(pl.String)
    milliseconds = pl.col("timestamp").dt.epoch("ms").cast(pl.String)
    kind = pl.int_range(pl.len()) % 3
    messy = pl.concat([events, events.head(40)]).with_columns(
        pl.when(kind == 0).then(iso).when(kind == 1).then(seconds).otherwise(milliseconds).alias("timestamp")
    )
    stray = messy.head(5).with_columns(
        pl.lit("nowhere").alias("page_id"), pl.lit("s").add("event_id").alias("event_id")
    )
    messy = pl.concat([messy, stray]).sample(fraction=1.0, shuffle=True, seed=2)
    folder = tmp_path / "b" / "data"
    folder.mkdir(parents=True)
    messy.write_csv(folder / "events.csv")
    catalogue(20).write_ndjson(folder / "pages.jsonl")
    other = run_steps(folder, tmp_path / "b", FAST)
    first, second = (answer(root, associate_id="A7")["items"] for root in (plain, other))
    assert [item["page_id"] for item in first] == [item["page_id"] for item in second]
    np.testing.assert_allclose([i["score"] for i in first], [i["score"] for i in second], atol=1e-5)


def test_long_and_odd_texts(tmp_path, run_steps):
    pages = catalogue(20).with_columns(
        pl.Series("title", ["", None, 'quo"ted, and\nbroken', "<script>alert(1)</script>", *["Plain"] * 16]),
        pl.Series(
            "body", ["word " * 2_000_000, None, 'a\n\nb, "c"', "日本語 テキスト", *["till and safe"] * 16]
        ),
    )
    folder = tmp_path / "data"
    folder.mkdir()
    log(20, 14, 20, seed=4).write_csv(folder / "events.csv")
    pages.write_csv(folder / "pages.csv")
    root = run_steps(folder, tmp_path, FAST)
    assert answer(root, associate_id="A2")["items"]
