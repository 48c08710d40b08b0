"""May this release go out? Bounds, the last release's figures, and champion against challenger by cohort."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import structlog
from pydantic import Field

from components.contract.errors import GateError
from components.contract.files import atomic_file
from components.contract.notify import told_of_failure
from components.contract.release import current
from components.contract.settings import StepSettings, section

log = structlog.get_logger()
_EVERYBODY = "everybody"
Row = dict[str, Any]


class GateSettings(StepSettings):
    """What a release must reach."""

    min_requests: int = Field(200, ge=1, description="With fewer holdout requests quality is not judged")
    min_lift: float = Field(1.0, ge=0, description="NDCG@10 relative to the best single source")
    min_auc: float = Field(0.6, ge=0, le=1, description="Area under the ROC curve")
    min_shortlist_recall: float = Field(0.2, ge=0, le=1, description="Opened pages found in the shortlist")
    min_coverage: float = Field(
        0.02, ge=0, le=1, description="Share of the catalogue that is ever in a top 10"
    )
    min_candidate_coverage: float = Field(
        0.1, ge=0, le=1, description="Share of the catalogue that is ever in a shortlist"
    )
    min_full_lists: float = Field(
        0.9, ge=0, le=1, description="Share of requests with ten candidates or more (or the whole catalogue)"
    )
    max_calibration_error: float = Field(0.05, ge=0, description="Expected calibration error")
    max_latency_ms: float = Field(500, gt=0, description="Median time of a prediction, both stages")
    recall_tolerance: float = Field(
        0.15, ge=0, description="Shortlist recall may fall by this share of the current release's own"
    )
    champion_tolerance: float = Field(
        0.02, ge=0, description="NDCG@10 may fall by this share of the champion's"
    )
    cohort_tolerance: float = Field(0.10, ge=0, description="The same, for each cohort")
    auc_tolerance: float = Field(0.02, ge=0, description="AUC may be this much lower, for each cohort")
    calibration_tolerance: float = Field(
        0.02, ge=0, description="Calibration error may be this much higher, for each cohort"
    )
    cohort_requests: int = Field(200, ge=1, description="Cohorts with fewer requests are not compared")
    alpha: float = Field(
        0.02, gt=0, lt=1, description="Chance that an equal challenger seems worse overall; and in any cohort"
    )
    need_champion: bool = Field(
        False, description="Hold back when the current release's ranker cannot be compared with"
    )


def check(
    evaluation: Mapping[str, Any],
    latency: Mapping[str, Any],
    settings: GateSettings,
    before: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Compare figures with the bounds, with the last release's and with the champion on the same holdout.

    Parameters
    ----------
    evaluation : mapping
        Of the evaluate step.
    latency : mapping
        Of the smoke step.
    settings : GateSettings
    before : mapping, optional
        The current release's evaluation.

    Returns
    -------
    list of dict
        ``check``, ``value``, ``bound``, ``passed`` and ``note``. A holdout too small to judge passes,
        and the note says so.
    """
    median = latency["median_ms"]
    limit = settings.max_latency_ms
    results = [_result("median latency, ms", median, limit, median <= limit, "ceiling")]
    whole = evaluation["two_stage"]
    if whole["requests"] < settings.min_requests:
        note = f"{whole['requests']} requests are too few to judge; {settings.min_requests} are needed"
        results.append(_result("holdout size", whole["requests"], settings.min_requests, True, note))
        return results + (_champion(evaluation, settings) if not _compares(evaluation) else [])
    results += _bounds(evaluation, settings)
    if before and (old := before.get("two_stage", {}).get("shortlist_recall")) is not None:
        bound = round(old * (1 - settings.recall_tolerance), 4)
        value = whole["shortlist_recall"]
        note = f"the current release's {old} less tolerance"
        results.append(_result("shortlist recall, kept", value, bound, value >= bound, note))
    return [*results, *_champion(evaluation, settings)]


