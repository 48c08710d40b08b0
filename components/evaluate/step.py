"""The evaluate step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from components.contract.dataset import Dataset
from components.contract.errors import ReleaseError
from components.contract.examples import Examples
from components.contract.files import atomic_file
from components.contract.ranking import Ranker
from components.evaluate.evaluation import CHAMPION, evaluate, load_ablations, roc
from components.evaluate.report import render

log = structlog.get_logger()


def run(
    dataset: Path | str,
    examples: Path | str,
    ranker: Path | str,
    home: Path | str | None,
    evaluation_out: Path | str,
    report_out: Path | str,
    settings: Mapping[str, Any] | None = None,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Judge the ranker and, beside it, its ablations and the current release's ranker.

    Returns
    -------
    figures : dict
    roc : dict
        ``fpr``, ``tpr``, ``threshold``.
    """
    data, held_out = Dataset.load(dataset), Examples.load(examples)
    others = load_ablations(ranker)
    champion, state = _champion(home)
    if champion is not None:
        others[CHAMPION] = champion
    found, _, probability = evaluate(held_out, data.n_pages, Ranker(ranker), others)
    found["champion"] = state
    curve = roc(probability, held_out.label)
    with atomic_file(evaluation_out) as aside:
        aside.write_text(json.dumps(found, indent=1))
    with atomic_file(report_out) as aside:
        aside.write_text(render(found, curve, "Evaluation on the holdout"))
    whole = found["two_stage"]
    names = ("hr", "ndcg", "mrr", "auc", "log_loss", "calibration_error", "shortlist_recall", "coverage")
    figures = {name: whole[name] for name in names}
    return {**figures, "lift_over_best_source": found["lift_over_best_source"]}, curve


def _champion(home: Path | str | None) -> tuple[Ranker | None, dict[str, str]]:
    """The current release's ranker, and what became of it, for the gate to say."""
    path = Path(home) / "current" / "ranker" if home else None
    if path is None or not path.exists():
        return None, {"state": "none", "reason": "there is no release yet"}
    try:
        return Ranker(path), {"state": "compared", "reason": ""}
    except ReleaseError as error:
        log.warning("champion.not_compared", reason=str(error))
        return None, {"state": "incompatible", "reason": str(error)}
