"""A pipeline killed at any moment leaves the last release serving; a run after it completes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.contract.dataset import Dataset
from components.contract.release import current, load

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FAST = {
    "two_tower": {"epochs": 1},
    "skip_gram": {"epochs": 1},
    "ranker": {"epochs": 1, "ablations": False, "refit": False},
    "candidates": {"train_requests": 100, "holdout_requests": 100},
    "gate": {"min_lift": 0.01, "champion_tolerance": 0.99, "cohort_tolerance": 0.99},
    "lists": {"size": 20},
    # Every run of this test sees a day that an earlier, killed one was shown.
    "validate": {"severity": {}},
}
KILLS = 3


def start(name, data, home, settings):
    """A run in a session of its own, so that its steps can be killed with it."""
    command = [sys.executable, "-m", "pipelines", "run", name, "--data", str(data), "--home", str(home)]
    return subprocess.Popen(
        [*command, "--settings", str(settings)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    text, _ = process.communicate()
    assert process.returncode == 0, text[-3000:]


def kill_after(process, steps, delay):
    """Kill runner and step once so many steps are done, a moment later; whether it was still running."""
    for line in process.stdout:
        steps -= " done " in line
        if steps <= 0:
            break
    time.sleep(delay)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return alive


@pytest.mark.timeout(1800)
def test_runs_killed_at_random_moments(small_academy, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(FAST))
    data, home = tmp_path / "data", tmp_path / "home"
    shutil.copytree(small_academy, data)
    *_, last = sorted((data / "events.parquet").iterdir())
    held_back = shutil.move(last, tmp_path / "last")
    finish(start("bootstrap", data, home, settings))
    serving = current(home)

    shutil.move(held_back, last)
    draw = random.Random(11)
    moments = [(1, 0.5), *((draw.randint(2, 15), draw.uniform(0, 2)) for _ in range(KILLS - 1))]
    killed = 0
    for steps, delay in moments:
        killed += kill_after(start("daily_candidates", data, home, settings), steps, delay)
        # Whatever was under way, what serves is whole: its checksums hold.
        assert load(home).name == current(home).name
    assert killed == KILLS
    # On a fast machine the last moment may be past the run's last act.
    published = current(home).name != serving.name

    finish(start("daily_candidates", data, home, settings))
    released = load(home)
    assert released.name > serving.name
    if not published:
        assert released.manifest.lineage.parent == serving.name
    assert (released.part("lists") / "page.npy").exists()

    # What survived the crashes changed nothing: a HOME that knew none gives the same tables.
    fresh = tmp_path / "fresh"
    finish(start("bootstrap", data, fresh, settings))
    one, other = Dataset.load(released.root), Dataset.load(load(fresh).root)
    for name in ("pages", "associates", "interactions", "page_days"):
        assert getattr(one, name).equals(getattr(other, name)), name