def _bounds(evaluation: Mapping[str, Any], settings: GateSettings) -> list[Row]:
    whole = evaluation["two_stage"]
    floors = [
        ("lift over the best source", evaluation["lift_over_best_source"], settings.min_lift),
        ("auc", whole["auc"], settings.min_auc),
        ("shortlist recall", whole["shortlist_recall"], settings.min_shortlist_recall),
        ("coverage", whole["coverage"], settings.min_coverage),
        ("candidate coverage", whole["candidate_coverage"], settings.min_candidate_coverage),
        ("full lists", whole["full_lists"], settings.min_full_lists),
    ]
    results = [_result(name, value, floor, value >= floor, "floor") for name, value, floor in floors]
    error, bound = whole["calibration_error"], settings.max_calibration_error
    return [*results, _result("calibration error", error, bound, error <= bound, "ceiling")]


def _compares(evaluation: Mapping[str, Any]) -> bool:
    return evaluation["champion"]["state"] == "compared"


def _champion(evaluation: Mapping[str, Any], settings: GateSettings) -> list[Row]:
    """A challenger is held where it is worse by more than the tolerance, and surely worse.

    Surely: the one-sided confidence interval of the difference excludes 0. Among many comparisons
    one seems worse by chance, so ``alpha`` is divided among those of all requests, and again among
    those of the cohorts (Bonferroni).
    """
    if not _compares(evaluation):
        state, reason = evaluation["champion"]["state"], evaluation["champion"]["reason"]
        passed = state == "none" or not settings.need_champion
        return [_result("champion", state, "compared", passed, f"not compared: {reason}")]
    cohorts = {
        name: figures
        for name, figures in evaluation["against_champion"].items()
        if name == _EVERYBODY or figures["requests"] >= settings.cohort_requests
    }
    measures = (
        ("ndcg", True, settings.cohort_tolerance, 1),
        ("auc", False, settings.auc_tolerance, 1),
        ("calibration_error", False, settings.calibration_tolerance, -1),
    )
    results = []
    for cohort, figures in cohorts.items():
        whole = cohort == _EVERYBODY
        alpha = settings.alpha / (len(measures) * (1 if whole else len(cohorts) - 1))
        for measure, relative, tolerance, sign in measures:
            if figures[measure] is None:
                continue
            label = "auc within requests" if measure == "auc" else measure.replace("_", " ")
            name = f"{label} against the champion" if whole else f"{label}, {cohort}"
            allowed = settings.champion_tolerance if whole and relative else tolerance
            slack = allowed * (figures[measure]["champion"] if relative else 1)
            results.append(_compared(name, figures[measure], slack, sign, alpha, figures["requests"]))
    return results


def _compared(
    name: str, found: Mapping[str, float], slack: float, sign: int, alpha: float, requests: int
) -> Row:
    """One comparison; ``sign`` is -1 where less is better."""
    value, bound = found["challenger"], round(found["champion"] - sign * slack, 5)
    loss = sign * (found["champion"] - value)
    least = loss - NormalDist().inv_cdf(1 - alpha) * found["standard_error"]
    how = f"worse by {loss:.4f}, surely by {max(least, 0.0):.4f}" if loss > 0 else "no worse"
    note = f"champion {found['champion']:.4f}, {how}, {requests} requests"
    return _result(name, value, bound, not (sign * (bound - value) > 0 and least > 0), note)


def _result(check: str, value: Any, bound: Any, passed: bool, note: str) -> Row:
    return {"check": check, "value": value, "bound": bound, "passed": bool(passed), "note": note}


def enforce(results: list[Row]) -> None:
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
    evaluation: Path | str,
    latency: Path | str,
    home: Path | str | None,
    verdict_out: Path | str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | str]:
    """Write the verdict; raise, and tell the webhook if there is one, when the release is held back.

    Returns
    -------
    dict
        ``checks``, ``failed`` and what became of the ``champion``: compared, none or incompatible.

    Raises
    ------
    GateError
        Names each failed check.
    """
    found = json.loads(Path(evaluation).read_text())
    chosen = section(settings, "gate", GateSettings)
    release = current(home) if home else None
    before = json.loads(release.evaluation.read_text()) if release else None
    results = check(found, json.loads(Path(latency).read_text()), chosen, before)
    with atomic_file(verdict_out) as aside:
        aside.write_text(json.dumps(results, indent=1))
    for row in results:
        log.info("gate", **row)
    with told_of_failure("gate"):
        enforce(results)
    return {"checks": len(results), "failed": 0, "champion": found["champion"]["state"]}
