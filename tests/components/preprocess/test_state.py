"""Runs that take the days before from the state find what a run that reads everything finds."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.ingest.step import run as ingest
from components.preprocess import parts, state
from components.preprocess.step import run

ROOT = Path(__file__).parents[3]
DAYS = 30
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
PAGES = [f"P{number}" for number in range(40)]


def day_events(day, size=400, seed=5):
    """One day's events; sessions run over midnight, for some start just before it."""
    draw = np.random.default_rng([seed, day])
    minutes = np.where(draw.random(size) < 0.1, draw.uniform(1435, 1440, size), draw.uniform(0, 1440, size))
    return pl.DataFrame(
        {
            c.EVENT_ID: [f"E{day}-{number}" for number in range(size)],
            c.ASSOCIATE_ID: [f"A{number}" for number in draw.integers(0, 60 + day, size)],
            c.PAGE_ID: [PAGES[number] for number in draw.integers(0, len(PAGES), size)],
            c.EVENT_TYPE: draw.choice(c.EVENT_TYPES, size),
            c.TIMESTAMP: [FIRST + timedelta(days=day, minutes=float(minute)) for minute in minutes],
            c.DWELL: pl.Series(np.round(draw.exponential(60, size), 2)),
        }
    )


def delivered(day):
    """The file that arrives for a day: most of its events, late ones of the days before, and repeats."""
    draw = np.random.default_rng([9, day])
    late = draw.random(400) < 0.05
    rows = [day_events(day).filter(~pl.Series(late))]
    for back in (1, 3, 8):
        if day >= back:
            missed = np.random.default_rng([9, day - back]).random(400) < 0.05
            turn = np.random.default_rng([10, day - back]).integers(0, 3, 400)
            rows.append(day_events(day - back).filter(pl.Series(missed & (turn == (1, 3, 8).index(back)))))
    if day:
        again = day_events(day - 1).filter(~pl.Series(np.random.default_rng([9, day - 1]).random(400) < 0.05))
        rows.append(again.sample(30, seed=day))
        # The same ids once more: later, which changes nothing, and earlier, which replaces an event.
        rows.append(again.sample(3, seed=day).with_columns(pl.col(c.TIMESTAMP) + timedelta(hours=1)))
        rows.append(again.sample(2, seed=day + 99).with_columns(pl.col(c.TIMESTAMP) - timedelta(hours=30)))
    return pl.concat(rows)


class Site:
    """Files of a log, ingested and preprocessed with and without the state."""

    def __init__(self, root):
        self.root, self.data, self.home, self.count = root, root / "data", root / "home", 0
        (self.data / "events").mkdir(parents=True)
        self.pages(PAGES)

    def pages(self, ids):
        pl.DataFrame({c.PAGE_ID: ids}).write_parquet(self.data / "pages.parquet")

    def add(self, day):
        delivered(day).write_parquet(self.data / "events" / f"day-{day:02d}.parquet")

    def tables(self):
        self.count += 1
        folder = self.root / f"tables-{self.count}"
        ingest(str(self.data), folder, self.root / "bad")
        return folder

    def compare(self, tables, chosen=None):
        """Run both ways, compare all tables; returns the incremental run's figures."""
        settings = {"preprocess": chosen or {}}
        out = self.root / f"out-{self.count}"
        figures = run(tables, out / "incremental", settings, self.home)
        run(tables, out / "full", settings)
        one, other = Dataset.load(out / "incremental"), Dataset.load(out / "full")
        for name in ("pages", "associates", "interactions", "page_days", "completions"):
            assert getattr(one, name).equals(getattr(other, name)), name
        assert one.meta == other.meta
        return figures


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.mark.slow
def test_thirty_days_with_late_and_repeated_events_equal_full_runs(site):
    read = []
    for day in range(DAYS):
        site.add(day)
        figures = site.compare(site.tables())
        read.append(figures["days_read"])
        assert figures["days"] >= day + 1
    # A day's file touches its own day, those whose late events it brings, and those with changed ids.
    assert max(read[10:]) <= 8 < DAYS
    assert figures["engagements"] > 5000


def grown(site, days=4):
    for day in range(days):
        site.add(day)
    tables = site.tables()
    figures = site.compare(tables)
    assert figures["days_read"] == figures["days"]
    return tables, figures["days"]


