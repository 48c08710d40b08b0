"""The programs that are compared say the same of a small log."""

import json

import polars as pl
import pytest

from components.preprocess.step import run
from tests.benchmarks.data import elementwise, generate, plain
from tests.benchmarks.data.__main__ import same
from tests.benchmarks.data.report import markdown


def test_all_programs_give_the_same_tables(tmp_path):
    tables = tmp_path / "tables"
    generate.write_tables(tables, 6000, days=4)
    events = pl.read_parquet(tables / "events.parquet")
    assert events.height == events["event_id"].n_unique() == 6000
    assert events["timestamp"].is_sorted()
    run(tables, tmp_path / "ours")
    plain.write(tables, tmp_path / "plain")
    elementwise.write(tables, tmp_path / "elements")
    assert same(tmp_path / "plain", tmp_path / "ours")
    assert same(tmp_path / "elements", tmp_path / "ours")
    assert pl.read_parquet(tmp_path / "ours" / "interactions.parquet").height > 2000


def test_the_generator_repeats(tmp_path):
    one, other = (generate.day_of(3, 500, 40, seed) for seed in (1, 1))
    assert one.equals(other)
    assert not one.equals(generate.day_of(3, 500, 40, 2))


def test_report_names_what_is_not_equal():
    def run_of(seconds):
        return {"seconds": seconds, "cpu_seconds": seconds, "peak_mib": 10, "figures": {"days_read": 1}}

    result = {
        "machine": {"processor": "X", "cores": 2, "python": "3"},
        "sizes": [
            {"events": 100, "preprocess": run_of(3.0), "polars": run_of(2.0), "equal": True},
            {"events": 1000, "preprocess": run_of(33.0)},
        ],
        "elements": {"events": 100, "elementwise": run_of(9.0), "preprocess": run_of(3.0), "equal": True},
        "growth": {
            "events": 100, "first": run_of(3.0), "daily": run_of(1.0), "state_mib": 1.0, "equal": False
        },
    }  # fmt: skip
    text = markdown(json.loads(json.dumps(result)))
    assert "| 100 | 3.00 | 3.00 | 10 | 2.00 | 2.00 | 10 | 1.50 | yes |" in text
    assert "| 100 to 1,000 | 1.10 | 1.10 |" in text
    assert "NO" in text


@pytest.mark.parametrize("events", [50, 1])
def test_small_logs(tmp_path, events):
    generate.write_tables(tmp_path, events, days=2)
    assert pl.read_parquet(tmp_path / "events.parquet").height == events
