import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState

from components.contract.errors import DataError, WaymarkError
from components.contract.retrieval import RetrievalSettings
from components.contract.settings import section
from components.ranker.settings import RankerSettings
from components.ranker.tuning import step
from components.ranker.tuning.report import importances, render
from components.ranker.tuning.settings import TuneSettings
from components.ranker.tuning.study import begin, finish, finished, load, search

pytestmark = pytest.mark.slow

# A learning rate at which the defaults learn next to nothing, so that trials win.
SETTINGS = {
    "ranker": {"epochs": 3, "batch_requests": 32, "learning_rate": 1e-6, "dimensions": 4, "hidden": [8]},
    "tune": {"trials": 4, "workers": 2, "startup": 2, "confirmed": 2},
    "run_date": "2026-01-01",
}


@pytest.fixture(scope="module")
def logs(ranked_toys):
    return {"one": ranked_toys(120, 8), "two": ranked_toys(100, 6, seed=1)}


@pytest.fixture(scope="module")
def studied(logs, tmp_path_factory):
    """A study that two workers ran, and what it began with."""
    path = tmp_path_factory.mktemp("tune") / "study.journal"
    baseline = begin(path, logs, SETTINGS)
    counts = [search(path, logs, worker) for worker in (0, 1)]
    return path, baseline, counts


@pytest.fixture(scope="module")
def best(studied, logs):
    return finish(studied[0], logs)


def complete(path):
    return [trial for trial in load(path)[0].trials if trial.state == TrialState.COMPLETE]


def test_workers_share_the_trials(studied):
    path, _, counts = studied
    assert counts == [2, 2]
    trials = finished(load(path)[0])
    assert [trial.user_attrs["worker"] for trial in trials] == [0, 0, 1, 1]
    # Each worker draws its own proposals.
    assert len({trial.params["learning_rate"] for trial in trials}) == 4


def test_value_is_the_mean_over_logs_relative_to_the_defaults(studied):
    path, baseline, _ = studied
    for trial in complete(path):
        ratios = [trial.user_attrs[name]["ndcg"] / baseline[name].ndcg for name in ("one", "two")]
        assert trial.value == pytest.approx(np.mean(ratios))


def test_a_worker_that_starts_again_runs_only_what_is_left(studied, logs):
    path, _, _ = studied
    assert search(path, logs, 1) == 0
    assert len(finished(load(path)[0])) == 4


def test_one_worker_repeats_exactly(logs, tmp_path):
    settings = {**SETTINGS, "tune": {"trials": 3, "workers": 1, "startup": 1}}
    one = {"one": logs["one"]}
    values = []
    for name in ("a", "b"):
        begin(tmp_path / name, one, settings)
        search(tmp_path / name, one, 0)
        values.append([(trial.params, trial.value) for trial in load(tmp_path / name)[0].trials])
    assert values[0] == values[1]


def test_the_best_beats_the_defaults_in_both_periods(studied, best):
    path, baseline, _ = studied
    winner = next(trial for trial in complete(path) if trial.number == best.trial)
    assert set(best.settings) == {"ranker", "retrieval"}
    ratios = []
    for name, row in best.logs.items():
        assert row["defaults"] == baseline[name].ndcg
        assert row["best"] == winner.user_attrs[name]["ndcg"]
        ratios += [row["best"] / row["defaults"], row["best_before"] / row["defaults_before"]]
    assert best.gain == pytest.approx(np.mean(ratios))
    assert best.gain > 1.1
    section(best.settings, "ranker", RankerSettings)
    section(best.settings, "retrieval", RetrievalSettings)


def test_the_defaults_stay_if_nothing_beats_them(logs, tmp_path):
    path = tmp_path / "study.journal"
    settings = {"ranker": {"epochs": 2}, "tune": {"trials": 1, "workers": 1}}
    begin(path, logs, settings)
    study, _ = load(path)
    # A trial that is no better than what the study began with, and so does not win.
    worst = optuna.trial.create_trial(
        value=0.5,
        params={"learning_rate": 3e-4},
        distributions={"learning_rate": optuna.distributions.FloatDistribution(3e-4, 1e-2, log=True)},
        user_attrs={name: {"ndcg": 1e-6} for name in logs},
    )
    study.add_trial(worst)
    best = finish(path, logs)
    assert (best.trial, best.gain) == (-1, 1.0)
    assert best.settings == {"ranker": {"epochs": 2}}
    assert all("best" not in row for row in best.logs.values())