def test_nothing_new_reads_nothing(site):
    tables, _ = grown(site)
    before = sorted(path.name for path in (site.home / "state").glob("*.arrow"))
    assert site.compare(tables)["days_read"] == 0
    assert sorted(path.name for path in (site.home / "state").glob("*.arrow")) == before
    assert [path.name for path in (site.home / "state").glob("manifest-*")] == ["manifest-00000002.json"]


def test_the_manifest_names_the_input_files(site):
    tables, _ = grown(site)
    manifest = json.loads((site.home / "state" / "manifest-00000001.json").read_text())
    assert manifest["inputs"] == json.loads((tables / "report.json").read_text())["files"]
    assert len(manifest["inputs"]) == 5


def test_a_page_that_goes_and_comes_back(site):
    tables, _ = grown(site)
    pl.DataFrame({c.PAGE_ID: PAGES[1:]}).write_parquet(tables / "pages.parquet")
    assert site.compare(tables)["days_read"] > 0
    # New pages first in order: every page's number in the dataset changes, and no day has to be read.
    pl.DataFrame({c.PAGE_ID: ["A1", "A2", *PAGES[1:]]}).write_parquet(tables / "pages.parquet")
    assert site.compare(tables)["days_read"] == 0
    pl.DataFrame({c.PAGE_ID: PAGES}).write_parquet(tables / "pages.parquet")
    assert site.compare(tables)["days_read"] > 0


def test_a_forgotten_associate_leaves_the_state(site, tmp_path):
    tables, _ = grown(site)
    # Ingest drops the rows of people whom a store was told to forget.
    kept = pl.read_parquet(tables / "events.parquet").filter(pl.col(c.ASSOCIATE_ID) != "A7")
    kept.write_parquet(tables / "events.parquet")
    assert site.compare(tables)["days_read"] > 0
    assert "A7" not in Dataset.load(tmp_path / "out-1" / "incremental").associates[c.ASSOCIATE_ID]
    newest = json.loads(max((site.home / "state").glob("manifest-*")).read_text())
    for part in newest["parts"]:
        ids = parts.read_shard(str(site.home / "state"), [part["name"]], 0)[0]
        assert "A7" not in ids


@pytest.mark.parametrize("chosen", [{"gap_minutes": 20}, {"shards": 3}, {"incremental": False}])
def test_other_settings_are_a_full_run(site, chosen):
    tables, days = grown(site)
    assert site.compare(tables, chosen)["days_read"] == days


@pytest.mark.parametrize("harm", ["version", "hashes", "cut", "missing", "garbage"])
def test_a_state_that_cannot_be_used_is_a_full_run(site, monkeypatch, harm):
    tables, days = grown(site)
    folder = site.home / "state"
    if harm == "version":
        monkeypatch.setattr(state, "VERSION", state.VERSION + 1)
    elif harm == "hashes":
        monkeypatch.setattr(state, "hash_probe", lambda: ["1", "2", "3"])
    elif harm == "garbage":
        (folder / "manifest-00000001.json").write_text("{")
    else:
        part = min(folder.glob("*.shards.arrow"))
        part.unlink() if harm == "missing" else part.write_bytes(part.read_bytes()[:-10])
    assert site.compare(tables)["days_read"] == days
    assert site.compare(tables)["days_read"] == 0


def test_old_files_that_no_manifest_names_are_swept(site):
    tables, _ = grown(site)
    old, young = (site.home / "state" / name for name in ("aaaa-000000.day.arrow", "bbbb-000000.day.arrow"))
    for path in (old, young):
        path.write_bytes(b"left by a run that died")
    os.utime(old, (0, 0))
    site.compare(tables)
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_leaves_a_state_that_the_next_completes(site):
    tables, _ = grown(site)
    site.add(4)
    tables = site.tables()
    program = (
        "import sys; from components.preprocess.step import run; print('go', flush=True);"
        "run(*sys.argv[1:3], {}, sys.argv[3])"
    )
    command = [sys.executable, "-c", program, str(tables), str(site.root / "killed"), str(site.home)]
    died = 0
    for delay in (0.0, 0.2, 0.5, 0.9, 1.4):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout.readline() == b"go\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        died += process.wait() == -signal.SIGKILL
        process.stdout.close()
        if (site.root / "killed").exists():
            Dataset.load(site.root / "killed")
    assert died
    assert 0 <= site.compare(tables)["days_read"] <= 8
