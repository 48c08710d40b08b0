"""The benchmark of the server, small and short: shows that it works, judges no figure."""

import json
import shutil

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.query_tower import QueryTower
from components.contract.release import current, load
from serving.engine import Engine
from serving.payloads import Instance
from tests.benchmarks.server import __main__ as bench
from tests.benchmarks.server import capacity

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt-get install wrk)"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]


def test_capacity_in_small(small_release, tmp_path, monkeypatch):
    monkeypatch.setenv("WAYMARK_SERVING_DEADLINE_MS", "20000")
    application = typer.Typer()
    application.command()(capacity.main)
    arguments = ["--home", str(small_release), "--out", str(tmp_path), "--associates", "3000", "--pages", "5"]
    done = CliRunner().invoke(application, [*arguments, "--seconds", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "capacity.json").read_text())["results"]
    assert [row["store"] for row in found] == ["embedded", "redis"]
    for row in found:
        assert (row["associates"], row["events_in_store"], row["errors"]) == (3000, 3000, 0)
        assert row["seconds_to_ready"] > 0
        assert 50 < row["rss_mb_ready"] <= row["peak_mb"]
        assert row["store_bytes_per_event"] > 100
    assert not list(tmp_path.glob("tmp*"))


def test_a_grown_release_answers_as_its_like_would(small_release, tmp_path):
    """Everybody is known, has attributes and an embedding of somebody, and pages in the order of time."""
    base = current(small_release)
    grown = capacity.grow(base, tmp_path, 2000, 6)
    dataset, tower = Dataset.load(grown.root), QueryTower.load(grown.part("two_tower"))
    people = dataset.associates[c.ASSOCIATE_ID].to_numpy().astype(np.str_)
    assert (np.sort(people) == people).all()
    assert (tower.encode_associates(people) == np.arange(1, 2001)).all()
    ordered = dataset.interactions.sort(c.ASSOCIATE, c.TIME, maintain_order=True)
    assert ordered.equals(dataset.interactions)
    assert not dataset.interactions.select(c.ASSOCIATE, c.PAGE).is_duplicated().any()
    engine = Engine(load(tmp_path))
    answers = engine.recommend([Instance(associate_id=who) for who in engine.examples(20)])
    assert {answer["fallback"] for answer in answers} == {None}
    old = QueryTower.load(base.part("two_tower")).weights["associate"]
    assert (tower.weights["associate"][1:, None] == old[None]).all(axis=2).any(axis=1).all()


def test_a_quick_run(small_release, tmp_path, monkeypatch):
    # On a busy machine the ranker must not be left out for want of time.
    monkeypatch.setenv("WAYMARK_SERVING_DEADLINE_MS", "20000")
    application = typer.Typer()
    application.command()(bench.main)
    arguments = ["--home", str(small_release), "--out", str(tmp_path), "--quick", "--requests", "40"]
    done = CliRunner().invoke(application, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "serving.json").read_text())
    assert set(found["stores"]) == {"embedded", "redis"}
    for figures in found["stores"].values():
        for connections in ("connections_1", "connections_8"):
            assert figures[connections]["waymark"]["errors"] == figures[connections]["empty"]["errors"] == 0
            assert 0 < figures[connections]["waymark"]["p50"] <= figures[connections]["waymark"]["p99"]
            assert figures[connections]["ratio"] > 0
        assert {"history", "candidates", "features", "ranking", "answer"} <= set(figures["stages_ms"])
        assert figures["candidates"] > 10
        assert figures["events"]["rows_per_second_1"] > 0
        assert figures["events"]["errors_1"] == figures["events"]["errors_4"] == 0
        assert figures["rss_mb"] > figures["rss_mb_ready"] > 50
    assert found["fuzz"]["bodies"] + found["fuzz"]["after_the_document"] >= 40
    table = (tmp_path / "serving.md").read_text()
    assert "| ranking |" in table
    assert "| embedded | redis |" in table
