"""The benchmark of the server, small and short: shows that it works, judges no figure."""

import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from tests.benchmarks.server import __main__ as bench

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt-get install wrk)"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]


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
