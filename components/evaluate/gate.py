"""May this release go out? Floors, and champion against challenger by cohort."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from components.contract.errors import GateError
from components.contract.files import atomic_file
from components.contract.settings import StepSettings, section


class GateSettings(StepSettings):
    """What a release must reach."""

    min_requests: int = Field(200, ge=1, description="With fewer holdout requests nothing is judged")
    min_lift: float = Field(1.0, ge=0, description="NDCG@10 relative to the best single source")
    min_auc: float = Field(0.6, ge=0, le=1, description="Area under the ROC curve")
    min_shortlist_recall: float = Field(0.3, ge=0, le=1, description="Opened pages found in the shortlist")
    min_coverage: float = Field(
        0.02, ge=0, le=1, description="Share of the catalogue that is ever in a top 10"
    )
    max_calibration_error: float = Field(0.05, ge=0, description="Expected calibration error")
    champion_tolerance: float = Field(
        0.02, ge=0, description="NDCG@10 may fall by this share of the champion's"
    )
    cohort_tolerance: float = Field(0.10, ge=0, description="The same, for each cohort")
    cohort_requests: int = Field(200, ge=1, description="Cohorts with fewer requests are not compared")


def check(evaluation: dict[str, Any], settings: GateSettings) -> list[dict[str, Any]]:
    """Compare an evaluation with the floors and with the champion on the same holdout.

    Returns
    -------
    list of dict
        ``check``, ``value``, ``bound``, ``passed`` and ``note``; empty of failures when the
        holdout is too small to judge.
    """
    whole = evaluation["two_stage"]
    if whole["requests"] < settings.min_requests:
        note = f"{whole['requests']} requests are too few to judge; {settings.min_requests} are needed"
        return [_result("holdout size", whole["requests"], settings.min_requests, True, note)]
    floors = [
        ("lift over the best source", evaluation["lift_over_best_source"], settings.min_lift),
        ("auc", whole["auc"], settings.min_auc),
        ("shortlist recall", whole["shortlist_recall"], settings.min_shortlist_recall),
        ("coverage", whole["coverage"], settings.min_coverage),
    ]
    results = [_result(name, value, floor, value >= floor, "floor") for name, value, floor in floors]
    error = whole["calibration_error"]
    bound = settings.max_calibration_error
    results.append(_result("calibration error", error, bound, error <= bound, "ceiling"))
    champion = evaluation["others"].get("champion")
    if champion:
        bound = round(champion["ndcg"] * (1 - settings.champion_tolerance), 4)
        results.append(
            _result("ndcg", whole["ndcg"], bound, whole["ndcg"] >= bound, "champion less tolerance")
        )
        for cohort, old in champion["cohorts"].items():
            new = evaluation["cohorts"].get(cohort)
            if new is None or old["requests"] < settings.cohort_requests:
                continue
            bound = round(old["ndcg"] * (1 - settings.cohort_tolerance), 4)
            results.append(
                _result(
                    f"ndcg, {cohort}", new["ndcg"], bound, new["ndcg"] >= bound, "champion less tolerance"
                )
            )
    return results


def _result(check: str, value: float, bound: float, passed: bool, note: str) -> dict[str, Any]:
    return {"check": check, "value": value, "bound": bound, "passed": bool(passed), "note": note}


def enforce(results: list[dict[str, Any]]) -> None:
    """Raise unless every check passed.

    Raises
    ------
    GateError
        Names each failed check, its value and its bound.
    """
    failed = [row for row in results if not row["passed"]]
    if failed:
        reasons = "; ".join(f"{r['check']} {r['value']} against {r['bound']} ({r['note']})" for r in failed)
        raise GateError(f"release held back: {reasons}. The last release stays current.")


def run(
    evaluation: Path | str, verdict_out: Path | str, settings: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Write the verdict and raise when the release is held back.

    Raises
    ------
    GateError
        Names each failed check.
    """
    results = check(json.loads(Path(evaluation).read_text()), section(settings, "gate", GateSettings))
    with atomic_file(verdict_out) as aside:
        aside.write_text(json.dumps(results, indent=1))
    enforce(results)
    return {"checks": len(results), "failed": sum(not row["passed"] for row in results)}
