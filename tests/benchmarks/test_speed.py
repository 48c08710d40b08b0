"""Speed as a ratio to a baseline in the same run (``make bench``); no time fails a test."""

import time
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from components.contract import columns as c
from components.contract import evidence, kernels, ranking, retrieval
from components.contract.dataset import Dataset
from components.contract.features import FeatureBuilder
from components.contract.ranking import Ranker
from components.contract.release import load
from components.preprocess import step as preprocess
from serving.engine import Engine
from serving.payloads import Context, Instance

pytestmark = pytest.mark.bench
EVENTS = 1_000_000


def best_of(function: Callable[[], object], times: int) -> float:
    """Shortest wall time in seconds."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        found.append(time.perf_counter() - started)
    return min(found)


def report(capsys, line: str) -> None:
    with capsys.disabled():
        print(f"\n  {line}")


def test_preprocess_against_polars(tmp_path, capsys):
    draw = np.random.default_rng(1)
    tables = tmp_path / "tables"
    tables.mkdir()
    seconds = np.sort(draw.integers(1_767_225_600, 1_772_409_600, EVENTS))
    events = pl.DataFrame(
        {
            "event_id": np.arange(EVENTS).astype(str),
            c.ASSOCIATE_ID: np.char.add("A", draw.integers(0, 20_000, EVENTS).astype(str)),
            c.PAGE_ID: np.char.add("P", draw.integers(0, 2_000, EVENTS).astype(str)),
            c.EVENT_TYPE: "view",
        }
    ).with_columns(pl.from_epoch(pl.Series(seconds)).dt.replace_time_zone("UTC").alias(c.TIMESTAMP))
    events.write_parquet(tables / "events.parquet")
    pages = pl.DataFrame({c.PAGE_ID: [f"P{i}" for i in range(2_000)]})
    pages.write_parquet(tables / "pages.parquet")
    pl.DataFrame(schema={c.ASSOCIATE_ID: pl.String}).write_parquet(tables / "associates.parquet")

    def polars() -> pl.DataFrame:
        return (
            pl.read_parquet(tables / "events.parquet")
            .sort(c.ASSOCIATE_ID, c.TIMESTAMP, c.PAGE_ID)
            .with_columns(
                ((pl.col(c.TIMESTAMP).diff().dt.total_seconds() > 1800).fill_null(True))
                .cum_sum()
                .over(c.ASSOCIATE_ID)
                .alias(c.SESSION)
            )
            .unique([c.ASSOCIATE_ID, c.PAGE_ID], keep="first", maintain_order=True)
        )

    preprocess.run(tables, tmp_path / "warm", None)
    ours = best_of(lambda: preprocess.run(tables, tmp_path / "dataset", None), 3)
    theirs = best_of(polars, 3)
    assert Dataset.load(tmp_path / "dataset").interactions.height == polars().height
    report(
        capsys,
        f"preprocess {EVENTS:,} events: {ours:.2f} s, Polars first engagements {theirs:.2f} s, "
        f"ratio {ours / theirs:.1f}",
    )


@pytest.fixture
def asked(small_release):
    """An engine without a store, and a question."""
    engine = Engine(load(small_release))
    return engine, Instance(associate_id=engine.examples()[0], context=Context(time=engine.last_event + 60))


def test_one_request_against_the_ranker_alone(asked, capsys):
    engine, instance = asked
    features = engine.score([instance]).features
    assert features is not None
    ranker = Ranker(engine.release.ranker).bind(FeatureBuilder(Dataset.load(engine.release.root)).values)
    whole = best_of(lambda: engine.recommend([instance]), 200)
    alone = best_of(lambda: ranker(features.numeric, features.categorical, features.history), 200)
    report(
        capsys,
        f"one request, {len(features.numeric)} candidates of {engine.pages} pages: {1e3 * whole:.2f} ms, "
        f"ranker alone {1e3 * alone:.2f} ms, ratio {whole / alone:.1f}",
    )


def test_compiled_loops_against_numpy(asked, capsys, monkeypatch):
    compiled, instance = asked
    assert kernels.library() is not None, "build them: python -m components.contract.kernels"
    for user in (evidence, ranking, retrieval):
        monkeypatch.setattr(user, "library", lambda: None)
    plain = Engine(compiled.release)
    for size in (1, 8):
        fast, slow = (
            best_of(lambda engine=engine, size=size: engine.recommend([instance] * size), 100) / size
            for engine in (compiled, plain)
        )
        report(
            capsys,
            f"{size} at once: {1e3 * fast:.2f} ms a request by compiled loops, {1e3 * slow:.2f} ms by NumPy, "
            f"ratio {slow / fast:.1f}",
        )
