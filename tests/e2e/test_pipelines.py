"""The pipelines as a user runs them: bootstrap, then a daily run on a longer log, then a rollback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.contract.release import current, list_releases

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FAST = {
    "two_tower": {"epochs": 1},
    "skip_gram": {"epochs": 2},
    "ranker": {"epochs": 2, "ablations": False, "refit": False},
    "candidates": {"train_requests": 300, "holdout_requests": 300},
    # Two epochs on a toy log need not beat anything; the gate's own tests judge its floors.
    "gate": {"min_lift": 0.1, "champion_tolerance": 0.9, "cohort_tolerance": 0.9},
}


def pipelines(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    file = tmp_path_factory.mktemp("settings") / "fast.json"
    file.write_text(json.dumps(FAST))
    return str(file)


def test_bootstrap_daily_rollback_and_a_run_that_is_held_back(small_academy, settings, tmp_path):
    home = str(tmp_path / "home")
    common = ["--data", str(small_academy), "--home", home, "--settings", settings]
    first = pipelines("run", "bootstrap", *common)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    bootstrap = current(home)
    assert bootstrap is not None
    assert bootstrap.manifest.kind == "bootstrap"
    assert (bootstrap.root / "statistics" / "events.pb").exists()

    second = pipelines("run", "daily_candidates", *common)
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
    daily = current(home)
    assert daily is not None
    assert daily.manifest.kind == "daily"
    assert daily.manifest.lineage.inherited["ranker"] == bootstrap.name
    assert len(list_releases(home)) == 2
    for release in (bootstrap, daily):
        for kind in ("evaluation", "validation", "embeddings"):
            report = release.part(f"reports/{kind}.html").read_text()
            assert report.startswith("<!doctype html>")
            assert "<script" not in report
            assert 5_000 < len(report) < 1_000_000

    held = pipelines("run", "daily_candidates", *common, "--set", "gate.min_lift=99")
    assert held.returncode != 0
    assert "held back" in held.stdout + held.stderr
    assert "lift" in held.stdout + held.stderr
    assert current(home).name == daily.name

    back = pipelines("releases", "rollback", "--home", home)
    assert back.returncode == 0, back.stderr
    assert current(home).name == bootstrap.name
