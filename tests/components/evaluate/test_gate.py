import copy
import json
from types import SimpleNamespace

import pytest

from components.contract.errors import GateError
from components.evaluate.component import gate
from components.evaluate.gate import GateSettings, check, enforce, run


def figures(ndcg=0.4, requests=500, **cohorts):
    return {
        "ndcg": ndcg,
        "requests": requests,
        "cohorts": {n: {"ndcg": v, "requests": 300} for n, v in cohorts.items()},
    }


@pytest.fixture
def good():
    """An evaluation that passes everything, champion included."""
    return {
        "two_stage": {
            "requests": 500,
            "ndcg": 0.4,
            "auc": 0.8,
            "shortlist_recall": 0.7,
            "coverage": 0.3,
            "calibration_error": 0.01,
        },
        "lift_over_best_source": 1.1,
        "cohorts": {"role: a": {"ndcg": 0.5, "requests": 300}, "role: b": {"ndcg": 0.3, "requests": 300}},
        "others": {"champion": figures(0.4, **{"role: a": 0.5, "role: b": 0.3})},
    }


def failed(evaluation, **settings):
    return [row["check"] for row in check(evaluation, GateSettings(**settings)) if not row["passed"]]


def test_good_evaluation_passes_all_checks(good):
    results = check(good, GateSettings())
    assert all(row["passed"] for row in results)
    assert [row["check"] for row in results] == [
        "lift over the best source",
        "auc",
        "shortlist recall",
        "coverage",
        "calibration error",
        "ndcg",
        "ndcg, role: a",
        "ndcg, role: b",
    ]
    enforce(results)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("auc", 0.59, "auc"),
        ("auc", float("nan"), "auc"),
        ("shortlist_recall", 0.29, "shortlist recall"),
        ("coverage", 0.019, "coverage"),
        ("calibration_error", 0.051, "calibration error"),
    ],
)
def test_floors(good, name, value, expected):
    good["two_stage"][name] = value
    assert failed(good) == [expected]


def test_no_better_than_the_best_source(good):
    good["lift_over_best_source"] = 0.99
    assert failed(good) == ["lift over the best source"]
    assert failed(good, min_lift=0.9) == []


def test_floors_hold_at_their_bound(good):
    good["two_stage"] |= {"auc": 0.6, "shortlist_recall": 0.3, "coverage": 0.02, "calibration_error": 0.05}
    good["lift_over_best_source"] = 1.0
    assert failed(good) == []


def test_champion_better_overall(good):
    # 2 % is tolerated: 0.4 / 0.98 = 0.4082.
    good["others"]["champion"]["ndcg"] = 0.408
    assert failed(good) == []
    good["others"]["champion"]["ndcg"] = 0.42
    assert failed(good) == ["ndcg"]


def test_champion_better_for_one_cohort_holds_the_release_back_and_names_it(good):
    good["others"]["champion"]["cohorts"]["role: b"]["ndcg"] = 0.34
    results = check(good, GateSettings())
    with pytest.raises(
        GateError, match=r"ndcg, role: b 0\.3 against 0\.306 \(champion less tolerance\)\. The last"
    ):
        enforce(results)
    assert [row["check"] for row in results if not row["passed"]] == ["ndcg, role: b"]


def test_small_and_new_cohorts_are_not_compared(good):
    champion = good["others"]["champion"]["cohorts"]
    champion["role: b"] |= {"ndcg": 0.9, "requests": 199}
    champion["role: gone"] = {"ndcg": 0.9, "requests": 900}
    assert failed(good) == []
    champion["role: b"]["requests"] = 200
    assert failed(good) == ["ndcg, role: b"]


def test_without_champion_the_floors_alone_decide(good):
    good["others"] = {"without_fm": figures(0.9)}
    assert failed(good) == []
    assert len(check(good, GateSettings())) == 5


def test_too_few_requests_pass_with_a_note(good):
    poor = copy.deepcopy(good)
    poor["two_stage"] |= {"requests": 199, "auc": 0.1}
    (result,) = check(poor, GateSettings())
    assert result["passed"]
    assert "199 requests are too few" in result["note"]
    assert failed(poor, min_requests=199) == ["auc"]


def test_run_writes_the_verdict_also_when_it_holds_back(tmp_path, good):
    (tmp_path / "good.json").write_text(json.dumps(good))
    assert run(tmp_path / "good.json", tmp_path / "verdict.json") == {"checks": 8, "failed": 0}
    good["two_stage"]["auc"] = 0.5
    (tmp_path / "bad.json").write_text(json.dumps(good))
    with pytest.raises(GateError, match=r"release held back: auc 0\.5 against 0\.6 \(floor\)"):
        run(tmp_path / "bad.json", tmp_path / "verdict.json")
    written = json.loads((tmp_path / "verdict.json").read_text())
    assert [row["check"] for row in written if not row["passed"]] == ["auc"]


def test_component_logs_and_reads_its_settings(tmp_path, good):
    (tmp_path / "evaluation.json").write_text(json.dumps(good))
    logged = {}

    def call(settings):
        gate.python_func(
            evaluation=SimpleNamespace(path=str(tmp_path / "evaluation.json")),
            home=str(tmp_path),
            settings=settings,
            verdict=SimpleNamespace(path=str(tmp_path / "verdict.json")),
            metrics=SimpleNamespace(log_metric=logged.__setitem__),
        )

    call({})
    assert logged == {"checks": 8, "failed": 0}
    with pytest.raises(GateError, match="auc"):
        call({"gate": {"min_auc": 0.9}})
