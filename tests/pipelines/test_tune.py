import math
import os

import pytest
import yaml
from typer.testing import CliRunner

from components.contract.examples import Examples
from components.ranker.tuning.study import finished, load
from pipelines import tuning
from pipelines.cli import app

FAST = {
    "two_tower": {"epochs": 1, "min_steps": 20},
    "skip_gram": {"epochs": 2},
    "ranker": {"epochs": 2, "dimensions": 4, "hidden": [16], "ablations": False},
    "candidates": {"train_requests": 200, "holdout_requests": 50},
    "tune": {"startup": 1, "confirmed": 1},
}


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "fast.yaml"
    path.write_text(yaml.safe_dump(FAST))
    return path


@pytest.mark.slow
def test_tune_searches_over_logs_and_protocols(small_academy, settings, tmp_path):
    out, work = tmp_path / "best.yaml", tmp_path / "work"
    arguments = ["tune", "--data", small_academy, "--protocol", "both", "--trials", 3, "--jobs", 2]
    arguments += ["--settings", settings, "--out", out, "--workdir", work]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "gain: " in result.output

    study, _ = load(work / "study.journal")
    assert set(study.user_attrs["baseline"]) == {"data, lastout", "data, live"}
    trials = finished(study)
    assert len(trials) == 3
    assert {trial.user_attrs["worker"] for trial in trials} == {0, 1}
    for number in (0, 1):
        assert 0 < len(Examples.load(work / str(number) / "training" / "examples")) <= 200
        assert not (work / str(number) / "holdout").exists()

    found = yaml.safe_load(out.read_text())
    assert found["two_tower"] == FAST["two_tower"]
    assert "tune" not in found
    assert "preprocess" not in found
    assert "<svg" in out.with_suffix(".html").read_text()

    # What was found is what the other commands take; a search that goes on runs nothing again.
    before = {path: path.stat().st_mtime_ns for path in work.rglob("numeric.npy")}
    again = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert again.exit_code == 0, again.output
    assert len(finished(load(work / "study.journal")[0])) == 3
    assert {path: path.stat().st_mtime_ns for path in work.rglob("numeric.npy")} == before
    taken = ["evaluate", "--data", small_academy, "--protocol", "live", "--settings", out, "--json"]
    assert CliRunner().invoke(app, [str(argument) for argument in taken]).exit_code == 0


@pytest.mark.slow
def test_pipeline_runs_here_with_workers_in_parallel(small_academy, settings, tmp_path):
    arguments = ["run", "tune", "--data", small_academy, "--home", tmp_path / "home", "--settings", settings]
    arguments += ["--set", "tune.trials=2", "--set", "tune.workers=2"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    found = yaml.safe_load(result.stdout)
    assert found["skip_gram"] == FAST["skip_gram"]
    assert "run_date" not in found
    (journal,) = (tmp_path / "home" / "tuning").glob("*.journal")
    workers = [trial.user_attrs["worker"] for trial in finished(load(journal)[0])]
    assert sorted(workers) == [0, 1]
    assert not (tmp_path / "home" / "releases").exists()


def test_worker_processes_share_the_cores_and_pass_errors_on(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    with tuning._processes(2) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "4"
        failed = pool.submit(int, "no luck")
        with pytest.raises(ValueError, match="no luck"):
            failed.result()
    assert os.environ["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (tuning.Progress("trials", 3, 1.25), "trials, best 1.2500 times the defaults"),
        (tuning.Progress("trials", 0, math.nan), "trials"),
    ],
)
def test_progress_tells_the_best_so_far(now, text):
    assert str(now) == text