def test_hopeless_trials_are_stopped_early(logs, tmp_path):
    """One that learns next to nothing, after two that learn."""
    path, one = tmp_path / "study.journal", {"one": logs["one"]}
    begin(path, one, {**SETTINGS, "tune": {"trials": 3, "workers": 1, "startup": 2}})
    study, _ = load(path)
    good = {"learning_rate": 3e-3, "l2": 1e-3, "dropout": 0.2, "field_dropout": 0.2, "width": 64, "depth": 2}
    good["numeric_bins"] = 2
    for params in (good, {**good, "width": 60}, {**good, "learning_rate": 3e-4, "width": 32, "depth": 1}):
        study.enqueue_trial(params)
    search(path, one, 0)
    first, second, last = load(path)[0].trials
    assert first.state == second.state == TrialState.COMPLETE
    assert last.state == TrialState.PRUNED
    assert list(last.intermediate_values) == [1, 2]
    assert "one" not in last.user_attrs
    assert all(0 < value < 1 for value in last.intermediate_values.values())


def test_nothing_to_search_is_plain(logs, tmp_path, ranked_toys):
    with pytest.raises(WaymarkError, match="no study that has begun"):
        search(tmp_path / "none.journal", logs, 0)
    begin(tmp_path / "study.journal", logs, SETTINGS)
    with pytest.raises(WaymarkError, match="no trial came to its end"):
        finish(tmp_path / "study.journal", logs)
    with pytest.raises(DataError, match="too few"):
        begin(tmp_path / "short.journal", {"short": ranked_toys(1, 4)}, SETTINGS)


def test_report_tells_gains_settings_and_the_search(studied, best):
    page = render(load(studied[0])[0], best)
    assert f"Trial {best.trial} wins" in page
    assert f"{best.gain:.4f}" in page
    assert f"{best.logs['two']['best_before']:.4f}" in page
    assert "learning_rate: " in page
    assert page.count("<svg") == 5
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")


def test_importances_find_what_matters():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(1))
    study.optimize(lambda trial: trial.suggest_float("a", 0, 1) + 0 * trial.suggest_float("b", 0, 1), 40)
    found = importances(study)
    assert found["a"] > 3 * found["b"]
    few = optuna.create_study()
    few.optimize(lambda trial: trial.suggest_float("a", 0, 1), 3)
    assert importances(few) == {}


def test_steps_write_settings_that_the_commands_take(logs, tmp_path):
    paths = {}
    for name, examples in logs.items():
        examples.save(tmp_path / name)
        paths[name] = tmp_path / name
    settings = {**SETTINGS, "tune": {"trials": 2, "workers": 1, "confirmed": 1}}
    figures = step.begin(tmp_path / "study", paths, settings)
    assert 0 < figures["ndcg@10 one"] < 1
    assert step.workers(settings) == [0]
    assert step.search(tmp_path / "study", paths, 0) == {"trials": 2}
    out, report = tmp_path / "best.yaml", tmp_path / "best.html"
    figures = step.finish(tmp_path / "study", paths, out, report)
    assert figures["complete"] + figures["pruned"] == 2
    text = out.read_text()
    assert text.startswith(f"# Found by tune: NDCG@10 {figures['gain']:.4f} times the defaults'")
    read = yaml.safe_load(text)
    section(read, "ranker", RankerSettings)
    assert "tune" not in read
    assert report.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("trials", "workers", "expected"), [(5, 2, [0, 1]), (1, 4, [0])])
def test_no_worker_without_trials(trials, workers, expected):
    assert step.workers({"tune": {"trials": float(trials), "workers": float(workers)}}) == expected
    assert TuneSettings(trials=trials, workers=workers).trials == trials
